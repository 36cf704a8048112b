//! The listing in D1: a row for each user and for each relationship of a tenant.
//!
//! Invariants:
//!
//! - **The fence.** A batch moves the row of its tenant in `projections` from the sequence number at
//!   which the batch starts. Every other statement of the batch has an effect only if this attempt
//!   moved that row. So a batch that comes late, twice or out of order changes nothing.
//! - **Bounded pages.** A page of `n` rows reads `n + 1` rows of one index range, at any depth of the
//!   list, and ends early where the rows are long: see [`crate::organization::page`]. Each order has its
//!   own index, and each direction its own statement: SQLite scans when a parameter can switch a
//!   condition off.

pub mod agent_users;
pub mod batches;
pub mod comparison;
pub mod fence;
mod keyset;
pub mod page;
pub mod pages;
pub mod removal;
pub mod schema;
