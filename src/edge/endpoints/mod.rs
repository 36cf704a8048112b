//! The endpoints, by API.

pub mod admin;
pub mod agents;
pub mod deletion_request;
pub mod principals;
pub mod public;
pub mod v1;
