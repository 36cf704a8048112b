//! The records of a tenant on their way into another deployment, in calls.

use crate::directory::agent::AgentId;
use crate::directory::identifiers::RelationshipId;
use crate::directory::metadata::Metadata;
use crate::directory::mood::Mood;
use crate::directory::names::{Name, UserId};
use crate::directory::principal::PrincipalId;
use crate::directory::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// Which part of a tenant's records to export. The default is the first part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportRecords {
    pub list: RecordList,
    /// The row number of the last record of the part before.
    pub after: i64,
}

/// The lists of an export, in this order: a record comes after those that it names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordList {
    #[default]
    EndUsers,
    Agents,
    Relationships,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedRecords {
    /// A line of JSON for each record.
    pub lines: String,
    /// `None` after the last part.
    pub next: Option<ExportRecords>,
}

/// Records to create with the ids and instants that they had elsewhere.
#[derive(Debug, Serialize, Deserialize)]
pub struct ImportRecords {
    pub records: Vec<Record>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Record {
    EndUser(EndUserRecord),
    Agent(AgentRecord),
    Relationship(RelationshipRecord),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndUserRecord {
    pub user_id: UserId,
    pub principal_id: PrincipalId,
    pub display_name: Option<Name>,
    pub metadata: Metadata,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_interaction_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    pub agent_id: AgentId,
    pub external_id: Option<UserId>,
    pub name: Name,
    pub metadata: Metadata,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The human who owns the agent.
    pub owner: Option<UserId>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RelationshipRecord {
    pub id: RelationshipId,
    pub user_id: UserId,
    pub agent_id: AgentId,
    pub turns: i64,
    pub mood: Option<Mood>,
    pub created_at: Timestamp,
    pub last_interaction_at: Option<Timestamp>,
}
