//! What is wrong with one field of a request.

use std::fmt;

use crate::json::{self, RawValue};
use crate::refusal::Refusal;

/// The part of the request that has a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Location {
    Body,
    Query,
    Path,
}

/// One fault of one field.
#[derive(Debug, Clone)]
pub struct FieldFault {
    pub location: Location,
    /// The path of the field, with dots and indices, such as `users[3].metadata`.
    pub path: String,
    pub message: String,
    /// The value that the caller sent, if it is short enough to repeat.
    pub value: Option<json::Text>,
}

/// The longest value that is repeated to the caller, in bytes.
const ECHO_BYTES_MAX: usize = 256;

impl FieldFault {
    pub fn new(location: Location, path: impl Into<String>, refusal: Refusal, value: Option<&RawValue>) -> Self {
        let value = value.filter(|value| value.get().len() <= ECHO_BYTES_MAX).map(json::Text::from);
        Self { location, path: path.into(), message: refusal.0, value }
    }
}

impl fmt::Display for FieldFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The path is empty when the whole value is at fault.
        let path = if self.path.is_empty() { "it" } else { &self.path };
        write!(formatter, "{path} {}", self.message)
    }
}
