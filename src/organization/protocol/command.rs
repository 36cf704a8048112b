//! What the object can be asked to do.

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
    /// Only check the caller and take the tokens.
    Admit,
    CreateEndUser(NewEndUser),
    /// As many creations in one commit, each as if it came alone.
    CreateEndUsers {
        users: Vec<NewEndUser>,
    },
    UpdateEndUser {
        user_id: UserId,
        change: EndUserChange,
        /// `If-Match`: the change is made only to one of these.
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
    /// Give everything that is held about a user.
    ExportEndUser {
        user_id: UserId,
    },
    /// Name the revision of a user that is in force.
    LocateEndUser {
        user_id: UserId,
    },
    /// Give the whole record of a user.
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
    /// Begin to compare the projections with what the object has.
    StartAudit(Settings),
    ReadAudit,
    /// Make an agent, or change the one that is there.
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
    /// Agents after a row, in the order of their making.
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
    /// Make a principal, unless there is one.
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
    /// Principals of one type or both, in the order of their ids.
    ListPrincipals {
        r#type: Option<PrincipalType>,
        from: PrincipalsFrom,
        limit: u32,
    },
    /// Close the object for good, and remove everything it holds: its organization was
    /// deleted. Asked again, it tells how far that is.
    Close {
        tenant: Tenant,
    },
}

impl Command {
    /// Whether the command, executed twice, is as if executed once, whatever came
    /// in between: creations remember their request, issued keys their digest. A
    /// change does not: repeated, it could undo another that came after it.
    pub const fn may_be_repeated(&self) -> bool {
        match self {
            Self::UpdateEndUser { .. }
            | Self::SaveAgent(_)
            | Self::UpdateAgent { .. }
            | Self::UpdatePrincipal { .. }
            // An agent does not remember the request that made it.
            | Self::CreatePrincipal(NewPrincipal { r#type: PrincipalType::Agent, .. }) => false,
            Self::Admit
            | Self::CreateEndUser(_)
            | Self::CreateEndUsers { .. }
            | Self::DeleteEndUser { .. }
            | Self::ReadDeletion { .. }
            | Self::ExportEndUser { .. }
            | Self::LocateEndUser { .. }
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

    /// Whether it changes nothing. What admitting its caller writes stands for itself.
    pub const fn only_reads(&self) -> bool {
        matches!(
            self,
            Self::Admit
                | Self::ReadDeletion { .. }
                | Self::ExportEndUser { .. }
                | Self::LocateEndUser { .. }
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
