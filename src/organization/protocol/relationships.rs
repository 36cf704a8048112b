//! Relationships, as replies carry them.

use crate::json;
use serde::{Deserialize, Serialize};

/// What a single user is shown with: their relationships as a JSON array, those with
/// the newest interaction first, and whether there are more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub relationships: json::Text,
    pub has_more: bool,
}

impl Shown {
    pub fn none() -> Self {
        Self { relationships: json::Text::from_stored("[]".to_owned()), has_more: false }
    }
}
