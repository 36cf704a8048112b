//! The object's answer.

use super::admission::{Admission, Denial};
use super::audit::AuditReport;
use super::end_users::Creation;
use super::keys::KeyRecord;
use super::relationships::Shown;
use crate::directory::agent::AgentId;
use crate::directory::deletion::{Erased, Receipt};
use crate::directory::end_user::Revision;
use crate::directory::names::Name;
use crate::directory::principal::PrincipalId;
use crate::directory::quota::{Component, Quota};
use crate::directory::timestamp::Timestamp;
use crate::json;
use serde::{Deserialize, Serialize};

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
    Audit(Option<AuditReport>),
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
