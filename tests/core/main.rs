//! The core, natively: the same statements over SQLite, with any clock, any crash and any order of events that a
//! seed produces.

mod audit;
mod batches;
mod bounds;
#[path = "../clerk/mod.rs"]
mod clerk;
mod closing;
mod copies;
mod edge_limits;
mod edge_reads;
mod export;
mod formats;
mod idempotency;
mod leased_tokens;
mod ledger;
mod limiter;
mod listing;
mod mirror;
mod parsers;
mod plans;
mod purging;
mod simulation;
mod sqlite;
mod versions;
mod world;

use rollcall::organization::change_log::ListingPosition;

/// A position of a listing that no object has moved there.
fn position(sequence: i64) -> ListingPosition {
    ListingPosition { sequence, mark: String::new() }
}
