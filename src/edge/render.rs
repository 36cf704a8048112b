//! Renders a fault in each dialect: one function for each dialect.

use serde::Serialize;

use super::http::dialect::Dialect;
use super::http::reader::Reader;
use super::http::response::Response;
use super::http::schema::{self, Described, Schema};
use crate::directory::identifiers::{DeletionId, RequestId};
use crate::directory::quota::Component;
use crate::directory::timestamp::Timestamp;
use crate::fault::{CredentialFault, Fault, FaultKind};
use crate::field_fault::FieldFault;
use crate::json;

/// How long most erasures last, in milliseconds: the flush gathers changes for a second.
const ERASED_WITHIN_MS: i64 = 2_000;
/// How long a caller should wait for a turn in progress, in milliseconds. Nobody knows how long it lasts, and asking
/// again may wait for it.
const ANSWERED_WITHIN_MS: i64 = 1_000;

/// Renders a fault: status, body, and the headers that belong to the fault itself.
pub fn fault(dialect: Dialect, fault: &Fault, request_id: RequestId, origin: &str) -> Response {
    let (content_type, body) = match dialect {
        Dialect::EndUsers => ("application/json", end_users(fault, request_id, origin)),
        Dialect::Agents | Dialect::Admin | Dialect::Public => ("application/problem+json", problem(fault, request_id)),
        Dialect::Principals => ("application/json", principals(fault, request_id)),
    };
    // A body of our own types does not fail to serialise.
    let mut response = Response::new(fault.status())
        .with("Content-Type", content_type)
        .with_body(body.unwrap_or_else(|_| "{}".to_owned()));
    if dialect == Dialect::Agents {
        response = schema::linked(response, Schema::Problem);
    }
    match fault {
        Fault::MethodNotAllowed { allow } => response = response.with("Allow", allow.clone()),
        Fault::Credential(fault) => {
            let challenge = match fault {
                CredentialFault::Missing => "Bearer",
                CredentialFault::Invalid => "Bearer error=\"invalid_token\"",
                CredentialFault::Expired => "Bearer error=\"token_expired\"",
            };
            response = response.with("WWW-Authenticate", challenge);
        }
        Fault::RateLimited { retry_after_ms, .. }
        | Fault::QuotaReserved { retry_after_ms, .. }
        | Fault::TooManyKeptAnswers { retry_after_ms, .. } => {
            response = retry_after(response, *retry_after_ms);
        }
        Fault::OverQuota { component: Component::Turns, quota, now_ms }
        | Fault::OverUserQuota { quota, now_ms, .. } => {
            response = retry_after(response, quota.resets_at.millis().saturating_sub(*now_ms));
        }
        Fault::DeletionPending { .. } => response = retry_after(response, ERASED_WITHIN_MS),
        Fault::IdempotencyInFlight => response = retry_after(response, ANSWERED_WITHIN_MS),
        Fault::Unavailable { retry_after_s, .. } => response = response.with("Retry-After", retry_after_s.to_string()),
        _ => {}
    }
    response
}

/// Whole seconds, never earlier than the moment a retry can succeed.
fn retry_after(response: Response, millis: i64) -> Response {
    let seconds = millis.saturating_add(999).div_euclid(1_000).max(1);
    response.with("Retry-After", seconds.to_string())
}

/// An error of dialect 1.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Error")]
pub struct EndUsersError<'a> {
    error: ErrorView<'a>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
struct ErrorView<'a> {
    /// What programs should look at; each is explained at `/errors`.
    code: &'static str,
    message: String,
    r#type: FaultKind,
    request_id: RequestId,
    /// What is known of the fault: the fields at fault, the wait, or the quota.
    details: Option<ErrorDetails<'a>>,
    #[schemars(url)]
    documentation_url: String,
}

