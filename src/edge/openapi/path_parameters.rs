//! The path parameters.

use serde_json::{Value, json};

use super::parts::{ULID, UUID, ulid};
use crate::edge::routes::Route;

/// The path parameters of a route, which every operation of its path shares.
pub fn path_parameters(route: &Route) -> Value {
    let names = route.pattern.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let parameters: Vec<Value> = names
        .map(|name| {
            let (description, schema, example) = described(name);
            json!({
                "name": name, "in": "path", "required": true, "description": description,
                "schema": schema, "example": example,
            })
        })
        .collect();
    if parameters.is_empty() { json!({}) } else { json!({ "parameters": parameters }) }
}

/// Description, schema and example of a path parameter.
fn described(name: &str) -> (&'static str, Value, &'static str) {
    let id = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$" });
    match name {
        "user_id" => ("Your own id of the user, percent-encoded.", id, "ada"),
        "external_id" => ("Your own id of the principal, percent-encoded.", id, "ada"),
        "agent_id" => ("The agent's UUID or its name, percent-encoded. A name that several bear is 409.", id, "Tutor"),
        "principal_id" => ("The principal's UUID.", json!({ "type": "string", "format": "uuid" }), UUID),
        "relationship_id" => ("The relationship's id.", ulid(), ULID),
        "deletion_id" => ("The id that the request for the erasure was answered with.", ulid(), ULID),
        "organization_id" => ("The organization's id.", ulid(), ULID),
        _ => ("The key's id, which is not the key.", ulid(), ULID),
    }
}
