//! Principals, as calls carry them.

use crate::directory::agent::AgentId;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::principal::{PrincipalId, PrincipalType};
use serde::{Deserialize, Serialize};

/// A principal to be made, unless there is one.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewPrincipal {
    pub r#type: PrincipalType,
    pub external_id: UserId,
    pub name: Name,
    pub metadata: Metadata,
    /// The id, if it is an agent that is made.
    pub agent_id: AgentId,
}

/// How a caller names a principal.
#[derive(Debug, Serialize, Deserialize)]
pub enum PrincipalRef {
    Id(PrincipalId),
    ExternalId(UserId),
}

/// What to make of a principal's record; what is not given stays.
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
    /// Those that end just before.
    Before(PrincipalId),
    /// So many are left out, and all are counted.
    Offset(u32),
}
