//! Seeded simulation of turns on one tenant. Four clients reserve, commit and release in any interleaving, ask
//! again under the same `Idempotency-Key`, and lose answers. People are erased while their turns are in progress,
//! and are made again. Months pass. The object crashes between any two steps, and its storage fails between any two
//! statements.
//!
//! The oracle is sets and maps, and a calendar of its own. After every transaction:
//!
//! - **Every answer equals the oracle's to the byte**, quotas and kept documents included.
//! - **Storage holds exactly what the oracle holds**: a period counts its committed turns, and no turn that was
//!   released or has expired; a relationship counts the turns that were committed in it; an erased person stays
//!   counted in the periods in which they were active, and no row of an erased person is left. A person holds the turns
//!   that were committed for them in the two latest periods, and one who is made again holds none.
//! - **A refusal writes no row.**
//! - **A failure changes nothing.**
//!
//! The oracle asserts of itself: nothing is granted beyond the limits, counted and reserved together; a turn is
//! counted once; a key has one effect.
//!
//! `ROLLCALL_LEDGER_SEEDS=n` runs that many seeds; `ROLLCALL_SEED=n` replays one and prints its events.

mod clients;
mod oracle;
mod world;

use rollcall::guards::Guard;

use crate::simulation::Seeds;
use crate::simulation::guards::is_proven_by;
use world::Bench;

const SEEDS_DEFAULT: u64 = 15_000;

/// Events that a run of this many seeds must contain. A run without one of them covers too little.
const CERTAIN: [&str; 15] = [
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
    "reservations refused: turns of a person",
];

#[test]
fn turns_are_counted_once_and_within_the_limits() {
    let seeds = Seeds { variable: "ROLLCALL_LEDGER_SEEDS", default: SEEDS_DEFAULT, test: "ledger", certain: &CERTAIN };
    seeds.run(Bench::new, Bench::run);
}

/// A turn that is committed at its last moment, and whose calls arrive again after the sweep, counts once. The
/// simulation met this history once in some hundred thousand seeds.
#[test]
fn a_turn_committed_at_its_last_moment_counts_once() {
    let bench = Bench::new();
    bench.commits_at_the_last_moment().unwrap_or_else(|violation| panic!("{violation}"));
}

/// Without its newest row the log would give a number twice.
#[test]
fn the_newest_row_of_the_log_is_proven() {
    let bench = Bench::new();
    is_proven_by(Guard::NewestChange, |seed| bench.run(seed, false));
}
