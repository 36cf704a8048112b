//! Agents in calls and replies.

use super::precondition::Precondition;
use crate::directory::agent::{Agent, AgentId, AgentRef};
use crate::directory::end_user::Version;
use crate::directory::identifiers::DeletionId;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// An agent to create, unless it exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewAgent {
    pub agent_id: AgentId,
    pub external_id: Option<UserId>,
    pub name: Name,
    pub metadata: Option<Metadata>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ReadAgent {
    pub agent: AgentRef,
}

/// A change of an agent. A field that is `None` stays.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpdateAgent {
    pub agent: AgentRef,
    pub name: Option<Name>,
    pub metadata: Option<Metadata>,
    pub if_match: Option<Precondition>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListAgents {
    /// A row number.
    pub after: i64,
    /// Agents to skip after it.
    pub offset: u32,
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteAgent {
    pub agent: AgentRef,
    pub deletion_id: DeletionId,
    pub reason: Option<String>,
    pub if_match: Option<Precondition>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentView {
    pub agent: Agent,
    pub version: Version,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SavedAgent {
    pub created: bool,
    pub view: AgentView,
}

/// An agent as a list shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListedAgent {
    pub number: i64,
    pub agent_id: AgentId,
    pub name: Name,
    pub created_at: Timestamp,
    /// The human that owns it.
    pub owner: Option<UserId>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AgentPage {
    pub items: Vec<ListedAgent>,
    /// The number of all agents, up to a bound.
    pub total: u64,
}
