//! Seeded simulation of turns on one tenant: four clients who reserve, commit and
//! release in any interleaving, ask again under the same `Idempotency-Key`, and lose
//! answers; people erased while their turns are under way, and made again; months that
//! pass. The object crashes between any two steps, and its storage fails between any
//! two statements.
//!
//! The oracle is sets and maps, and a calendar of its own. After every transaction:
//!
//! - **Every answer is the oracle's to the byte**, quotas and kept documents included.
//! - **Storage holds what the oracle holds, and nothing else**: turns counted in a
//!   period are those committed of it; nothing that was released or has expired is
//!   counted; a relationship has the turns that were committed in it; whoever was active
//!   stays counted when they are erased, and of the erased no row is left.
//! - **A refusal writes nothing**, not a row.
//! - **What fails leaves everything as it was.**
//!
//! And as the oracle asserts of itself: nothing is granted beyond the limits, counted
//! and reserved together; a turn is counted once; a key has one effect.
//!
//! `ROLLCALL_LEDGER_SEEDS=n` runs as many seeds; `ROLLCALL_SEED=n` replays one and tells
//! what happens in it.

mod calendar;
mod clients;
mod oracle;
mod world;

use std::time::Instant;

use crate::simulation::{run_all, variable};
use world::Bench;

const SEEDS_DEFAULT: u64 = 15_000;

/// What a run of this many seeds has certainly done, or the simulation is not what it says.
const CERTAIN: [&str; 14] = [
    "answers replayed",
    "commits counted",
    "commits refused: expired",
    "commits repeated",
    "crashes",
    "faults: answer lost",
    "faults: storage failed",
    "people erased",
    "periods begun",
    "reservations refused: deletion pending",
    "reservations refused: in flight",
    "reservations refused: key of another",
    "reservations refused: relationships",
    "reservations refused: turns",
];

#[test]
fn turns_are_counted_once_and_within_the_limits() {
    if let Some(seed) = variable("ROLLCALL_SEED") {
        let tally = Bench::new().run(seed, true).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        println!("seed {seed}, violations 0\n{tally}");
        return;
    }
    let seeds = variable("ROLLCALL_LEDGER_SEEDS").unwrap_or(SEEDS_DEFAULT);
    let base = fastrand::u64(..) >> 16;
    let begun = Instant::now();
    let total = run_all(base..base + seeds, Bench::new, |bench, seed| bench.run(seed, false));
    let total = total.unwrap_or_else(|(seed, violation)| {
        panic!(
            "seed {seed}, number {} from {base}: {violation}\n\
             replay: ROLLCALL_SEED={seed} cargo test --test core ledger -- --nocapture",
            seed - base + 1
        )
    });
    println!("{seeds} seeds from {base} in {:.1?}, violations 0\n{total}", begun.elapsed());
    for what in CERTAIN {
        assert!(seeds < 1_000 || total.of(what) > 0, "{what}: never");
    }
}
