//! Seeded simulation of one tenant: four clients, the object's core, D1, and a network between them that loses, delays
//! and repeats. The object crashes between any two steps, its storage fails between any two statements, and its clock
//! jumps. Nobody reads at the edge here, so nothing is put into KV.
//!
//! After every transaction of the object:
//!
//! - **Every difference has its reason**: a creation adds a row and says so, a change raises the version,
//!   and a purge removes rows. Everything else, failures included, leaves every column as it was.
//! - **The confirmed position of the listing** never goes back.
//! - **A version names one state of one user**, across erasures too, because a tenant has one sequence.
//! - **The answer is right**, even if it is lost. The record in an answer is the stored record. Only the request
//!   that made a user gets 201. A write to a user who is being erased is refused. A receipt says completed when the
//!   row is gone and the listing has confirmed it. An export equals the stored data. The same
//!   `Idempotency-Key` gives the first answer to the byte and changes nothing, or is refused for another request,
//!   for as long as the answer is kept.
//! - **The bucket** has in no window admitted more than `burst + rate·t`.
//!
//! After every step:
//!
//! - **No acknowledged change is lost**: the object is at the newest acknowledged version or beyond it, until a
//!   requested erasure completes.
//! - **One creator**: of all requests only one got the answer that it made a user.
//! - **D1 holds what the listing has confirmed**. The listing never goes back. It holds no user that the object does
//!   not hold.
//! - **A read returns what the object holds.** A list contains every user who is not being erased, in order.
//! - **The object knows of all work** that waits for the alarm.
//!
//! At the end faults cease, the listing equals the object, every erasure is completed, and the log keeps no row that
//! nothing needs.
//!
//! `ROLLCALL_SEEDS=n` runs that many seeds; `ROLLCALL_SEED=n` replays one and prints its events.
//! `cargo xtask simulate` runs a million.

mod clients;
mod execution;
pub mod guards;
mod invariants;
mod network;
mod oracle;
pub mod stores;
pub mod tally;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use rollcall::organization::sql::SqlError;

use crate::sqlite::Sqlite;
use stores::Bench;
use tally::Tally;
use world::{World, wide_limits};

const SEEDS_DEFAULT: u64 = 100_000;

/// A broken invariant, in words.
#[derive(Debug)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Storage that fails without an injected fault holds wrong rows.
impl From<SqlError> for Violation {
    fn from(error: SqlError) -> Self {
        Self(error.to_string())
    }
}

macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::simulation::Violation(format!($($message)+)));
        }
    };
}
pub(crate) use ensure;

impl Bench {
    /// A bench on which a seed can start at once.
    fn ready() -> Self {
        let bench = Self::new();
        let mut world = World::new(0, &bench, &bench.object);
        world.is_faulty = false;
        world.provision(wide_limits(), 1).expect("a key");
        bench
    }

    /// Runs one seed and undoes its changes.
    fn run(&self, seed: u64, is_traced: bool) -> Result<Tally, Violation> {
        let run = |storage: &Sqlite, is_empty: bool| {
            let mut world = World::new(seed, self, storage);
            world.is_traced = is_traced;
            if is_empty {
                world.provision(wide_limits(), 1)?;
            }
            world.live()?;
            Ok(world.tally)
        };
        self.listing.trial(|| match seed % 64 {
            0 => run(&Sqlite::new(), true),
            _ => self.object.trial(|| run(&self.object, false)),
        })
    }
}

impl World<'_> {
    fn live(&mut self) -> Result<(), Violation> {
        self.limit()?;
        // Most runs are short, because most faults need few events. Some are long.
        let steps = match self.random.u8(0..32) {
            0 => self.random.u32(150..400),
            1..8 => self.random.u32(60..150),
            _ => self.random.u32(15..60),
        };
        for _ in 0..steps {
            self.step()?;
        }
        self.heal()
    }
}

/// Runs seeds on every processor, each thread on its own bench, until one fails.
fn run_all<B>(
    seeds: std::ops::Range<u64>,
    ready: impl Fn() -> B + Sync,
    run: impl Fn(&B, u64) -> Result<Tally, Violation> + Sync,
) -> Result<Tally, (u64, Violation)> {
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new(Tally::default());
    let failure: Mutex<Option<(u64, Violation)>> = Mutex::new(None);
    let work = || {
        let bench = ready();
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let result = catch_unwind(AssertUnwindSafe(|| run(&bench, seed)));
            match result.unwrap_or_else(|_| Err(Violation("panicked".to_owned()))) {
                Ok(one) => tally.add(&one),
                Err(violation) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    failure.lock().expect("no panic").get_or_insert((seed, violation));
                    break;
                }
            }
        }
        total.lock().expect("no panic").add(&tally);
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failure = failure.into_inner().expect("no panic");
    failure.map_or_else(|| Ok(total.into_inner().expect("no panic")), Err)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// The seeds of a simulation.
pub struct Seeds<'a> {
    /// Names the variable that says how many.
    pub variable: &'a str,
    pub default: u64,
    /// Names the test, for a replay.
    pub test: &'a str,
    /// Events that a run of a thousand seeds must contain. A run without one of them covers too little.
    pub certain: &'a [&'a str],
}

impl Seeds<'_> {
    /// Replays the seed that `ROLLCALL_SEED` names, and prints its events; or runs many seeds, others each time.
    pub fn run<B>(&self, ready: impl Fn() -> B + Sync, run: impl Fn(&B, u64, bool) -> Result<Tally, Violation> + Sync) {
        if let Some(seed) = variable("ROLLCALL_SEED") {
            let tally = run(&ready(), seed, true).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
            println!("seed {seed}, violations 0\n{tally}");
            return;
        }
        let seeds = variable(self.variable).unwrap_or(self.default);
        let base = fastrand::u64(..) >> 16;
        let begun = Instant::now();
        let total = run_all(base..base + seeds, ready, |bench, seed| run(bench, seed, false));
        let total = total.unwrap_or_else(|(seed, violation)| {
            panic!(
                "seed {seed}, number {} from {base}: {violation}\n\
                 replay: ROLLCALL_SEED={seed} cargo test --test core {} -- --nocapture",
                seed - base + 1,
                self.test
            )
        });
        println!("{seeds} seeds from {base} in {:.1?}, violations 0\n{total}", begun.elapsed());
        for what in self.certain {
            assert!(seeds < 1_000 || total.of(what) > 0, "{what}: never");
        }
    }
}

/// Events that a run of this many seeds must contain. A run without one of them covers too little.
const CERTAIN: [&str; 7] = [
    "answers replayed",
    "crashes",
    "erasures completed",
    "faults: storage failed",
    "lists given",
    "requests refused by the bucket",
    "writes refused: erasure pending",
];

#[test]
fn nothing_acknowledged_is_lost_and_everything_converges() {
    let seeds =
        Seeds { variable: "ROLLCALL_SEEDS", default: SEEDS_DEFAULT, test: "simulation::nothing", certain: &CERTAIN };
    seeds.run(Bench::ready, Bench::run);
}
