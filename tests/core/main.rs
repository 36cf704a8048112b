//! The core, natively: the same statements over SQLite, with any clock, any crash and any order of events that a
//! seed produces.

mod agents;
mod audit;
mod batches;
mod bounds;
mod calendar;
#[path = "../clerk/mod.rs"]
mod clerk;
mod closing;
mod conditions;
mod copies;
mod cursors;
mod edge;
mod edge_limits;
mod events;
mod export;
mod flush;
mod formats;
mod idempotency;
mod keys;
mod leased_tokens;
mod ledger;
mod limiter;
mod limits;
mod listing;
mod merge_patches;
mod mirror;
mod moods;
mod parsers;
mod plans;
mod purging;
mod simulation;
mod sqlite;
mod tenant;
mod transfer;
mod user_quotas;
mod versions;
mod waiting;
mod world;

use rollcall::organization::change_log::ListingPosition;

/// A position of a listing that no object has moved there.
fn position(sequence: i64) -> ListingPosition {
    ListingPosition { sequence, mark: String::new() }
}
