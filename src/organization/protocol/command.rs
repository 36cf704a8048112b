//! The commands of the object.

use super::agents::NewAgent;
use super::end_users::{EndUserChange, NewEndUser};
use super::keys::NewKey;
use super::precondition::Precondition;
use super::principals::{NewPrincipal, PrincipalChange, PrincipalRef, PrincipalsFrom};
use super::settings::Settings;
use super::turns::{NewTurn, TurnAnswer};
use crate::directory::agent::AgentRef;
use crate::directory::deletion::Cascade;
use crate::directory::identifiers::{DeletionId, KeyId, RelationshipId, Tenant};
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::principal::{PrincipalId, PrincipalType};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Check the caller and take the tokens, nothing else.
    Admit,
    CreateEndUser(NewEndUser),
    /// Create several users in one commit, each as [`Self::CreateEndUser`] does.
    CreateEndUsers {
        users: Vec<NewEndUser>,
    },
    UpdateEndUser {
        user_id: UserId,
        change: EndUserChange,
        /// `If-Match`: the object changes only these versions.
        if_match: Option<Precondition>,
    },
    DeleteEndUser {
        user_id: UserId,
        deletion_id: DeletionId,
        cascade: Cascade,
        reason: Option<String>,
    },
    ReadDeletion {
        deletion_id: DeletionId,
    },
    /// Return everything that the object holds about a user.
    ExportEndUser {
        user_id: UserId,
    },
    /// Return the record of a user, with the relationships that it shows.
    ReadEndUser {
        user_id: UserId,
    },
    Configure(Settings),
    IssueKey {
        settings: Settings,
        key: NewKey,
    },
    ListKeys {
        after: Option<KeyId>,
        limit: u32,
    },
    RevokeKey {
        key_id: KeyId,
    },
    /// Start an audit, which compares the projections with the object.
    StartAudit(Settings),
    ReadAudit,
    /// Create an agent, or change the existing one.
    SaveAgent(NewAgent),
    ReadAgent {
        agent: AgentRef,
    },
    UpdateAgent {
        agent: AgentRef,
        name: Option<Name>,
        metadata: Option<Metadata>,
        if_match: Option<Precondition>,
    },
    /// List the agents after a row number, oldest first.
    ListAgents {
        after: i64,
        limit: u32,
    },
    ReserveTurn(NewTurn),
    /// Count the turn that this request reserved.
    CommitTurn(TurnAnswer),
    ReleaseTurn,
    ListRelationships {
        user_id: Option<UserId>,
        agent: Option<AgentRef>,
        after: i64,
        limit: u32,
    },
    ReadRelationship {
        id: RelationshipId,
    },
    ReadUsage,
    DeleteAgent {
        agent: AgentRef,
        deletion_id: DeletionId,
        reason: Option<String>,
    },
    DeleteRelationship {
        id: RelationshipId,
        deletion_id: DeletionId,
        cascade: Cascade,
        reason: Option<String>,
    },
    /// Create a principal, unless it exists.
    CreatePrincipal(NewPrincipal),
    ReadPrincipal {
        principal: PrincipalRef,
    },
    UpdatePrincipal {
        id: PrincipalId,
        change: PrincipalChange,
        if_match: Option<Precondition>,
    },
    DeletePrincipal {
        id: PrincipalId,
        deletion_id: DeletionId,
        reason: Option<String>,
    },
    /// List principals of one type or of both, in the order of their ids.
    ListPrincipals {
        r#type: Option<PrincipalType>,
        from: PrincipalsFrom,
        limit: u32,
    },
    /// Close the object for good and remove everything that it holds, because the operator deleted
    /// the organization. A closed object answers how far the removal is.
    Close {
        tenant: Tenant,
    },
}

impl Command {
    /// Whether a second execution of the command has no further effect, whatever other commands
    /// come in between. A record remembers the request that created it, and a key its digest. A
    /// repeated change could undo a later one.
    pub const fn may_be_repeated(&self) -> bool {
        match self {
            Self::UpdateEndUser { .. }
            | Self::SaveAgent(_)
            | Self::UpdateAgent { .. }
            | Self::UpdatePrincipal { .. }
            // An agent does not remember the request that created it.
            | Self::CreatePrincipal(NewPrincipal { r#type: PrincipalType::Agent, .. }) => false,
            Self::Admit
            | Self::CreateEndUser(_)
            | Self::CreateEndUsers { .. }
            | Self::DeleteEndUser { .. }
            | Self::ReadDeletion { .. }
            | Self::ExportEndUser { .. }
            | Self::ReadEndUser { .. }
            | Self::Configure(_)
            | Self::IssueKey { .. }
            | Self::ListKeys { .. }
            | Self::StartAudit(_)
            | Self::ReadAudit
            | Self::ReadAgent { .. }
            | Self::ListAgents { .. }
            | Self::ReserveTurn(_)
            | Self::CommitTurn(_)
            | Self::ReleaseTurn
            | Self::ListRelationships { .. }
            | Self::ReadRelationship { .. }
            | Self::ReadUsage
            | Self::DeleteAgent { .. }
            | Self::DeleteRelationship { .. }
            | Self::CreatePrincipal(NewPrincipal { r#type: PrincipalType::Human, .. })
            | Self::ReadPrincipal { .. }
            | Self::DeletePrincipal { .. }
            | Self::ListPrincipals { .. }
            | Self::Close { .. }
            | Self::RevokeKey { .. } => true,
        }
    }

    /// Whether the command changes nothing. What the admission of its caller writes may stand alone.
    pub const fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Admit
                | Self::ReadDeletion { .. }
                | Self::ExportEndUser { .. }
                | Self::ReadEndUser { .. }
                | Self::ListKeys { .. }
                | Self::ReadAudit
                | Self::ReadAgent { .. }
                | Self::ListAgents { .. }
                | Self::ListRelationships { .. }
                | Self::ReadRelationship { .. }
                | Self::ReadUsage
                | Self::ReadPrincipal { .. }
                | Self::ListPrincipals { .. }
        )
    }
}
