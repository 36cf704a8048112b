//! The world detects missing guards: with one of these switched off some seed fails, and with all of them on the same
//! seed passes. The other guards are proven by the simulations of their parts.

use rollcall::guards::Guard;

use super::state::Bench;
use super::steps::history;
use crate::simulation::guards::is_proven_by;

fn is_proven(guard: Guard) {
    let bench = Bench::ready();
    is_proven_by(guard, |seed| {
        let (plan, steps) = history(seed);
        bench.run(&plan, &steps, false)
    });
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
fn the_unique_id_is_proven() {
    is_proven(Guard::UniqueId);
}

#[test]
fn the_newest_row_of_the_log_is_proven() {
    is_proven(Guard::NewestChange);
}

#[test]
fn the_tombstone_is_proven() {
    is_proven(Guard::Tombstone);
}

#[test]
fn the_list_of_changed_users_is_proven() {
    is_proven(Guard::ListedChange);
}
