//! Waits for what happens without a request of the test. Tests do not sleep: a test looks until it sees
//! what it waits for, and fails at a deadline that only a fault reaches.

use std::fmt::Debug;
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
