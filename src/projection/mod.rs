//! The projections: what is derived from the objects and can be rebuilt from them.
//!
//! [`listing`] is D1 (ordered pages), [`cache`] is KV (records for point reads),
//! [`flush`] brings both up to date with an object, [`audit`] looks
//! whether they are, [`closing`] removes all that a deleted organization had there. Which statements and which
//! values are written is decided here, purely; how they get there is behind the
//! two small traits below.

pub mod audit;
pub mod cache;
pub mod closing;
pub mod flush;
pub mod listing;
mod stores;

pub use stores::{Bound, Cache, Database, Put, Statement, StoreError, Texts};
