//! Principals in calls and replies.

use super::precondition::Precondition;
use crate::directory::agent::AgentId;
use crate::directory::end_user::Version;
use crate::directory::identifiers::DeletionId;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::principal::{Principal, PrincipalId, PrincipalType};
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

#[derive(Debug, Serialize, Deserialize)]
pub struct ReadPrincipal {
    pub principal: PrincipalRef,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct UpdatePrincipal {
    pub id: PrincipalId,
    pub change: PrincipalChange,
    pub if_match: Option<Precondition>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct DeletePrincipal {
    pub id: PrincipalId,
    pub deletion_id: DeletionId,
    pub reason: Option<String>,
    pub if_match: Option<Precondition>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListPrincipals {
    pub r#type: Option<PrincipalType>,
    pub from: PrincipalsFrom,
    pub limit: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PrincipalView {
    pub principal: Principal,
    /// The version of the user or agent behind the principal.
    pub version: Version,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreatedPrincipal {
    pub created: bool,
    pub view: PrincipalView,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct PrincipalPage {
    pub items: Vec<Principal>,
    /// Whether more principals follow.
    pub has_more: bool,
    /// The number of all principals, when the command counts them.
    pub total: Option<u64>,
}
