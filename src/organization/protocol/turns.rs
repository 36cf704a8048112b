//! Turns in calls and replies.

use crate::directory::agent::AgentRef;
use crate::directory::identifiers::RelationshipId;
use crate::directory::mood::{Affect, EmotionalState};
use crate::directory::names::{Name, UserId};
use crate::directory::quota::Quota;
use crate::directory::timestamp::Timestamp;
use crate::json;
use serde::{Deserialize, Serialize};

/// A turn to reserve under the id of its request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewTurn {
    pub agent: AgentRef,
    /// The user whom the turn names.
    pub user_id: Option<UserId>,
    /// Whether the named user takes the turn. A stateless turn leaves nothing with the user.
    pub is_stateful: bool,
    /// The id of the relationship, if the object has to create it.
    pub relationship_id: RelationshipId,
    /// Milliseconds until the reservation expires.
    pub expires_in_ms: i64,
}

/// The answer of a turn's provider.
#[derive(Debug, Serialize, Deserialize)]
pub struct TurnAnswer {
    pub response: String,
    /// The emotional state as the caller sees it.
    pub state: Option<EmotionalState>,
    /// What moves the mood of the relationship.
    pub affect: Option<Affect>,
    pub provider: String,
    pub model: String,
    pub latency_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ReservedTurn {
    New {
        agent_name: Name,
        display_name: Option<Name>,
        quota: Quota,
    },
    /// The request has an answer already, which the object kept under its idempotency key.
    Answered(CountedTurn),
}

/// The answer to a counted turn, with the current quota. A kept answer stores no quota.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountedTurn {
    pub document: json::Text,
    pub quota: Option<Quota>,
}

/// The arguments of `Command::ReleaseTurn`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReleaseTurn;

/// The arguments of `Command::ReadUsage`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReadUsage;

/// What a tenant has used in its billing period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub quota: Quota,
    pub period_start: Timestamp,
}

/// The arguments of `Command::ReadUserUsage`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReadUserUsage {
    pub user_id: UserId,
}

/// The turns of one end user in the billing period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserUsage {
    /// Turns that are counted.
    pub used: u64,
    /// Turns in progress.
    pub reserved: u64,
    /// `None` when the organization sets no limit.
    pub limit: Option<u64>,
    pub period_start: Timestamp,
    pub resets_at: Timestamp,
}
