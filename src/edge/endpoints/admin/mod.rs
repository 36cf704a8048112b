//! `/admin/v1`: the operator's API.

pub mod deletions;
pub mod diagnostics;
pub mod export;
pub mod import;
pub mod keys;
pub mod operators;
pub mod organizations;
pub mod repair;
pub mod usage;
