//! `/api/v1/principals`: the principals API.

mod envelope;
pub mod list;
pub mod principal;

#[cfg(feature = "openapi")]
pub use envelope::{Envelope, Meta, PrincipalResult};
