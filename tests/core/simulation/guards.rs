//! The simulation detects missing guards: with any one guard switched off some seed fails, and with all of them on
//! the same seed passes.

use rollcall::guards::{Guard, without};

use super::Violation;
use super::stores::Bench;
use super::tally::Tally;

const SEEDS_MAX: u64 = 20_000;

fn is_proven(guard: Guard) {
    let bench = Bench::ready();
    is_proven_by(guard, |seed| bench.run(seed, false));
}

/// Switches a guard off for seeds of a simulation until one fails.
pub fn is_proven_by(guard: Guard, run: impl Fn(u64) -> Result<Tally, Violation>) {
    let base = fastrand::u64(..) >> 16;
    let found = (base..base + SEEDS_MAX).find_map(|seed| {
        let violation = without(guard, || run(seed)).err()?;
        Some((seed, violation))
    });
    let Some((seed, violation)) = found else {
        panic!("without {guard:?} none of {SEEDS_MAX} seeds from {base} fails");
    };
    let beginning: String = violation.0.chars().take(160).collect();
    println!("without {guard:?}: {} seeds, then seed {seed}: {beginning}", seed - base + 1);
    if let Err(violation) = run(seed) {
        panic!("seed {seed} fails with {guard:?} too: {violation}");
    }
}

#[test]
fn the_fence_is_proven() {
    is_proven(Guard::Fence);
}

#[test]
fn the_state_of_an_erasure_is_proven() {
    is_proven(Guard::ErasureState);
}

#[test]
fn the_high_water_mark_is_proven() {
    is_proven(Guard::HighWaterMark);
}

#[test]
fn the_unique_id_is_proven() {
    is_proven(Guard::UniqueId);
}
