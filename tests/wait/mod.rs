//! Waits for what happens without a request of the test. Tests do not sleep: a test looks until it sees
//! what it waits for, and fails at a deadline that only a fault reaches.
//!
//! No test hangs: each test that talks to a server has a time limit of its own, whatever it waits for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest wait, also for an answer by HTTP. It is far longer than anything takes on a busy machine: the
/// object's alarm, which tries again after a failure, comes after a minute at the latest.
pub const LIMIT: Duration = Duration::from_mins(3);

/// The pause after the first look; each is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Looks until `is_there` holds for what the test sees, and returns that. `what` completes "waited for".
#[track_caller]
pub fn until<S: Debug>(what: &str, look: impl FnMut() -> S, is_there: impl Fn(&S) -> bool) -> S {
    until_within(LIMIT, what, look, is_there)
}

/// The same, for what may take longer than [`LIMIT`].
#[track_caller]
pub fn until_within<S: Debug>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> S,
    is_there: impl Fn(&S) -> bool,
) -> S {
    let deadline = Instant::now() + limit;
    let (mut looks, mut pause) = (0_u32, PAUSE_MIN);
    loop {
        // The last look begins after the deadline, however long the test itself was held up.
        let is_last = Instant::now() >= deadline;
        let seen = look();
        looks += 1;
        if is_there(&seen) {
            return seen;
        }
        assert!(!is_last, "waited for {what}: not there after {limit:?} and {looks} looks; seen last: {seen:#?}");
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// The longest time that a test takes. The longest test takes a few minutes on a busy machine.
pub const LIMIT_OF_TEST: Duration = Duration::from_mins(30);

/// The tests that run, by the names of their threads, and when each must have ended.
static RUNNING: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());

fn running() -> MutexGuard<'static, BTreeMap<String, Instant>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A test that runs. It is dropped with the thread of the test.
struct Running(String);

impl Drop for Running {
    fn drop(&mut self) {
        running().remove(&self.0);
    }
}

static WATCH: Once = Once::new();

thread_local! {
    static THIS: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Gives the test of this thread [`LIMIT_OF_TEST`], if it has no limit yet. With one thread for all tests, each has its
/// limit from its last call of this.
pub fn limit_test() {
    if THIS.with_borrow(Option::is_none) || thread::current().name() == Some("main") {
        limit_test_to(LIMIT_OF_TEST);
    }
}

/// Gives the test of this thread a time limit from now on. Whoever exceeds one ends the process, which names the tests that
/// run: a thread that waits for ever cannot be ended by itself.
pub fn limit_test_to(limit: Duration) {
    // The threads of a test have no name. They are waited for by the test.
    let Some(name) = thread::current().name().map(str::to_owned) else { return };
    running().insert(name.clone(), Instant::now() + limit);
    THIS.with_borrow_mut(|this| {
        this.get_or_insert_with(|| Running(name));
    });
    WATCH.call_once(|| drop(thread::Builder::new().spawn(watch).expect("a thread")));
}

fn watch() {
    loop {
        thread::sleep(Duration::from_secs(1));
        let running = running();
        let now = Instant::now();
        if let Some((late, _)) = running.iter().find(|(_, ends_at)| **ends_at < now) {
            let names: Vec<&str> = running.keys().map(String::as_str).collect();
            eprintln!("{late} has exceeded its time limit; running: {}", names.join(", "));
            std::process::exit(101);
        }
    }
}
