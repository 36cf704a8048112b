//! Everything that can be wrong with a request, in one enum. [`crate::edge::render`] writes a fault in each
//! dialect.

use serde::Serialize;

use crate::directory::identifiers::DeletionId;
use crate::directory::organization::{AGENTS_OF_OWNER_MAX, Capacity, RELATIONSHIPS_OF_USER_MAX};
use crate::directory::quota::{Component, Quota};
use crate::field_fault::FieldFault;
use crate::refusal::Refusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialFault {
    Missing,
    /// Malformed, forged, unknown, revoked, or of the wrong kind. The caller does not learn which.
    Invalid,
    Expired,
}

/// The reason why a request fails.
#[derive(Debug, Clone)]
pub enum Fault {
    RouteNotFound,
    MethodNotAllowed {
        allow: String,
    },
    Credential(CredentialFault),
    /// `quota` is present if the credential is an organization's key.
    ScopeTooSmall {
        quota: Option<Quota>,
    },
    /// `quota` is present if the bucket is the organization's.
    RateLimited {
        retry_after_ms: i64,
        quota: Option<Quota>,
    },
    PayloadTooLarge {
        bytes_max: usize,
    },
    UnsupportedMediaType,
    Malformed(Refusal),
    Invalid(Vec<FieldFault>),
    /// The kind of resource, in words.
    NotFound(&'static str),
    Conflict(String),
    /// Several agents have the name.
    Ambiguous,
    /// The external id belongs to a principal of the other type.
    OtherType,
    /// The first request with the `Idempotency-Key` is still in progress.
    IdempotencyInFlight,
    /// What the `Idempotency-Key` was used for has been erased since.
    IdempotencyOfErased,
    /// A quota is used up.
    OverQuota {
        component: Component,
        quota: Quota,
        now_ms: i64,
    },
    /// The end user has used up their turns. `used` and `limit` are the end user's, `quota` is the organization's.
    OverUserQuota {
        used: u64,
        limit: u64,
        quota: Quota,
        now_ms: i64,
    },
    /// There is as much as there may be.
    OverCapacity(Capacity),
    /// Only turns in progress stand between the caller and the quota.
    QuotaReserved {
        quota: Quota,
        retry_after_ms: i64,
    },
    /// As many answers as may be are kept for idempotency keys.
    TooManyKeptAnswers {
        quota: Quota,
        retry_after_ms: i64,
    },
    /// The resource is being erased.
    DeletionPending {
        deletion_id: DeletionId,
    },
    /// The `Idempotency-Key` was used for another request.
    IdempotencyMismatch,
    /// The events after a place are no longer kept. `oldest` is the oldest place, as a cursor.
    EventsExpired {
        oldest: String,
    },
    /// A precondition names another version than the current one, or one of what has no versions.
    PreconditionFailed,
    /// A store or an object is out of reach. The reason is for the log.
    Unavailable {
        retry_after_s: u32,
        reason: String,
    },
    /// The responder gave no valid answer. The reason is for the log.
    Upstream {
        reason: String,
    },
    /// The responder took too long.
    TurnTimeout,
    /// A fault of Rollcall itself. The reason is for the log.
    Internal {
        reason: String,
    },
}

/// The time that a caller should wait while a store or an object is out of reach, in seconds.
pub const UNAVAILABLE_RETRY_S: u32 = 1;

/// A fault of Rollcall itself. The reason is for the log.
pub fn internal(error: impl std::fmt::Display) -> Fault {
    Fault::Internal { reason: error.to_string() }
}

/// A store is out of reach. The reason is for the log.
pub fn store_unavailable(error: impl std::fmt::Display) -> Fault {
    Fault::Unavailable { retry_after_s: UNAVAILABLE_RETRY_S, reason: error.to_string() }
}

/// The class of a fault, in dialect 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum FaultKind {
    Validation,
    Authentication,
    Permission,
    Quota,
    NotFound,
    Conflict,
    RateLimit,
    Internal,
}

