//! Renders a fault in each dialect: one function for each dialect.

use serde::Serialize;

use super::http::dialect::Dialect;
use super::http::response::Response;
use super::http::schema::{self, Schema};
use crate::directory::identifiers::RequestId;
use crate::directory::quota::Component;
use crate::directory::timestamp::Timestamp;
use crate::fault::{CredentialFault, Fault, FaultKind, FieldFault};
use crate::json;

/// Renders a fault: status, body, and the headers that belong to the fault itself.
pub fn fault(dialect: Dialect, fault: &Fault, request_id: RequestId, origin: &str) -> Response {
    let request_id = request_id.to_string();
    let (content_type, body) = match dialect {
        Dialect::EndUsers => ("application/json", end_users(fault, &request_id, origin)),
        Dialect::Agents | Dialect::Admin | Dialect::Public => ("application/problem+json", problem(fault, &request_id)),
        Dialect::Principals => ("application/json", principals(fault, &request_id)),
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
        Fault::RateLimited { retry_after_ms, .. } => {
            // Whole seconds, never earlier than the moment a retry can succeed.
            let seconds = retry_after_ms.saturating_add(999).div_euclid(1_000).max(1);
            response = response.with("Retry-After", seconds.to_string());
        }
        Fault::OverQuota { component: Component::Turns, quota, now_ms } => {
            let wait_ms = quota.resets_at.millis().saturating_sub(*now_ms);
            let seconds = wait_ms.saturating_add(999).div_euclid(1_000).max(1);
            response = response.with("Retry-After", seconds.to_string());
        }
        Fault::Unavailable { retry_after_s, .. } => response = response.with("Retry-After", retry_after_s.to_string()),
        _ => {}
    }
    response
}

fn end_users(fault: &Fault, request_id: &str, origin: &str) -> Result<String, json::Unwritable> {
    #[derive(Serialize)]
    struct Body<'a> {
        error: Error<'a>,
    }
    #[derive(Serialize)]
    struct Error<'a> {
        code: &'static str,
        message: String,
        r#type: FaultKind,
        request_id: &'a str,
        details: Option<Details<'a>>,
        documentation_url: String,
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Details<'a> {
        Fields { fields: Vec<Field<'a>> },
        RateLimit { retry_after_ms: i64 },
        Quota { component: &'static str, used: u64, limit: u64, resets_at: Timestamp },
    }
    #[derive(Serialize)]
    struct Field<'a> {
        path: &'a str,
        message: &'a str,
    }
    let details = match fault {
        Fault::Invalid(faults) => Some(Details::Fields {
            fields: faults.iter().map(|fault| Field { path: &fault.path, message: &fault.message }).collect(),
        }),
        Fault::RateLimited { retry_after_ms, .. } => Some(Details::RateLimit { retry_after_ms: *retry_after_ms }),
        Fault::OverQuota { component, quota, .. } => {
            let (used, limit) = quota.of(*component);
            let component = match component {
                Component::Turns => "turns",
                Component::ActiveRelationships => "active_relationships",
            };
            Some(Details::Quota { component, used, limit, resets_at: quota.resets_at })
        }
        _ => None,
    };
    json::write(&Body {
        error: Error {
            code: fault.code(),
            message: fault.message(),
            r#type: fault.kind(),
            request_id,
            details,
            documentation_url: format!("{origin}/errors#{}", fault.code()),
        },
    })
}

/// RFC 9457, with exactly these members.
fn problem(fault: &Fault, request_id: &str) -> Result<String, json::Unwritable> {
    #[derive(Serialize)]
    struct Problem<'a> {
        #[serde(rename = "$schema")]
        schema: &'static str,
        r#type: String,
        title: &'static str,
        status: u16,
        detail: String,
        instance: String,
        errors: Vec<ProblemError<'a>>,
    }
    #[derive(Serialize)]
    struct ProblemError<'a> {
        location: String,
        message: &'a str,
        value: Option<&'a json::Text>,
    }
    let locate = |fault: &FieldFault| {
        if fault.path.is_empty() {
            fault.location.as_str().to_owned()
        } else {
            format!("{}.{}", fault.location.as_str(), fault.path)
        }
    };
    let errors = field_faults(fault)
        .iter()
        .map(|fault| ProblemError { location: locate(fault), message: &fault.message, value: fault.value.as_ref() })
        .collect();
    json::write(&Problem {
        schema: Schema::Problem.path(),
        r#type: format!("urn:rollcall:problem:{}", fault.code()),
        title: fault.title(),
        status: fault.status(),
        detail: fault.message(),
        instance: format!("urn:ulid:{request_id}"),
        errors,
    })
}

fn principals(fault: &Fault, request_id: &str) -> Result<String, json::Unwritable> {
    #[derive(Serialize)]
    struct Body<'a> {
        success: bool,
        error: Error<'a>,
        suggestion: &'static str,
        request_id: &'a str,
    }
    #[derive(Serialize)]
    #[serde(untagged)]
    enum Error<'a> {
        Message(String),
        Fields { detail: Vec<Field<'a>> },
    }
    #[derive(Serialize)]
    struct Field<'a> {
        loc: [&'a str; 2],
        msg: &'a str,
        r#type: &'static str,
        input: Option<&'a json::Text>,
    }
    let error = match fault {
        Fault::Invalid(faults) => Error::Fields {
            detail: faults
                .iter()
                .map(|fault| Field {
                    loc: [fault.location.as_str(), &fault.path],
                    msg: &fault.message,
                    r#type: "value_error",
                    input: fault.value.as_ref(),
                })
                .collect(),
        },
        _ => Error::Message(fault.message()),
    };
    json::write(&Body { success: false, error, suggestion: fault.suggestion(), request_id })
}

fn field_faults(fault: &Fault) -> &[FieldFault] {
    match fault {
        Fault::Invalid(faults) => faults,
        _ => &[],
    }
}
