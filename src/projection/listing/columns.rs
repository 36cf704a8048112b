//! The columns of the listing that hold a part of a user's record, for the lists that show only this part.

use serde::Deserialize;

use crate::json::{RawValue, Text};

/// The columns, read from the record.
#[derive(Debug, Deserialize)]
pub struct RecordColumns<'a> {
    pub display_name: Option<String>,
    #[serde(borrow)]
    pub metadata: &'a RawValue,
}

impl<'a> RecordColumns<'a> {
    pub fn of(document: &'a Text) -> serde_json::Result<Self> {
        serde_json::from_str(document.as_str())
    }
}
