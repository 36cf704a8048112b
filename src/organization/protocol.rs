//! What the edge and the object say to each other, as bytes (postcard,
//! <https://postcard.jamesmunns.com/wire-format>).
//!
//! Both ends are the same build of the same crate, but during a deployment an
//! edge may speak to an object of another build. The format names nothing, so:
//!
//! - What has shipped is never edited: a variant keeps its place and its members.
//!   What is new is a new variant at the end of its enum. Who does not know it
//!   refuses it, which the caller sees as 503 for as long as the deployment lasts.
//! - [`VERSION`] leads every message. It is raised by a change that breaks this
//!   rule; the two builds then refuse each other in the same way.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::audit::Report;
use super::idempotency::IdempotencyKey;
use super::keys::{KeyRecord, NewKey};
use super::limiter::{Decision, Rate};
use super::relationships::Shown;
use super::settings::Settings;
use crate::directory::agent::{AgentId, AgentRef};
use crate::directory::api_key::{KeyDigest, KeyKind, Scope};
use crate::directory::deletion::{Cascade, Erased, Receipt};
use crate::directory::end_user::Revision;
use crate::directory::identifiers::{DeletionId, KeyId, RelationshipId, RequestId, Tenant};
use crate::directory::metadata::Metadata;
use crate::directory::mood::Affect;
use crate::directory::names::{Name, UserId};
use crate::directory::principal::{PrincipalId, PrincipalType};
use crate::directory::quota::Component;
use crate::directory::quota::Quota;
use crate::directory::timestamp::Timestamp;
use crate::json;

/// Leads every message.
const VERSION: u8 = 1;

/// A message that does not read: of another build, or damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(String);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "a message between edge and object does not read: {}", self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Writes a message.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, Unreadable> {
    postcard::to_extend(message, vec![VERSION]).map_err(|error| Unreadable(error.to_string()))
}

/// Reads a message that a build of the same version wrote.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    match bytes.split_first() {
        Some((&VERSION, message)) => postcard::from_bytes(message).map_err(|error| Unreadable(error.to_string())),
        _ => Err(Unreadable("it is of another version".to_owned())),
    }
}

/// One request to the object.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// The HTTP request on whose behalf this is. A call that is repeated because
    /// its answer was lost keeps it, and so gets the answer it would have had.
    pub request_id: RequestId,
    /// Whether this is such a repetition.
    pub repeated: bool,
    pub caller: Caller,
    /// When the caller wants one answer however often it asks.
    pub idempotency: Option<IdempotencyKey>,
    pub command: Command,
}

/// On whose authority.
#[derive(Debug, Serialize, Deserialize)]
pub enum Caller {
    /// The bearer of a key, to be checked by the object.
    Key {
        digest: KeyDigest,
        kind: KeyKind,
        /// What the route needs.
        scope: Scope,
        /// Tokens the route takes.
        cost: u32,
    },
    /// The operator, whom the edge has checked.
    Operator,
}

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

/// A user to be made, unless there is one.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewEndUser {
    pub user_id: UserId,
    pub display_name: Option<Name>,
    pub metadata: Metadata,
}

/// An agent to be made, unless there is one.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewAgent {
    pub agent_id: AgentId,
    pub external_id: Option<UserId>,
    pub name: Name,
    pub metadata: Option<Metadata>,
}

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

/// A turn to be reserved under the id of its request.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewTurn {
    pub agent: AgentRef,
    /// Who takes it; nobody in particular if `None`.
    pub user_id: Option<UserId>,
    /// The id of the relationship, if it has to be made.
    pub relationship_id: RelationshipId,
    /// How long it may be under way, in milliseconds.
    pub expires_in_ms: i64,
}

/// What a turn was answered.
#[derive(Debug, Serialize, Deserialize)]
pub struct TurnAnswer {
    pub response: String,
    /// The emotional state as the caller sees it.
    pub state: Option<json::Text>,
    /// What moves the mood.
    pub affect: Option<Affect>,
    pub provider: String,
    pub model: String,
    pub latency_ms: i64,
}

/// What became of one user of [`Command::CreateEndUsers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Creation {
    Created,
    Existing,
    /// The one that is there is being erased.
    DeletionPending,
    /// The id is an agent's.
    OtherType,
}

impl Creation {
    /// How it is stored with a kept answer.
    pub const fn letter(self) -> char {
        match self {
            Self::Created => 'c',
            Self::Existing => 'e',
            Self::DeletionPending => 'd',
            Self::OtherType => 'o',
        }
    }

    pub const fn of_letter(letter: char) -> Option<Self> {
        match letter {
            'c' => Some(Self::Created),
            'e' => Some(Self::Existing),
            'd' => Some(Self::DeletionPending),
            'o' => Some(Self::OtherType),
            _ => None,
        }
    }
}

/// What to make of a user's record.
#[derive(Debug, Serialize, Deserialize)]
pub enum EndUserChange {
    /// What is given replaces what is held; what is not given stays.
    Replace { display_name: Option<Option<Name>>, metadata: Option<Metadata> },
    /// RFC 7396. The display name is read already; the metadata patch can only
    /// be applied where the metadata is.
    Merge { display_name: Option<Option<Name>>, metadata: Option<json::Text> },
}

/// Which revisions a conditional request is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precondition {
    /// `*`: any that exists.
    Any,
    Revisions(Vec<Revision>),
}

impl Precondition {
    pub fn holds(&self, revision: Revision) -> bool {
        match self {
            Self::Any => true,
            Self::Revisions(revisions) => revisions.contains(&revision),
        }
    }
}

/// The object's answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// Present when the bucket was asked.
    pub admission: Option<Admission>,
    pub outcome: Outcome,
    /// Whether the listing holds every change up to this call; present when the
    /// call asked for that.
    pub listed: Option<bool>,
    /// Whether the outcome is one that an earlier request was answered with.
    pub replayed: bool,
}

