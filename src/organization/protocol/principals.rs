//! Principals in calls.

use crate::directory::agent::AgentId;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::principal::{PrincipalId, PrincipalType};
use serde::{Deserialize, Serialize};

/// A principal to create, unless it exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewPrincipal {
    pub r#type: PrincipalType,
    pub external_id: UserId,
    pub name: Name,
    pub metadata: Metadata,
    /// The id of the agent, if the object creates one.
    pub agent_id: AgentId,
}

/// How a caller names a principal.
#[derive(Debug, Serialize, Deserialize)]
pub enum PrincipalRef {
    Id(PrincipalId),
    ExternalId(UserId),
}

/// A change of a principal's record. A field that is `None` stays.
#[derive(Debug, Serialize, Deserialize)]
pub struct PrincipalChange {
    pub name: Option<Name>,
    pub metadata: Option<Metadata>,
    pub owner: Option<Option<PrincipalId>>,
}

/// Where a list of principals begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalsFrom {
    Start,
    After(PrincipalId),
    /// The last principals before this one.
    Before(PrincipalId),
    /// Skip this many principals, and count all of them.
    Offset(u32),
}
