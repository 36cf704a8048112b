//! Relationships in replies.

use crate::json;
use serde::{Deserialize, Serialize};

/// The relationships that a single user's record shows, the newest interaction first, and whether there are
/// more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub relationships: Vec<json::Text>,
    pub has_more: bool,
}

impl Shown {
    pub fn none() -> Self {
        Self { relationships: Vec::new(), has_more: false }
    }

    pub fn is_empty(&self) -> bool {
        self.relationships.is_empty()
    }
}
