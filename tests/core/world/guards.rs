//! The world detects missing guards: with one of these switched off some seed fails, and with all of them on the same
//! seed passes.

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

#[test]
fn the_wait_for_an_unanswered_write_is_proven() {
    is_proven(Guard::UnansweredWrite);
}

#[test]
fn the_second_look_at_a_lease_is_proven() {
    is_proven(Guard::LeaseAfterRead);
}

#[test]
fn the_tokens_of_leases_are_proven() {
    is_proven(Guard::LeasedTokens);
}

#[test]
fn the_tokens_that_are_out_after_a_start_are_proven() {
    is_proven(Guard::LeasesAfterStart);
}

#[test]
fn the_new_epoch_is_proven() {
    is_proven(Guard::NewEpoch);
}

#[test]
fn the_mark_of_the_listing_is_proven() {
    is_proven(Guard::ListingMark);
}

#[test]
fn that_copies_follow_the_listing_is_proven() {
    is_proven(Guard::CopyAfterListing);
}

#[test]
fn the_high_water_mark_is_proven() {
    is_proven(Guard::HighWaterMark);
}
