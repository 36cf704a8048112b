//! The document itself.

use serde_json::{Map, Value, json};

use super::path_parameters::path_parameters;
use super::{components, operations};
use crate::edge::routes::ROUTES;

/// The document. Fails with a message if the operations and the route table disagree.
pub fn document() -> Result<Value, String> {
    let mut operations = operations::all();
    let mut paths = Map::new();
    for route in ROUTES {
        let index = operations.iter().position(|operation| operation.is_of(route));
        let index = index.ok_or_else(|| format!("no words for {} {}", route.method.into_str(), route.pattern))?;
        let operation = operations.swap_remove(index);
        let path = paths.entry(route.pattern).or_insert_with(|| path_parameters(route));
        let method = route.method.into_str().to_ascii_lowercase();
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
        { "name": "Events", "description": "What changed, in the order in which it changed." },
        { "name": "Agents", "description": "What people talk with, and the people of each." },
        { "name": "Session", "description": "Who is signed in." },
        { "name": "Principals", "description": "People and agents under one roof, for other services." },
        { "name": "Operator", "description": "Organizations, their limits and keys." },
        { "name": "Public", "description": "Probes, and what other services send." },
    ])
}
