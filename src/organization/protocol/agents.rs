//! Agents in calls.

use crate::directory::agent::AgentId;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use serde::{Deserialize, Serialize};

/// An agent to create, unless it exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewAgent {
    pub agent_id: AgentId,
    pub external_id: Option<UserId>,
    pub name: Name,
    pub metadata: Option<Metadata>,
}
