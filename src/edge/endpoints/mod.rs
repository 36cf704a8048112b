//! The endpoints, by API.

pub mod admin;
pub mod agents;
pub mod deletion_request;
pub mod principals;
pub mod public;
mod row_error;
pub mod v1;
