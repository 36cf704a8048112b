//! A rejection: why the object does not execute a command.

use super::admission::Denial;
use crate::directory::identifiers::DeletionId;
use crate::directory::organization::Capacity;
use crate::directory::quota::{Component, Quota};
use serde::{Deserialize, Serialize};

/// Why the object does not execute a command. The same reasons hold for all commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejection {
    Denied(Denial),
    NotFound(Resource),
    /// The precondition does not name the record's version.
    PreconditionFailed,
    /// The user is being erased and takes no change.
    DeletionPending {
        deletion_id: DeletionId,
    },
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
    /// Only turns in progress stand between the caller and the quota. The oldest of them ends within this time.
    QuotaReserved {
        quota: Quota,
        retry_after_ms: i64,
    },
    /// The reservation expired or was released, and the turn was not counted.
    TurnExpired,
    /// The organization was deleted. A closed object executes only `Command::Close`.
    Closed,
    /// What the idempotency key was used for has been erased since.
    IdempotencyOfErased,
    /// The organization holds as much as it may.
    OverCapacity(Capacity),
    /// As many answers as may be are kept for idempotency keys, about one user or agent or in all. The oldest of them
    /// expires after this time.
    TooManyKeptAnswers {
        quota: Quota,
        retry_after_ms: i64,
    },
    /// The end user has used up their turns of the billing period. `used` and `limit` are the end user's, `quota` is the
    /// organization's.
    OverUserQuota {
        used: u64,
        limit: u64,
        quota: Quota,
    },
}

impl Rejection {
    /// Another record has the value that this field would get.
    pub fn taken(field: &str) -> Self {
        Self::Invalid { field: field.to_owned(), reason: "belongs to another record".to_owned() }
    }
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
