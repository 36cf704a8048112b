//! Metadata: the caller's own JSON about a user.

use serde::{Deserialize, Serialize};

use crate::json::{self, RawValue, merge_patch};
use crate::refusal::Refusal;

/// The largest metadata, in bytes of compact JSON.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;
/// The deepest nesting of metadata. The metadata object itself is level 1.
pub const METADATA_DEPTH_MAX: usize = 8;

/// A JSON object as compact text. Members keep their order, and numbers and strings keep their spelling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata(json::Text);

impl Metadata {
    /// Makes metadata of a value that [`json::check`] has accepted.
    pub fn new(value: &RawValue) -> Result<Self, Refusal> {
        if !json::is_object(value) {
            return Err(Refusal::new("must be a JSON object"));
        }
        if json::depth(value) > METADATA_DEPTH_MAX {
            return Err(Refusal::new("must not be nested deeper than 8 levels"));
        }
        let text = json::compact(value);
        if text.len() > METADATA_BYTES_MAX {
            return Err(Refusal::new("must not be larger than 16384 bytes of JSON"));
        }
        Self::from_stored(text)
    }

    /// The metadata after a JSON Merge Patch (RFC 7396). Refuses a result that is not valid metadata.
    pub fn merged(&self, patch: &json::Text) -> Result<Self, Refusal> {
        let merged = merge_patch::apply(Some(self.0.raw()), patch.raw())?;
        // `null` removes the metadata, which is then an empty object.
        if merged.as_str() == "null" { Ok(Self::default()) } else { Self::new(merged.raw()) }
    }

    /// Takes a text that [`Metadata::as_str`] gave to a store.
    pub fn from_stored(text: String) -> Result<Self, Refusal> {
        let text = json::Text::parse(text).map_err(|error| Refusal::new(error.to_string()))?;
        if json::is_object(text.raw()) { Ok(Self(text)) } else { Err(Refusal::new("must be a JSON object")) }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Default for Metadata {
    fn default() -> Self {
        Self(json::Text::empty_object())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(text: &str) -> Result<Metadata, Refusal> {
        Metadata::new(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn keeps_order_and_numbers() {
        let text = r#"{"z":9007199254740993,"a":1.0,"e":1e400,"s":"\u00e9"}"#;
        assert_eq!(metadata(text).unwrap().as_str(), text);
    }

    #[test]
    fn is_bounded_in_depth_and_size() {
        assert!(metadata("[]").is_err());
        assert!(metadata("null").is_err());
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(metadata(&nested(8)).is_ok());
        assert!(metadata(&nested(9)).is_err());
        let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
        assert!(metadata(&sized(METADATA_BYTES_MAX)).is_ok());
        assert!(metadata(&sized(METADATA_BYTES_MAX + 1)).is_err());
        // White space between tokens is not stored and does not count.
        assert!(metadata(&format!("{{{}}}", " ".repeat(METADATA_BYTES_MAX))).is_ok());
    }
}
