//! Small schemas, and the ids of examples, from which the larger schemas are built.

use serde_json::{Map, Value, json};

use super::types;

/// The ids of examples.
pub const ULID: &str = "01M804B1R606XA6TPRTA9S55AC";
pub const UUID: &str = "019a9d3c-5b70-7c4e-8f21-3d5e6a7b8c9d";

/// The schema of a ULID.
pub fn ulid() -> Value {
    json!({ "type": "string", "pattern": types::ULID_PATTERN })
}

/// An object with one more member.
pub fn with(mut object: Value, name: &str, member: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), member);
    }
    object
}

/// A reference to a schema.
pub fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object with exactly these members, all required.
pub fn object(members: &Value) -> Value {
    let names: Vec<&String> = members.as_object().into_iter().flat_map(Map::keys).collect();
    json!({ "type": "object", "additionalProperties": false, "required": names, "properties": members })
}
