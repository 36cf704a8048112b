//! What the edge and the object say to each other, as JSON text.
//!
//! Both ends are the same build of the same crate, but during a deployment an
//! edge may speak to an object of the build before it: members may be added, and
//! are then optional; none changes its meaning.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::idempotency::IdempotencyKey;
use super::keys::{KeyRecord, NewKey};
use super::limiter::{Decision, Rate};
use super::quotas::Quota;
use super::settings::Settings;
use crate::directory::api_key::{KeyDigest, KeyKind, Scope};
use crate::directory::deletion::{Cascade, Receipt};
use crate::directory::end_user::Revision;
use crate::directory::identifiers::{DeletionId, KeyId, RequestId};
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;

/// One request to the object.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// The HTTP request on whose behalf this is. A call that is repeated because
    /// its answer was lost keeps it, and so gets the answer it would have had.
    pub request_id: RequestId,
    /// Whether this is such a repetition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    pub caller: Caller,
    /// When the caller wants one answer however often it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<IdempotencyKey>,
    pub command: Command,
}

/// On whose authority.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[serde(rename_all = "snake_case")]
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
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
}

impl Command {
    /// Whether the command, executed twice, is as if executed once, whatever came
    /// in between: creations remember their request, issued keys their digest. A
    /// change does not: repeated, it could undo another that came after it.
    pub const fn may_be_repeated(&self) -> bool {
        match self {
            Self::UpdateEndUser { .. } => false,
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
            | Self::RevokeKey { .. } => true,
        }
    }
}

/// A user to be made, unless there is one.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewEndUser {
    pub user_id: UserId,
    pub display_name: Option<Name>,
    pub metadata: Metadata,
}

/// What became of one user of [`Command::CreateEndUsers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Creation {
    Created,
    Existing,
    /// The one that is there is being erased.
    DeletionPending,
}

/// What to make of a user's record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndUserChange {
    /// What is given replaces what is held; what is not given stays.
    Replace {
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
        display_name: Option<Option<Name>>,
        metadata: Option<Metadata>,
    },
    /// RFC 7396. The display name is read already; the metadata patch can only
    /// be applied where the metadata is.
    Merge {
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
        display_name: Option<Option<Name>>,
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
        metadata: Option<Box<RawValue>>,
    },
}

/// Keeps `null`, which clears, apart from a member that is not there.
fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Which revisions a conditional request is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<bool>,
    /// Whether the outcome is one that an earlier request was answered with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

impl Reply {
    pub const fn new(admission: Option<Admission>, outcome: Outcome) -> Self {
        Self { admission, outcome, listed: None, replayed: false }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Denied(Denial),
    Admitted,
    EndUserCreated {
        revision: Revision,
        document: Box<RawValue>,
    },
    /// The record that is held, whether it was asked for or in the way.
    EndUser {
        revision: Revision,
        document: Box<RawValue>,
    },
    /// In the order of the command.
    EndUsersCreated(Vec<Creation>),
    EndUserLocated {
        revision: Revision,
    },
    NotFound,
    Deletion(Receipt),
    Export(Box<RawValue>),
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
}

/// Why a caller was not let in.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
