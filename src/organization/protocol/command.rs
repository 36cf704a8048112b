//! The commands of the object: one table of what each is given, what it answers and what it changes.

use super::agents::{AgentPage, AgentView, DeleteAgent, ListAgents, NewAgent, ReadAgent, SavedAgent, UpdateAgent};
use super::audit::{AuditReport, ReadAudit, StartAudit};
use super::closing::{Close, CloseAgain, ClosingProgress, OrganizationDeletion};
use super::deletions::{DeleteEndUser, DeleteEndUsers, ReadDeletion};
use super::end_users::{
    CreateEndUsers, CreatedEndUser, Creation, EndUserView, ExportPart, ExportedPart, NewEndUser, ReadEndUser,
    ReadEndUsers, UpdateEndUser,
};
use super::events::{EventsRead, ReadEvents};
use super::keys::{IssueKey, KeyRecord, ListKeys, RevokeKey};
use super::principals::{
    CreatedPrincipal, DeletePrincipal, ListPrincipals, NewPrincipal, PrincipalPage, PrincipalView, ReadPrincipal,
    UpdatePrincipal,
};
use super::rejection::Rejection;
use super::relationships::{DeleteRelationship, ListRelationships, NumberedRelationship, ReadRelationship};
use super::schema::ReadSchema;
use super::settings::Settings;
use super::transfer::{ExportRecords, ExportedRecords, ImportRecords};
use super::turns::{
    CountedTurn, NewTurn, ReadUsage, ReadUserUsage, ReleaseTurn, ReservedTurn, TurnAnswer, Usage, UserUsage,
};
use crate::directory::deletion::Receipt;
use crate::directory::end_user::EndUser;
use crate::directory::identifiers::DeletionId;
use crate::directory::placement::LocationHint;
use crate::directory::principal::PrincipalType;
use crate::directory::relationship::Relationship;
use serde::{Deserialize, Serialize};

/// What executing a command again does, whatever other commands come in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The command changes nothing. What the admission of its caller writes may stand alone.
    Reads,
    /// A second execution has no further effect. A record remembers the request that created it, and a key its
    /// digest.
    Repeatable,
    /// A second execution could undo a later change, or answer something else than the first.
    Once,
}

/// The arguments of a command, which name the type of its answer.
pub trait IntoCommand {
    type Answer;

    fn into_command(self) -> Command;

    /// `None` for the answer to another command.
    fn read(answer: Answer) -> Option<Self::Answer>;
}

