//! Agents, as calls carry them.

use crate::directory::agent::AgentId;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use serde::{Deserialize, Serialize};

/// An agent to be made, unless there is one.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewAgent {
    pub agent_id: AgentId,
    pub external_id: Option<UserId>,
    pub name: Name,
    pub metadata: Option<Metadata>,
}
