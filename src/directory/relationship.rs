//! Relationships: pairs of a user and an agent that talk.

use serde::{Deserialize, Serialize};

use super::agent::AgentId;
use super::end_user::Version;
use super::identifiers::RelationshipId;
use super::mood::{Decay, Mood, MoodBody};
use super::names::UserId;
use super::timestamp::Timestamp;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relationship {
    pub id: RelationshipId,
    /// The version of the user, which changes with each of the user's relationships.
    pub version: Version,
    pub user_id: UserId,
    pub agent_id: AgentId,
    pub role: String,
    pub turns: i64,
    /// The mood as it was at its last change.
    pub mood: Option<Mood>,
    pub created_at: Timestamp,
    pub last_interaction_at: Option<Timestamp>,
}

/// A relationship as dialect 1 shows it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[schemars(rename = "Relationship")]
pub struct RelationshipView<'a> {
    id: RelationshipId,
    user_id: &'a UserId,
    personality_id: AgentId,
    role: &'a str,
    turns: i64,
    mood: Option<MoodBody<'a>>,
    created_at: Timestamp,
    last_interaction_at: Option<Timestamp>,
}

impl Relationship {
    /// The relationship with its mood as it is after the decay.
    pub fn view(&self, decay: Decay) -> RelationshipView<'_> {
        let Self { id, version: _, user_id, agent_id, role, turns, mood, created_at, last_interaction_at } = self;
        let mood = mood.as_ref().map(|mood| mood.body(*agent_id, user_id, decay));
        RelationshipView {
            id: *id,
            user_id,
            personality_id: *agent_id,
            role,
            turns: *turns,
            mood,
            created_at: *created_at,
            last_interaction_at: *last_interaction_at,
        }
    }
}
