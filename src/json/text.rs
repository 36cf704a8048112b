//! JSON that is passed on as text.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::raw::Raw;
use super::write::{Unwritable, write};

/// Well-formed JSON, which Rollcall wrote or checked. It stays text from where it is made to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Writes a value.
    pub fn of(value: &impl Serialize) -> Result<Self, Unwritable> {
        write(value).map(Self)
    }

    /// Takes back a text that a store was given.
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    pub fn raw(&self) -> Raw<'_> {
        Raw::of_checked(&self.0)
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Writes the value itself into JSON, and a string into any other format.
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_bytes(self.0.as_bytes())
        } else {
            self.0.serialize(serializer)
        }
    }
}

/// Reads from any format but JSON. In JSON a value is a [`Raw`] until it is checked.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}
