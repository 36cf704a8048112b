//! The vocabulary of the directory: identifiers, records, cursors and keys as
//! types that can only hold valid values.
//!
//! Pure: no platform type, no clock, no entropy and no I/O. Whatever a value
//! needs of the outside (the time, random bytes, a secret) is an argument.

pub mod agent;
pub mod api_key;
pub mod cursor;
pub mod deletion;
pub mod end_user;
pub mod identifiers;
pub mod json;
pub mod merge_patch;
pub mod metadata;
pub mod mood;
pub mod names;
pub mod organization;
pub mod principal;
pub mod secret;
pub mod timestamp;

/// Why a value was refused, in words for the caller who sent it.
///
/// The text names the rule that was broken and never repeats the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl Refusal {
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}
