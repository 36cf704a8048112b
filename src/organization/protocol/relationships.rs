//! Relationships in calls and replies.

use super::precondition::Precondition;
use crate::directory::agent::AgentRef;
use crate::directory::deletion::Cascade;
use crate::directory::identifiers::{DeletionId, RelationshipId};
use crate::directory::names::UserId;
use crate::directory::relationship::Relationship;
use serde::{Deserialize, Serialize};

/// Lists the relationships of a user, of an agent, of both, or all of them, oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListRelationships {
    pub user_id: Option<UserId>,
    pub agent: Option<AgentRef>,
    /// A row number.
    pub after: i64,
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ReadRelationship {
    pub id: RelationshipId,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteRelationship {
    pub id: RelationshipId,
    pub deletion_id: DeletionId,
    pub cascade: Cascade,
    pub reason: Option<String>,
    pub if_match: Option<Precondition>,
}

/// A relationship with its row number.
pub type NumberedRelationship = (i64, Relationship);
