//! Turns, as calls carry them.

use crate::directory::agent::AgentRef;
use crate::directory::identifiers::RelationshipId;
use crate::directory::mood::Affect;
use crate::directory::names::UserId;
use crate::json;
use serde::{Deserialize, Serialize};

/// A turn to be reserved under the id of its request.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewTurn {
    pub agent: AgentRef,
    /// Who takes it; nobody in particular if `None`.
    pub user_id: Option<UserId>,
    /// The id of the relationship, if it has to be made.
    pub relationship_id: RelationshipId,
    /// How long it may be under way, in milliseconds.
    pub expires_in_ms: i64,
}

/// What a turn was answered.
#[derive(Debug, Serialize, Deserialize)]
pub struct TurnAnswer {
    pub response: String,
    /// The emotional state as the caller sees it.
    pub state: Option<json::Text>,
    /// What moves the mood.
    pub affect: Option<Affect>,
    pub provider: String,
    pub model: String,
    pub latency_ms: i64,
}
