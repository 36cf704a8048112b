//! `/api/v1/principals`: the principals API.

mod envelope;
pub mod list;
pub mod principal;

pub use envelope::{Envelope, Meta, PrincipalResult};
