//! The projections: what is derived from the objects and can be rebuilt from them.
//!
//! [`listing`] is D1, with ordered pages. [`cache`] is KV, with records for point reads. [`flush`]
//! brings both up to date with an object, [`audit`] compares them with it, [`organization`] brings
//! the organization's row back that D1 has lost, and [`closing`] removes everything that a closed object had there. These files decide which statements and values the
//! object writes. [`Database`] and [`Cache`] carry them out; the Worker and the tests implement both.

pub mod audit;
pub mod cache;
pub mod closing;
pub mod flush;
pub mod listing;
pub mod organization;
mod stores;

pub use stores::{Cache, Database, PARAMETER_BYTES_MAX, Put, Rows, Statement, StoreError, Texts};
