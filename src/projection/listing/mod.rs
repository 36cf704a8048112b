//! The ordered listing in D1: how a batch is applied and how a page is read.
//!
//! Invariants:
//!
//! - **The fence.** A batch moves its tenant's row in `projections` from the
//!   sequence number it starts at, and every other statement of it holds only if
//!   that very attempt did. A batch that comes late, twice or out of order
//!   therefore changes nothing.
//! - **Bounded pages.** A page of `n` reads `n + 1` rows of one index range,
//!   however deep it lies in the list. Each order has its own index and each
//!   direction its own statement, as a condition that can be switched off by a
//!   parameter makes SQLite scan.

pub mod agent_users;
pub mod batches;
pub mod comparison;
pub mod fence;
mod keyset;
pub mod pages;