#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum ErrorDetails<'a> {
    Fields { fields: Vec<ErrorField<'a>> },
    RateLimit { retry_after_ms: i64 },
    Deletion { deletion_id: DeletionId },
    Quota { component: Component, used: u64, limit: u64, resets_at: Timestamp },
    Events { oldest: &'a str },
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
struct ErrorField<'a> {
    path: &'a str,
    message: &'a str,
}

fn end_users(fault: &Fault, request_id: RequestId, origin: &str) -> serde_json::Result<String> {
    let details = match fault {
        Fault::Invalid(faults) => Some(ErrorDetails::Fields {
            fields: faults.iter().map(|fault| ErrorField { path: &fault.path, message: &fault.message }).collect(),
        }),
        Fault::RateLimited { retry_after_ms, .. }
        | Fault::QuotaReserved { retry_after_ms, .. }
        | Fault::TooManyKeptAnswers { retry_after_ms, .. } => {
            Some(ErrorDetails::RateLimit { retry_after_ms: *retry_after_ms })
        }
        Fault::EventsExpired { oldest } => Some(ErrorDetails::Events { oldest }),
        Fault::DeletionPending { deletion_id } => Some(ErrorDetails::Deletion { deletion_id: *deletion_id }),
        Fault::OverQuota { component, quota, .. } => {
            let (used, limit) = quota.of(*component);
            Some(ErrorDetails::Quota { component: *component, used, limit, resets_at: quota.resets_at })
        }
        Fault::OverUserQuota { used, limit, quota, .. } => Some(ErrorDetails::Quota {
            component: Component::Turns,
            used: *used,
            limit: *limit,
            resets_at: quota.resets_at,
        }),
        _ => None,
    };
    serde_json::to_string(&EndUsersError {
        error: ErrorView {
            code: fault.code(),
            message: fault.message(),
            r#type: fault.kind(),
            request_id,
            details,
            documentation_url: format!("{origin}/errors#{}", fault.code()),
        },
    })
}

/// RFC 9457, with exactly these members and `$schema`.
#[derive(Serialize, schemars::JsonSchema)]
pub struct Problem<'a> {
    #[schemars(url)]
    r#type: String,
    title: &'static str,
    #[schemars(range(min = 400, max = 599))]
    status: u16,
    detail: String,
    #[schemars(regex(pattern = "^urn:ulid:"))]
    instance: String,
    errors: Vec<ProblemError<'a>>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
struct ProblemError<'a> {
    location: String,
    message: &'a str,
    /// What was sent, when it is short enough to repeat.
    #[schemars(with = "json::Text")]
    value: Option<&'a json::Text>,
}

fn problem(fault: &Fault, request_id: RequestId) -> serde_json::Result<String> {
    let locate = |fault: &FieldFault| {
        if fault.path.is_empty() {
            fault.location.into_str().to_owned()
        } else {
            format!("{}.{}", fault.location.into_str(), fault.path)
        }
    };
    let errors = field_faults(fault)
        .iter()
        .map(|fault| ProblemError { location: locate(fault), message: &fault.message, value: fault.value.as_ref() })
        .collect();
    let problem = Problem {
        r#type: format!("urn:rollcall:problem:{}", fault.code()),
        title: fault.title(),
        status: fault.status(),
        detail: fault.message(),
        instance: format!("urn:ulid:{request_id}"),
        errors,
    };
    serde_json::to_string(&Described::new(Schema::Problem, Reader::Any, problem))
}

/// An error of dialect 3.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "PrincipalError")]
pub struct PrincipalsError<'a> {
    #[schemars(extend("const" = false))]
    success: bool,
    error: PrincipalsErrorView<'a>,
    suggestion: &'static str,
    request_id: RequestId,
}

#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum PrincipalsErrorView<'a> {
    Message(String),
    Fields { detail: Vec<PrincipalsErrorField<'a>> },
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
struct PrincipalsErrorField<'a> {
    loc: [&'a str; 2],
    msg: &'a str,
    r#type: &'static str,
    /// What was sent, when it is short enough to repeat.
    #[schemars(with = "json::Text")]
    input: Option<&'a json::Text>,
}

fn principals(fault: &Fault, request_id: RequestId) -> serde_json::Result<String> {
    let error = match fault {
        Fault::Invalid(faults) => PrincipalsErrorView::Fields {
            detail: faults
                .iter()
                .map(|fault| PrincipalsErrorField {
                    loc: [fault.location.into_str(), &fault.path],
                    msg: &fault.message,
                    r#type: "value_error",
                    input: fault.value.as_ref(),
                })
                .collect(),
        },
        _ => PrincipalsErrorView::Message(fault.message()),
    };
    serde_json::to_string(&PrincipalsError { success: false, error, suggestion: fault.suggestion(), request_id })
}

fn field_faults(fault: &Fault) -> &[FieldFault] {
    match fault {
        Fault::Invalid(faults) => faults,
        _ => &[],
    }
}
