//! Turns in calls.

use crate::directory::agent::AgentRef;
use crate::directory::identifiers::RelationshipId;
use crate::directory::mood::{Affect, EmotionalState};
use crate::directory::names::UserId;
use serde::{Deserialize, Serialize};

/// A turn to reserve under the id of its request.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewTurn {
    pub agent: AgentRef,
    /// The user who takes the turn; `None` for a turn without a user.
    pub user_id: Option<UserId>,
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
