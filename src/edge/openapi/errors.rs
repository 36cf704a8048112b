//! The error responses of operations.

use serde_json::{Value, json};

use super::headers::{QUOTA, RATE, references};
use super::parts::{ULID, schema};
use super::route_table::error_form;
use crate::edge::routes::{Action, Route};

/// An error response in the route's dialect: a reference to a shared response, or, where the text depends on the
/// operation, the response itself.
pub fn error(route: &Route, status: u16, id: &str) -> Value {
    let is_key = matches!(route.action, Action::Key { .. });
    if id == "respond" && matches!(status, 403 | 429) {
        return error_response(error_form(route.dialect), is_key, status, id);
    }
    json!({ "$ref": format!("#/components/responses/{}", error_name(error_form(route.dialect).1, is_key, status)) })
}

/// The name of a shared response. Routes with a key have their own 403 and 429, which carry quota headers.
pub fn error_name(schema: &str, is_key: bool, status: u16) -> String {
    let of_key = if is_key && matches!(status, 403 | 429) { "OfKey" } else { "" };
    format!("{schema}{of_key}{status}")
}

/// The response object of an error.
pub fn error_response((media_type, name): (&str, &str), is_key: bool, status: u16, id: &str) -> Value {
    let mut names = vec!["X-Request-Id"];
    match status {
        401 => names.push("WWW-Authenticate"),
        403 if is_key => {
            names.extend(RATE);
            names.extend(QUOTA);
        }
        429 => {
            names.push("Retry-After");
            names.extend(RATE);
            if is_key {
                names.extend(QUOTA);
            }
        }
        503 => names.push("Retry-After"),
        _ => {}
    }
    let (code, description) = fault(status, id);
    let example = match name {
        "Error" => json!({
            "error": {
                "code": code, "message": description, "type": kind(status), "request_id": ULID, "details": null,
                "documentation_url": format!("https://rollcall.example/errors#{code}"),
            },
        }),
        "PrincipalError" => json!({
            "success": false, "error": description, "suggestion": "Look at the documentation.", "request_id": ULID,
        }),
        _ => json!({
            "$schema": "/api/v1/schemas/Problem.json", "type": format!("urn:rollcall:problem:{code}"),
            "title": code, "status": status, "detail": description, "instance": format!("urn:ulid:{ULID}"), "errors": [],
        }),
    };
    json!({
        "description": description,
        "headers": references(&names),
        "content": { media_type: { "schema": schema(name), "example": example } },
    })
}

/// The error code of a status and its description.
fn fault(status: u16, id: &str) -> (&'static str, &'static str) {
    match status {
        400 => ("invalid_request", "The request is malformed: its URL, its JSON, or a cursor."),
        401 => {
            ("invalid_token", "The credential is missing, malformed, unknown, expired, revoked, or of another kind.")
        }
        403 if id == "respond" => {
            ("relationship_limit_reached", "The scope is too small, or the active relationships are used up.")
        }
        403 => ("permission_denied", "The key's scope is too small."),
        404 => ("not_found", "There is no such resource in this organization and mode."),
        409 => (
            "conflict",
            "It is being erased, being answered, or in the way of something else; or it was erased since a request with this key.",
        ),
        410 => {
            ("events_expired", "The events after this place are no longer kept; `details.oldest` is the oldest place.")
        }
        412 => ("precondition_failed", "A precondition does not hold, such as the version in `If-Match`."),
        413 => ("payload_too_large", "The body is too large."),
        415 => ("unsupported_media_type", "The body is of another media type than this path takes."),
        422 => ("validation_error", "Fields or parameters are wrong; all of them are named."),
        429 if id == "respond" => (
            "quota_exhausted",
            "Too many requests, or the turns of this billing period or of the end user are used up.",
        ),
        429 => (
            "rate_limit_exceeded",
            "Too many requests, or too many answers kept for an `Idempotency-Key`; retry after `Retry-After`.",
        ),
        502 => ("upstream_error", "The service that makes the answers gave none. The turn is not counted."),
        503 => ("service_unavailable", "Something this needs is out of reach; retry after `Retry-After`."),
        504 => ("turn_timeout", "The answer was not there in time. The turn is not counted."),
        _ => ("internal_error", "Something went wrong on our side."),
    }
}

/// The error `type` of dialect 1 for a status.
const fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication",
        403 => "permission",
        404 | 410 => "not_found",
        409 | 412 => "conflict",
        429 => "rate_limit",
        500.. => "internal",
        _ => "validation",
    }
}
