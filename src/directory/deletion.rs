//! Erasures and their receipts.

use serde::{Deserialize, Serialize};

use super::identifiers::DeletionId;
use super::timestamp::Timestamp;
use crate::refusal::Refusal;

/// The longest reason for an erasure, in characters.
pub const REASON_CHARACTERS_MAX: usize = 500;

/// The extent of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Cascade {
    /// The person and all data about them.
    All,
    /// The moods.
    ModelOnly,
    /// The relationships.
    MemoryOnly,
}

impl Cascade {
    pub const ALL: [Self; 3] = [Self::All, Self::ModelOnly, Self::MemoryOnly];

    /// The status in the response to the request. The receipt says `deletion_pending` for every extent.
    pub const fn requested_status(self) -> &'static str {
        match self {
            Self::All => "deletion_pending",
            Self::ModelOnly | Self::MemoryOnly => "partial_deletion_pending",
        }
    }
}

/// The numbers of erased things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Erased {
    pub records: i64,
    pub relationships: i64,
    pub moods: i64,
}

/// The record that an erasure leaves. It names no person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Receipt {
    pub deletion_id: DeletionId,
    pub status: ReceiptStatus,
    pub cascade: Cascade,
    pub requested_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    pub reason: Option<String>,
    pub erased: Erased,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptStatus {
    DeletionPending,
    Completed,
}

/// Checks a reason, which is any text of at most [`REASON_CHARACTERS_MAX`] characters.
pub fn reason(text: String) -> Result<String, Refusal> {
    if text.chars().count() > REASON_CHARACTERS_MAX {
        return Err(Refusal::new("must have at most 500 characters"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_at_most_500_characters() {
        assert!(reason("é".repeat(REASON_CHARACTERS_MAX)).is_ok());
        assert!(reason("é".repeat(REASON_CHARACTERS_MAX + 1)).is_err());
    }
}
