//! Endpoints that take no credential of an organization.

pub mod clerk_webhook;
pub mod demo;
pub mod probes;
