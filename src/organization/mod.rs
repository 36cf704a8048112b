//! The organization object: the single writer of one tenant.
//!
//! A tenant is one mode, live or test, of one organization. The Worker wraps [`core`] in a Durable Object; tests
//! run it on the host.
//!
//! Invariants, each kept by construction and attacked by the simulation:
//!
//! 1. **One command is one transaction.** The object runs [`core::OrganizationCore::handle`] in a transaction. An
//!    error rolls back every statement, and the core drops its memory and reads it again. A command that only
//!    reads runs without a transaction. Its admission still writes the day of the key's last use and the
//!    high-water mark; both only grow, so each may stand alone.
//! 2. **A change and its row of the log commit together.** So no projection misses a change, and no projection
//!    receives a change that did not happen.
//! 3. **A user id has at most one record**, by its unique digest. Of any number of racing creations, exactly one
//!    is answered that it created the user.
//! 4. **A closed object stays closed**: see [`closing`].
//! 5. **The bucket never admits more than `burst + rate·t`** in any interval, restarts included: see [`limiter`].
//!
//! Everything here is synchronous, and pure except for the SQL that it receives.

pub mod active_relationships;
mod admission;
pub mod agents;
pub mod answer_bounds;
pub mod audit;
pub mod batches;
pub mod change_log;
pub mod closing;
mod commands;
pub mod copies;
mod copying;
pub mod core;
pub mod erasure;
pub mod export;
mod failure;
pub mod feed;
pub mod idempotency;
mod keys;
mod leases;
pub mod limiter;
mod log_row;
mod memory;
pub mod overwriting;
pub mod page;
pub mod principals;
pub mod protocol;
pub mod quotas;
pub mod relationship_entry;
pub mod relationships;
pub mod retention;
pub mod schema;
mod settings;
pub mod sql;
mod stored_mood;
mod transaction;
mod transfer;
mod turn_quotas;
pub mod turns;
pub mod user_row;
pub mod user_turns;
mod users;
mod writer;
