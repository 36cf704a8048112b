//! The parts of the document that come from the route table.

use serde_json::{Value, json};

use crate::directory::api_key::{KeyKind, Scope};
use crate::edge::http::body::BodyKind;
use crate::edge::http::dialect::Dialect;
use crate::edge::routes::{Action, Route};

/// The security requirement of a route.
pub fn security(route: &Route) -> Value {
    match route.action {
        Action::Public(_) => json!([]),
        Action::Key { kind: KeyKind::Api, .. } => json!([{ "apiKey": [] }]),
        Action::Key { kind: KeyKind::Service, .. } => json!([{ "serviceKey": [] }]),
        Action::Session => json!([{ "sessionToken": [] }]),
        Action::Admin(_) | Action::Diagnostics => json!([{ "adminToken": [] }]),
        Action::ClerkEvent => json!([{ "svixSignature": [] }]),
    }
}

/// The sentence about a route's scope. `None` if the route needs no scope.
pub const fn scope(route: &Route) -> Option<&'static str> {
    match route.action {
        Action::Key { scope: Scope::ReadWrite, .. } => Some("Needs a key with the scope `read_write`."),
        _ => None,
    }
}

/// The media types of a route's body, and whether there must be one.
pub fn body_types(route: &Route) -> (&'static [&'static str], bool) {
    let body = match route.action {
        Action::Key { endpoint, .. } => endpoint.body,
        Action::Admin(endpoint) => endpoint.body,
        Action::Public(_) | Action::Session | Action::Diagnostics => BodyKind::None,
        Action::ClerkEvent => return (&["application/json"], true),
    };
    match body {
        BodyKind::None => (&[], false),
        BodyKind::Json { .. } | BodyKind::Batch { .. } => (&["application/json"], true),
        BodyKind::Optional { .. } => (&["application/json"], false),
    }
}

/// Media type and schema of a dialect's errors.
pub const fn error_form(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::EndUsers => ("application/json", "Error"),
        Dialect::Principals => ("application/json", "PrincipalError"),
        Dialect::Agents | Dialect::Admin | Dialect::Public => ("application/problem+json", "Problem"),
    }
}
