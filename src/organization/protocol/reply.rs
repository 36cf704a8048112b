//! A reply: what the object answers to the edge.

use super::admission::{Admission, Denial};
use super::command::Answer;
use crate::directory::quota::{Component, Quota};
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

/// What came of a call.
pub type Outcome = Result<Answer, Rejection>;

/// Why the object does not execute a command. The same reasons hold for all commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejection {
    Denied(Denial),
    NotFound(Resource),
    /// The precondition does not name the record's version.
    PreconditionFailed,
    /// The user is being erased and takes no change.
    DeletionPending,
    /// The caller used the idempotency key for another request.
    IdempotencyMismatch,
    /// The first request with the idempotency key is still in progress.
    IdempotencyInFlight,
    /// The change would make the record invalid in this field, for this reason.
    Invalid {
        field: String,
        reason: String,
    },
    /// Several agents have the name.
    Ambiguous,
    /// The external id belongs to a principal of the other type.
    OtherType,
    OverQuota {
        component: Component,
        quota: Quota,
    },
    /// The reservation expired or was released, and the turn was not counted.
    TurnExpired,
    /// The organization was deleted. A closed object executes only `Command::Close`.
    Closed,
}

/// What a command does not find. The text is the kind of resource, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Resource {
    #[strum(serialize = "end user")]
    EndUser,
    Agent,
    Relationship,
    Deletion,
    Principal,
    Key,
    Organization,
}
