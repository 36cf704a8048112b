//! What no type says: which schema a body of dialect 2 names, and the form of an event in a stream.

use serde_json::{Map, Value, json};

use super::parts::{object, schema, with};
use crate::edge::http::schema::Schema;

/// The bodies that name their schema: the derived schema of the body, and the name with `$schema`.
pub const DESCRIBED: [(Schema, &str, &str); 7] = [
    (Schema::Agent, "Agent", "Agent"),
    (Schema::AgentList, "AgentList", "AgentList"),
    (Schema::AgentUserList, "AgentUserList", "AgentUserList"),
    (Schema::Deletion, "AgentDeletion", "AgentDeletion"),
    (Schema::Diagnostics, "Diagnostics", "Diagnostics"),
    (Schema::Me, "Person", "Me"),
    (Schema::Problem, "Problem", "Problem"),
];

/// Adds the schemas that are composed from derived ones.
pub fn compose(schemas: &mut Map<String, Value>) {
    // An agent in an event is no body of dialect 2, and names no schema.
    if let Some(agent) = schemas.get("Agent").cloned() {
        schemas.insert("AgentRecord".to_owned(), agent);
    }
    if let Some(event) = schemas.get_mut("Event") {
        retarget(event, &schema("Agent"), &schema("AgentRecord"));
    }
    for (schema, body, name) in DESCRIBED {
        let mut described = schemas.get(body).cloned().unwrap_or_default();
        if let Some(properties) = described.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("$schema".to_owned(), schema_url(schema.into_str()));
        }
        if let Some(required) = described.get_mut("required").and_then(Value::as_array_mut) {
            required.insert(0, json!("$schema"));
        }
        schemas.insert(name.to_owned(), described);
    }
    schemas.remove("Person");
    schemas.insert("ExportLine".to_owned(), export_line());
    schemas.insert("StreamedEvent".to_owned(), streamed_event());
    if let Some(data) = schemas.remove("TurnEvent") {
        schemas.insert("TurnEvent".to_owned(), turn_event(&data));
    }
}

/// Puts one reference to a schema in the place of another, wherever it stands.
fn retarget(value: &mut Value, from: &Value, to: &Value) {
    if value == from {
        value.clone_from(to);
        return;
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(|member| retarget(member, from, to)),
        Value::Array(items) => items.iter_mut().for_each(|item| retarget(item, from, to)),
        _ => {}
    }
}

/// The path of the schema. One client gets it behind the server's origin: see [`crate::edge::http::reader`].
fn schema_url(path: &str) -> Value {
    let pattern = format!("^(https?://[^/]+)?{}$", path.replace('.', "\\."));
    json!({ "type": "string", "pattern": pattern })
}

/// A line of an organization's export: a record, or what stands around the records.
fn export_line() -> Value {
    let kinds = ["organization", "end_user", "agent", "relationship", "place", "end"];
    json!({
        "description": "A record, or what stands around the records.",
        "type": "object", "required": ["type"], "properties": { "type": { "enum": kinds } }, "additionalProperties": true,
    })
}

/// An event of the feed in a stream.
fn streamed_event() -> Value {
    let event = object(&json!({
        "id": { "type": "string", "minLength": 1, "description": "The place, for `Last-Event-ID`." },
        "event": { "type": "string", "description": "The type of the event." },
        "data": { "type": "string", "contentMediaType": "application/json", "contentSchema": schema("Event") },
    }));
    with(event, "description", json!("One event. A silent stream has a comment every 15 seconds."))
}

/// An event of a streamed turn. `OpenAPI` 3.1 describes a stream by the schema of one event.
fn turn_event(data: &Value) -> Value {
    let event = |data: &Value| {
        let name = data.pointer("/properties/type/const").cloned().unwrap_or_default();
        object(&json!({
            "event": { "const": name },
            "data": { "type": "string", "contentMediaType": "application/json", "contentSchema": data },
        }))
    };
    let events: Vec<Value> = data.get("oneOf").and_then(Value::as_array).into_iter().flatten().map(event).collect();
    json!({
        "description": "One event: `metadata` first, `text` for each piece, then `completion` or `error`.",
        "anyOf": events,
    })
}
