//! A reply: what the object answers to the edge.

use super::admission::{Admission, Denial};
use super::audit::AuditReport;
use super::end_users::Creation;
use super::keys::KeyRecord;
use super::relationships::Shown;
use crate::directory::agent::AgentId;
use crate::directory::deletion::{Erased, Receipt};
use crate::directory::end_user::Version;
use crate::directory::names::Name;
use crate::directory::principal::PrincipalId;
use crate::directory::quota::{Component, Quota};
use crate::directory::timestamp::Timestamp;
use crate::json;
use serde::{Deserialize, Serialize};

/// The object's answer to a call.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// Present when the object asked the bucket.
    pub admission: Option<Admission>,
    pub outcome: Outcome,
    /// Whether the listing holds every change up to this call; present when the edge asked for
    /// that.
    pub listed: Option<bool>,
    /// Whether the outcome is the kept answer to an earlier request.
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
        version: Version,
        document: json::Text,
    },
    /// The stored record: the caller asked for it, or wanted to create it.
    EndUser {
        version: Version,
        document: json::Text,
    },
    /// In the order of the command.
    EndUsersCreated(Vec<Creation>),
    /// The record, with the relationships that it shows.
    EndUserRead {
        version: Version,
        document: json::Text,
        shown: Shown,
    },
    NotFound,
    Deletion(Receipt),
    Export(json::Text),
    /// The precondition does not name the record's version.
    PreconditionFailed,
    /// The user is being erased and takes no change.
    DeletionPending,
    /// The caller used the idempotency key for another request.
    IdempotencyMismatch,
    /// The change would make the record invalid in this field, for this reason.
    Refused {
        field: String,
        reason: String,
    },
    Configured,
    KeyIssued,
    Keys(Vec<KeyRecord>),
    KeyRevoked,
    /// `None` when the object was never audited.
    Audit(Option<AuditReport>),
    Agent {
        created: bool,
        agent_id: AgentId,
        version: Version,
        document: json::Text,
    },
    /// Several agents have the name.
    Ambiguous,
    /// Records with their row numbers, oldest first.
    Records(Vec<(i64, json::Text)>),
    TurnReserved {
        agent_name: Name,
        display_name: Option<Name>,
        quota: Quota,
    },
    /// The first request with the idempotency key is still in progress.
    IdempotencyInFlight,
    OverQuota {
        component: Component,
        quota: Quota,
    },
    /// The answer to a counted turn, with the current quota. A kept answer stores no quota.
    Turn {
        document: json::Text,
        quota: Option<Quota>,
    },
    /// The reservation expired or was released, and the turn was not counted.
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
        version: Version,
        /// The principal without its first member, `created`.
        document: json::Text,
    },
    Principals {
        items: Vec<(PrincipalId, json::Text)>,
        /// The number of all principals, when the command counts them.
        total: Option<u64>,
    },
    /// The organization was deleted. A closed object executes only `Command::Close`.
    Closed,
    /// How far the removal of a closed object's data is.
    Closing {
        completed_at: Option<Timestamp>,
        /// What the object held when it was closed.
        erased: Erased,
    },
}