/// `effect command(arguments) -> answer`. A command has the same number in calls and in replies: its place in
/// this table. A new one goes to the end.
macro_rules! commands {
    ($($(#[$comment:meta])* $effect:ident $name:ident($arguments:ty) -> $answer:ty;)*) => {
        #[derive(Debug, Serialize, Deserialize)]
        pub enum Command {
            $($(#[$comment])* $name($arguments),)*
        }

        /// The answer to a command that was executed.
        #[derive(Debug, Serialize, Deserialize)]
        pub enum Answer {
            $($name($answer),)*
        }

        impl Command {
            pub const fn effect(&self) -> Effect {
                match self {
                    $(Self::$name(_) => Effect::$effect,)*
                }
            }
        }

        $(impl IntoCommand for $arguments {
            type Answer = $answer;

            fn into_command(self) -> Command {
                Command::$name(self)
            }

            fn read(answer: Answer) -> Option<$answer> {
                if let Answer::$name(answer) = answer { Some(answer) } else { None }
            }
        })*
    };
}

commands! {
    /// Check the caller and take the tokens, nothing else.
    Reads Admit(Admit) -> ();
    Repeatable CreateEndUser(NewEndUser) -> CreatedEndUser;
    /// Create several users in one commit, each as `CreateEndUser` does.
    Repeatable CreateEndUsers(CreateEndUsers) -> Vec<Creation>;
    Once UpdateEndUser(UpdateEndUser) -> EndUser;
    Repeatable DeleteEndUser(DeleteEndUser) -> Receipt;
    Reads ReadDeletion(ReadDeletion) -> Receipt;
    /// Return the record of a user, with the relationships that it shows.
    Reads ReadEndUser(ReadEndUser) -> EndUserView;
    Repeatable Configure(Settings) -> ();
    Repeatable IssueKey(IssueKey) -> ();
    Reads ListKeys(ListKeys) -> Vec<KeyRecord>;
    Repeatable RevokeKey(RevokeKey) -> ();
    /// Start an audit, which compares the projections with the object.
    Repeatable StartAudit(StartAudit) -> Option<AuditReport>;
    /// The answer is `None` when the object was never audited.
    Reads ReadAudit(ReadAudit) -> Option<AuditReport>;
    /// Create an agent, or change the existing one.
    Once SaveAgent(NewAgent) -> SavedAgent;
    Reads ReadAgent(ReadAgent) -> AgentView;
    Once UpdateAgent(UpdateAgent) -> AgentView;
    /// List the agents after a row number, oldest first.
    Reads ListAgents(ListAgents) -> AgentPage;
    Repeatable ReserveTurn(NewTurn) -> ReservedTurn;
    /// Count the turn that this request reserved.
    Repeatable CommitTurn(TurnAnswer) -> CountedTurn;
    Repeatable ReleaseTurn(ReleaseTurn) -> ();
    Reads ListRelationships(ListRelationships) -> Vec<NumberedRelationship>;
    Reads ReadRelationship(ReadRelationship) -> Relationship;
    Reads ReadUsage(ReadUsage) -> Usage;
    Repeatable DeleteAgent(DeleteAgent) -> Receipt;
    Repeatable DeleteRelationship(DeleteRelationship) -> Receipt;
    /// Create a principal, unless it exists.
    Once CreatePrincipal(NewPrincipal) -> CreatedPrincipal;
    Reads ReadPrincipal(ReadPrincipal) -> PrincipalView;
    Once UpdatePrincipal(UpdatePrincipal) -> PrincipalView;
    Repeatable DeletePrincipal(DeletePrincipal) -> Receipt;
    /// List principals of one type or of both, in the order of their ids.
    Reads ListPrincipals(ListPrincipals) -> PrincipalPage;
    /// Close the object for good and remove everything that it holds, because the operator deleted the
    /// organization. A closed object answers how far the removal is.
    Repeatable Close(Close) -> ClosingProgress;
    /// Have a closed object remove once more what it had, because a store got it back. It answers whose deletion it was,
    /// if it knows. An open object refuses.
    Repeatable CloseAgain(CloseAgain) -> Option<OrganizationDeletion>;
    /// Return a bounded part of everything that the object holds about a user.
    Reads ExportPart(ExportPart) -> ExportedPart;
    /// Return the records of several users, in the order asked for, without those who are not there.
    Reads ReadEndUsers(ReadEndUsers) -> Vec<EndUser>;
    /// Erase several users in one commit. The answer has an erasure for each; `None` for a user who is not there.
    Repeatable DeleteEndUsers(DeleteEndUsers) -> Vec<Option<DeletionId>>;
    /// Return a bounded part of the tenant's records.
    Reads ExportRecords(ExportRecords) -> ExportedRecords;
    /// Create records with the ids and instants that they had elsewhere. The answer says of each whether it was created.
    Repeatable ImportRecords(ImportRecords) -> Vec<Result<bool, Rejection>>;
    /// Return the version of the object's tables.
    Reads ReadSchema(ReadSchema) -> i64;
    /// Return a page of events after a place in the change log.
    Reads ReadEvents(ReadEvents) -> EventsRead;
    Reads ReadUserUsage(ReadUserUsage) -> UserUsage;
}

/// The arguments of [`Command::Admit`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Admit;

impl Command {
    /// Whether the edge may repeat the command when it loses the reply.
    pub fn may_be_repeated(&self) -> bool {
        match self {
            // A human remembers the request that created it, as the end user does. An agent does not.
            Self::CreatePrincipal(new) => new.r#type == PrincipalType::Human,
            command => command.effect() != Effect::Once,
        }
    }

    /// Where the object is to be made if there is none yet. Only a command that brings settings can be an object's first.
    pub fn location(&self) -> Option<LocationHint> {
        match self {
            Self::Configure(settings)
            | Self::IssueKey(IssueKey { settings, .. })
            | Self::StartAudit(StartAudit { settings, .. }) => settings.location(),
            _ => None,
        }
    }

    pub fn only_reads(&self) -> bool {
        self.effect() == Effect::Reads
    }
}

impl Answer {
    /// Whether the command requested an erasure, which the object completes later.
    pub const fn is_requested_erasure(&self) -> bool {
        matches!(
            self,
            Self::DeleteEndUser(_)
                | Self::DeleteEndUsers(_)
                | Self::DeleteAgent(_)
                | Self::DeleteRelationship(_)
                | Self::DeletePrincipal(_)
        )
    }
}
