//! The `OpenAPI` document, made on the host from the route table and from the types that are
//! sent; nothing of this is in the Worker.
//!
//! Invariant: an operation is in the document if and only if it is in the route table.
//! Method, path, credential and what a body may be are taken from there; [`operations`]
//! adds words, and fails on a route that it does not know or that is no more.

mod components;
mod operations;
mod types;

use serde_json::{Map, Value, json};

use super::http::body::BodyKind;
use super::http::dialect::Dialect;
use super::routes::{Action, ROUTES, Route};
use crate::directory::api_key::{KeyKind, Scope};

/// The document, or what keeps it from being made.
pub fn document() -> Result<Value, String> {
    let mut operations = operations::all();
    let mut paths = Map::new();
    for route in ROUTES {
        let index = operations.iter().position(|operation| operation.is_of(route));
        let index = index.ok_or_else(|| format!("no words for {} {}", route.method.as_str(), route.pattern))?;
        let operation = operations.swap_remove(index);
        let path = paths.entry(route.pattern).or_insert_with(|| Value::Object(path_parameters(route)));
        let method = route.method.as_str().to_ascii_lowercase();
        if let Some(path) = path.as_object_mut() {
            path.insert(method, operation.document(route));
        }
    }
    if let Some(left) = operations.first() {
        return Err(format!("there is no route for {}", left.id()));
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rollcall",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The user directory for AI products that runs at the edge.",
            "description": INTRODUCTION,
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/", "description": "This deployment." }],
        "tags": tags(),
        "paths": paths,
        "components": components::all(),
    }))
}

/// The schemas of dialect 2, each as a document of its own, by file name.
pub fn schema_files() -> Vec<(&'static str, Value)> {
    components::schema_files()
}

const INTRODUCTION: &str = "\
Rollcall registers end users idempotently, lists them in order, meters their turns with agents, and limits each \
organization's rate and quota.\n\n\
**One directory, three dialects.** `/v1` (end users), `/api/v1/agents` and `/api/v1/me`, and `/api/v1/principals` show the same \
records; they differ in credential, envelope and errors.\n\n\
**Every response** carries `X-Request-Id`, a ULID that is in the body of an error too. Every response that took a token \
carries the rate-limit headers.\n\n\
**Which fault wins**: 404 and 405 of the route, 401, 403, 429, then 413, 415, 400 and 422 of the input, then 404, 409 and \
412 of the resource. `HEAD` works wherever `GET` does, and `OPTIONS` everywhere.";

fn tags() -> Value {
    json!([
        { "name": "End users", "description": "Register, read, list, change, export and erase the people who use your product." },
        { "name": "Turns", "description": "Talk with an agent; what that costs, and who talks with whom." },
        { "name": "Agents", "description": "What people talk with, and the people of each." },
        { "name": "Session", "description": "Who is signed in." },
        { "name": "Principals", "description": "People and agents under one roof, for other services." },
        { "name": "Operator", "description": "Organizations, their limits and keys." },
        { "name": "Public", "description": "Probes, and what other services send." },
    ])
}

/// Parameters in braces, which all operations of a path share.
fn path_parameters(route: &Route) -> Map<String, Value> {
    let names = route.pattern.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = names
        .map(|name| {
            let (description, schema, example) = components::path_parameter(name);
            json!({
                "name": name, "in": "path", "required": true, "description": description,
                "schema": schema, "example": example,
            })
        })
        .collect();
    let mut path = Map::new();
    if !parameters.is_empty() {
        path.insert("parameters".to_owned(), Value::Array(parameters));
    }
    path
}

/// The security requirement of a route.
fn security(route: &Route) -> Value {
    match route.action {
        Action::Public(_) => json!([]),
        Action::Key { kind: KeyKind::Api, .. } => json!([{ "apiKey": [] }]),
        Action::Key { kind: KeyKind::Service, .. } => json!([{ "serviceKey": [] }]),
        Action::Session => json!([{ "sessionToken": [] }]),
        Action::Admin(_) => json!([{ "adminToken": [] }]),
        Action::ClerkEvent => json!([{ "svixSignature": [] }]),
    }
}

/// What the table says of a route's scope, in words.
const fn scope(route: &Route) -> Option<&'static str> {
    match route.action {
        Action::Key { scope: Scope::ReadWrite, .. } => Some("Needs a key with the scope `read_write`."),
        _ => None,
    }
}

/// The media types of a route's body, and whether there must be one.
fn body_types(route: &Route) -> (&'static [&'static str], bool) {
    let body = match route.action {
        Action::Key { endpoint, .. } => endpoint.body,
        Action::Admin(endpoint) => endpoint.body,
        Action::Public(_) | Action::Session => BodyKind::None,
        Action::ClerkEvent => return (&["application/json"], true),
    };
    match body {
        BodyKind::None => (&[], false),
        BodyKind::Json { .. } => (&["application/json"], true),
        BodyKind::Optional { .. } => (&["application/json"], false),
    }
}

/// How the dialect of a route writes its errors: media type and schema.
const fn error_form(dialect: Dialect) -> (&'static str, &'static str) {
    match dialect {
        Dialect::EndUsers => ("application/json", "Error"),
        Dialect::Principals => ("application/json", "PrincipalError"),
        Dialect::Agents | Dialect::Admin | Dialect::Public => ("application/problem+json", "Problem"),
    }
}