impl Fault {
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Credential(_) => 401,
            Self::ScopeTooSmall { .. }
            | Self::OverQuota { component: Component::ActiveRelationships, .. }
            | Self::OverCapacity(_) => 403,
            Self::RouteNotFound | Self::NotFound(_) => 404,
            Self::MethodNotAllowed { .. } => 405,
            Self::Conflict(_)
            | Self::Ambiguous
            | Self::OtherType
            | Self::DeletionPending { .. }
            | Self::IdempotencyInFlight
            | Self::IdempotencyOfErased => 409,
            Self::EventsExpired { .. } => 410,
            Self::PreconditionFailed => 412,
            Self::PayloadTooLarge { .. } => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid(_) | Self::IdempotencyMismatch => 422,
            Self::RateLimited { .. }
            | Self::QuotaReserved { .. }
            | Self::TooManyKeptAnswers { .. }
            | Self::OverUserQuota { .. }
            | Self::OverQuota { component: Component::Turns, .. } => 429,
            Self::Internal { .. } => 500,
            Self::Upstream { .. } => 502,
            Self::Unavailable { .. } => 503,
            Self::TurnTimeout => 504,
        }
    }

    /// The stable name of the fault, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "invalid_request",
            Self::Credential(CredentialFault::Missing) => "authentication_error",
            Self::Credential(CredentialFault::Invalid) => "invalid_token",
            Self::Credential(CredentialFault::Expired) => "token_expired",
            Self::ScopeTooSmall { .. } => "permission_denied",
            Self::RouteNotFound | Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::Conflict(_) | Self::Ambiguous | Self::OtherType => "conflict",
            Self::IdempotencyInFlight => "idempotency_in_flight",
            Self::IdempotencyOfErased => "idempotency_of_erased",
            Self::OverQuota { component: Component::Turns, .. } => "quota_exhausted",
            Self::OverQuota { component: Component::ActiveRelationships, .. } => "relationship_limit_reached",
            Self::OverUserQuota { .. } => "user_quota_exhausted",
            Self::OverCapacity(Capacity::EndUsers) => "end_user_limit_reached",
            Self::OverCapacity(Capacity::Storage) => "storage_limit_reached",
            Self::OverCapacity(Capacity::RelationshipsOfUser) => "end_user_relationship_limit_reached",
            Self::OverCapacity(Capacity::AgentsOfOwner) => "owned_agent_limit_reached",
            Self::QuotaReserved { .. } => "quota_reserved",
            Self::DeletionPending { .. } => "deletion_pending",
            Self::EventsExpired { .. } => "events_expired",
            Self::PreconditionFailed => "precondition_failed",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Invalid(_) => "validation_error",
            Self::RateLimited { .. } | Self::TooManyKeptAnswers { .. } => "rate_limit_exceeded",
            Self::Internal { .. } => "internal_error",
            Self::Upstream { .. } => "upstream_error",
            Self::Unavailable { .. } => "service_unavailable",
            Self::TurnTimeout => "turn_timeout",
        }
    }

    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Malformed(_)
            | Self::MethodNotAllowed { .. }
            | Self::PayloadTooLarge { .. }
            | Self::UnsupportedMediaType
            | Self::IdempotencyMismatch
            | Self::Invalid(_) => FaultKind::Validation,
            Self::Credential(_) => FaultKind::Authentication,
            Self::ScopeTooSmall { .. } => FaultKind::Permission,
            Self::RouteNotFound | Self::NotFound(_) | Self::EventsExpired { .. } => FaultKind::NotFound,
            Self::Conflict(_)
            | Self::Ambiguous
            | Self::OtherType
            | Self::DeletionPending { .. }
            | Self::IdempotencyInFlight
            | Self::IdempotencyOfErased
            | Self::PreconditionFailed => FaultKind::Conflict,
            Self::OverQuota { .. } | Self::OverUserQuota { .. } | Self::OverCapacity(_) => FaultKind::Quota,
            Self::RateLimited { .. } | Self::QuotaReserved { .. } | Self::TooManyKeptAnswers { .. } => {
                FaultKind::RateLimit
            }
            Self::Internal { .. } | Self::Upstream { .. } | Self::Unavailable { .. } | Self::TurnTimeout => {
                FaultKind::Internal
            }
        }
    }

    /// The short name of the fault, for people. It is the same for every occurrence.
    pub const fn title(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Malformed request",
            Self::Credential(_) => "Authentication failed",
            Self::ScopeTooSmall { .. } => "Permission denied",
            Self::RouteNotFound | Self::NotFound(_) => "Not found",
            Self::MethodNotAllowed { .. } => "Method not allowed",
            Self::Conflict(_) | Self::Ambiguous | Self::OtherType => "Conflict",
            Self::IdempotencyInFlight => "Request in flight",
            Self::IdempotencyOfErased => "Erased since",
            Self::OverQuota { .. } | Self::OverUserQuota { .. } => "Quota exhausted",
            Self::OverCapacity(_) => "Limit reached",
            Self::QuotaReserved { .. } => "Quota reserved",
            Self::DeletionPending { .. } => "Deletion pending",
            Self::EventsExpired { .. } => "Events expired",
            Self::PreconditionFailed => "Precondition failed",
            Self::IdempotencyMismatch => "Idempotency key reused",
            Self::PayloadTooLarge { .. } => "Body too large",
            Self::UnsupportedMediaType => "Unsupported media type",
            Self::Invalid(_) => "Validation failed",
            Self::RateLimited { .. } | Self::TooManyKeptAnswers { .. } => "Rate limit exceeded",
            Self::Internal { .. } => "Internal error",
            Self::Upstream { .. } => "Upstream error",
            Self::Unavailable { .. } => "Service unavailable",
            Self::TurnTimeout => "Turn timed out",
        }
    }

    /// What is wrong with this request. It reveals nothing about the inside of Rollcall.
    pub fn message(&self) -> String {
        match self {
            Self::Malformed(refusal) => refusal.0.clone(),
            Self::Credential(CredentialFault::Missing) => {
                "No credential was sent, or not in the way this path expects it.".to_owned()
            }
            Self::Credential(CredentialFault::Invalid) => "The credential is not valid here.".to_owned(),
            Self::Credential(CredentialFault::Expired) => "The credential has expired.".to_owned(),
            Self::ScopeTooSmall { quota: Some(_) } => "The key's scope does not allow this request.".to_owned(),
            Self::ScopeTooSmall { quota: None } => "This is for the operator who has ADMIN_TOKEN.".to_owned(),
            Self::RouteNotFound => "There is nothing at this path.".to_owned(),
            Self::NotFound(what) => format!("There is no such {what}."),
            Self::MethodNotAllowed { allow } => format!("This path answers only to {allow}."),
            Self::Conflict(message) => message.clone(),
            Self::Ambiguous => "Several agents bear this name.".to_owned(),
            Self::OtherType => "The id belongs to a principal of the other type.".to_owned(),
            Self::IdempotencyInFlight => {
                "The request that used this Idempotency-Key first is still being answered.".to_owned()
            }
            Self::IdempotencyOfErased => "What this Idempotency-Key was used for has been erased since.".to_owned(),
            Self::OverQuota { component: Component::Turns, .. } => {
                "The turns of this billing period are used up.".to_owned()
            }
            Self::OverQuota { component: Component::ActiveRelationships, .. } => {
                "The active relationships of this billing period are used up.".to_owned()
            }
            Self::OverUserQuota { .. } => "The end user's turns of this billing period are used up.".to_owned(),
            Self::OverCapacity(Capacity::EndUsers) => "The organization has as many end users as it may.".to_owned(),
            Self::OverCapacity(Capacity::Storage) => "The organization stores as much as it may.".to_owned(),
            Self::OverCapacity(Capacity::RelationshipsOfUser) => {
                format!("The end user has {RELATIONSHIPS_OF_USER_MAX} relationships, and may have no more.")
            }
            Self::OverCapacity(Capacity::AgentsOfOwner) => {
                format!("The human owns {AGENTS_OF_OWNER_MAX} agents, and may own no more.")
            }
            Self::QuotaReserved { .. } => {
                "Turns in progress hold the rest of the quota; retry after the time in Retry-After.".to_owned()
            }
            Self::DeletionPending { deletion_id } => {
                format!("This is being erased and takes no change. Its receipt is {deletion_id}.")
            }
            Self::IdempotencyMismatch => "This Idempotency-Key was used for another request.".to_owned(),
            Self::EventsExpired { .. } => "The events after this place are no longer kept.".to_owned(),
            Self::PreconditionFailed => "A precondition does not hold, such as the version in If-Match.".to_owned(),
            Self::PayloadTooLarge { bytes_max } => format!("The body is larger than {bytes_max} bytes."),
            Self::UnsupportedMediaType => "The body must be sent as Content-Type: application/json.".to_owned(),
            Self::Invalid(faults) => faults.iter().map(FieldFault::to_string).collect::<Vec<_>>().join("; "),
            Self::RateLimited { .. } => "Too many requests; retry after the time in Retry-After.".to_owned(),
            Self::TooManyKeptAnswers { .. } => {
                "Too many requests with an Idempotency-Key in the last 24 hours; their answers are still kept."
                    .to_owned()
            }
            Self::Internal { .. } => "Something went wrong on our side; it has been logged.".to_owned(),
            Self::Upstream { .. } => "The service that makes the answers gave none.".to_owned(),
            Self::Unavailable { .. } => "Something this needs is out of reach for the moment; retry later.".to_owned(),
            Self::TurnTimeout => "The answer was not there in time.".to_owned(),
        }
    }

    /// What the caller can do about the fault, in one sentence.
    pub const fn suggestion(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Send a well-formed request as described in the documentation.",
            Self::Credential(_) => "Send a valid, unexpired credential of the kind this path expects.",
            Self::ScopeTooSmall { .. } => "Use a key with the scope read_write.",
            Self::RouteNotFound => "Check the path against the documentation.",
            Self::NotFound(_) => "Check the id, and that the key belongs to the right organization and mode.",
            Self::MethodNotAllowed { .. } => "Use one of the methods in the Allow header.",
            Self::DeletionPending { .. } => "Wait until the receipt says completed.",
            Self::IdempotencyMismatch => "Send the very request again, or use a new key for a new one.",
            Self::EventsExpired { .. } => "Read what is there now, then go on after details.oldest.",
            Self::PreconditionFailed => "Read the resource again and repeat the change on what it is now.",
            Self::Ambiguous => "Use the agent's id instead of its name.",
            Self::OtherType => "Use another external id: humans and agents share them.",
            Self::IdempotencyInFlight => "Send the request again when the first has been answered.",
            Self::IdempotencyOfErased => "If the erased is to be made anew, use a new Idempotency-Key.",
            Self::OverQuota { .. } => "Wait for the next billing period, or ask for a larger quota.",
            Self::OverUserQuota { .. } => "Wait for the next billing period, or ask for a larger limit for end users.",
            Self::OverCapacity(Capacity::RelationshipsOfUser) => "Erase relationships that are no longer needed.",
            Self::OverCapacity(Capacity::AgentsOfOwner) => "Name another owner, or none.",
            Self::OverCapacity(Capacity::EndUsers | Capacity::Storage) => {
                "Ask for a larger limit, or erase what is no longer needed: it takes room until 30 days later."
            }
            Self::Conflict(_) => "Read the resource as it is now, then decide.",
            Self::PayloadTooLarge { .. } => "Send less in one request.",
            Self::UnsupportedMediaType => "Set the Content-Type header to application/json.",
            Self::Invalid(_) => "Correct the fields that are named and send the request again.",
            Self::RateLimited { .. } | Self::QuotaReserved { .. } => {
                "Wait for the seconds in Retry-After and send the request again."
            }
            Self::TooManyKeptAnswers { .. } => {
                "Wait for the seconds in Retry-After, or send the request without an Idempotency-Key."
            }
            Self::Internal { .. } => "Send the request again; if it keeps failing, report the request id.",
            Self::Upstream { .. } => "Send the request again later; if it keeps failing, report the request id.",
            Self::Unavailable { .. } => "Send the request again after the seconds in Retry-After.",
            Self::TurnTimeout => "Send the request again, or a shorter message.",
        }
    }

    /// What the log holds besides the code.
    pub fn log_reason(&self) -> Option<&str> {
        match self {
            Self::Unavailable { reason, .. } | Self::Upstream { reason } | Self::Internal { reason } => Some(reason),
            _ => None,
        }
    }
}