impl Reply {
    pub const fn new(admission: Option<Admission>, outcome: Outcome) -> Self {
        Self { admission, outcome, listed: None, replayed: false }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Outcome {
    Denied(Denial),
    Admitted,
    EndUserCreated {
        revision: Revision,
        document: json::Text,
    },
    /// The record that is held, whether it was asked for or in the way.
    EndUser {
        revision: Revision,
        document: json::Text,
    },
    /// In the order of the command.
    EndUsersCreated(Vec<Creation>),
    EndUserLocated {
        revision: Revision,
        shown: Shown,
    },
    NotFound,
    Deletion(Receipt),
    Export(json::Text),
    /// The record is not of a revision that the request was made for.
    PreconditionFailed,
    /// The record is being erased and takes no change.
    DeletionPending,
    /// The key was used for another request.
    IdempotencyMismatch,
    /// The change would make a record that may not be: the field and the reason.
    Refused {
        field: String,
        reason: String,
    },
    Configured,
    KeyIssued,
    Keys(Vec<KeyRecord>),
    KeyRevoked,
    /// `None` when there never was one.
    Audit(Option<Report>),
    Agent {
        created: bool,
        agent_id: AgentId,
        version: i64,
        document: json::Text,
    },
    /// The name is borne by several.
    Ambiguous,
    /// Records with their row numbers, in the order of their making.
    Records(Vec<(i64, json::Text)>),
    TurnReserved {
        agent_name: Name,
        display_name: Option<Name>,
        quota: Quota,
    },
    /// The request that used the key first is still being answered.
    IdempotencyInFlight,
    OverQuota {
        component: Component,
        quota: Quota,
    },
    /// The answer to a turn that was counted, with what has been used since. A kept
    /// answer has no quota of its own.
    Turn {
        document: json::Text,
        quota: Option<Quota>,
    },
    /// The turn is not reserved any more, and was not counted.
    TurnExpired,
    TurnReleased,
    Usage {
        quota: Quota,
        period_start: Timestamp,
    },
    /// The external id belongs to a principal of the other type.
    OtherType,
    Principal {
        created: bool,
        revision: Revision,
        /// Without its first member, `created`.
        document: json::Text,
    },
    Principals {
        items: Vec<(PrincipalId, json::Text)>,
        /// How many there are, when they were counted.
        total: Option<u64>,
    },
    /// The organization was deleted: nothing but [`Command::Close`] is carried out any more.
    Closed,
    /// How far the removal of what it held is.
    Closing {
        completed_at: Option<Timestamp>,
        /// What there was.
        erased: Erased,
    },
}

/// Why a caller was not let in.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Denial {
    InvalidKey,
    ExpiredKey,
    ScopeTooSmall { quota: Quota },
    RateLimited { retry_after_ms: i64, quota: Quota },
}

/// What a bucket says about itself after a request, for the rate-limit headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// Sustained rate, in requests per second.
    pub per_second: u32,
    /// Size of the bucket, in requests.
    pub burst: u32,
    /// Seconds in which an empty bucket fills.
    pub window_s: u32,
    /// Whole tokens left.
    pub remaining: u32,
    /// When the bucket is full again.
    pub full_at: Timestamp,
    /// The same as a distance from the object's clock, in milliseconds.
    pub full_in_ms: i64,
}

impl Admission {
    pub fn new(rate: Rate, decision: &Decision, now: Timestamp) -> Self {
        let full_at = Timestamp::from_micros_ceil(decision.full_at_us);
        Self {
            per_second: rate.per_second(),
            burst: rate.burst(),
            window_s: rate.window_s(),
            remaining: decision.remaining,
            full_at,
            full_in_ms: full_at.millis().saturating_sub(now.millis()).max(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What travels between two builds: a change here breaks a deployment, and needs
    /// another [`VERSION`].
    #[test]
    fn golden_call_and_reply() {
        let hexadecimal = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let call = Call {
            request_id: RequestId::new(Timestamp::from_millis(1), [2; 10]),
            repeated: false,
            caller: Caller::Operator,
            idempotency: None,
            command: Command::CreateEndUser(NewEndUser {
                user_id: UserId::new("ada").unwrap(),
                display_name: None,
                metadata: Metadata::default(),
            }),
        };
        let bytes = encode(&call).unwrap();
        assert_eq!(hexadecimal(&bytes), "0182848890a0c0808182848808000100010361646100027b7d");
        assert!(matches!(decode::<Call>(&bytes).unwrap().command, Command::CreateEndUser(_)));
        let shown = Shown { relationships: json::Text::from_stored("[]".to_owned()), has_more: false };
        let outcome = Outcome::EndUserLocated { revision: Revision { incarnation: 2, version: 300 }, shown };
        let bytes = encode(&Reply::new(None, outcome)).unwrap();
        assert_eq!(hexadecimal(&bytes), "01000504d804025b5d000000");
        assert!(matches!(decode::<Reply>(&bytes).unwrap().outcome, Outcome::EndUserLocated { .. }));
    }

    #[test]
    fn what_does_not_read_is_refused() {
        let bytes = encode(&Reply::new(None, Outcome::NotFound)).unwrap();
        assert!(decode::<Reply>(&bytes).is_ok());
        for length in 0..bytes.len() {
            assert!(decode::<Reply>(&bytes[..length]).is_err());
        }
        let other = [&[VERSION + 1], &bytes[1..]].concat();
        assert!(decode::<Reply>(&other).unwrap_err().to_string().contains("another version"));
        assert!(decode::<Reply>(&[VERSION, 0, 200]).is_err(), "a variant that nobody knows");
    }
}
