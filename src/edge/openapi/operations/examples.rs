//! Schemas, examples and links that several operations share.

use serde_json::{Value, json};

use crate::edge::openapi::parts::{ULID, UUID, with};

/// The instant in all examples.
pub(super) const THEN: &str = "2026-11-21T22:41:26.283Z";

pub(super) fn parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

pub(super) fn limit(name: &str, max: u32, default: u32) -> Value {
    parameter(name, "Items on a page.", json!({ "type": "integer", "minimum": 1, "maximum": max, "default": default }))
}

pub(super) fn cursor() -> Value {
    parameter("cursor", "Where the page before ended: its `next_cursor`.", json!({ "type": "string", "minLength": 1 }))
}

pub(super) fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

pub(super) fn id() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$" })
}

pub(super) fn or_null(mut schema: Value) -> Value {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.clone(), "null"]);
    }
    schema
}

pub(super) fn metadata() -> Value {
    json!({ "type": "object", "description": "At most 16 KiB, at most 8 levels deep.", "additionalProperties": true })
}

pub(super) fn new_end_user() -> Value {
    object(&["user_id"], json!({ "user_id": id(), "display_name": or_null(id()), "metadata": metadata() }))
}

pub(super) fn end_user() -> Value {
    json!({
        "user_id": "ada", "display_name": "Ada", "metadata": { "plan": "pro" }, "status": "active", "version": 1,
        "created_at": THEN, "updated_at": THEN, "last_interaction_at": null,
    })
}

pub(super) fn deletion(cascades: &[&str]) -> Value {
    let reason = json!({ "type": ["string", "null"], "maxLength": 500 });
    object(&[], json!({ "cascade": { "enum": cascades, "default": "all" }, "reason": reason }))
}

pub(super) fn reason() -> Value {
    json!({ "reason": "asked for" })
}

pub(super) fn deprecated(parameter: Value) -> Value {
    with(parameter, "deprecated", json!(true))
}

pub(super) fn accepted() -> Value {
    json!({ "deletion_id": ULID, "status": "deletion_pending" })
}

pub(super) fn agent() -> Value {
    json!({
        "agent_id": UUID, "name": "Tutor", "external_id": null, "metadata": {}, "created_at": THEN, "updated_at": THEN,
    })
}

pub(super) fn described(schema: &str, value: Value) -> Value {
    with(value, "$schema", json!(format!("/api/v1/schemas/{schema}.json")))
}

pub(super) fn mood() -> Value {
    json!({
        "agent_id": UUID, "user_id": "ada", "valence": 0.3, "arousal": -0.1, "tension": 0.0, "affiliation": 0.5,
        "baseline_valence": 0.0, "baseline_arousal": 0.0, "baseline_tension": 0.0, "baseline_affiliation": 0.0,
        "label": "happy", "created_at": THEN, "updated_at": THEN, "last_decay_at": THEN, "last_interaction_at": THEN,
    })
}

pub(super) fn relationship() -> Value {
    json!({
        "id": ULID, "user_id": "ada", "personality_id": UUID, "role": "user", "turns": 1, "mood": mood(),
        "created_at": THEN, "last_interaction_at": THEN,
    })
}

pub(super) fn page(item: Value) -> Value {
    json!({ "data": [item], "has_more": false, "next_cursor": null })
}

pub(super) fn principal(created: bool) -> Value {
    json!({
        "created": created, "id": UUID, "external_id": "ada", "type": "human", "name": "Ada", "created_at": THEN,
        "updated_at": THEN, "metadata": {}, "is_temporary": false, "owner_principal_id": null,
        "onboarding_session_id": null,
    })
}

pub(super) fn enveloped(result: Value, message: &str, meta: Value) -> Value {
    json!({ "result": result, "success": true, "message": message, "suggestion": null, "meta": meta })
}

pub(super) fn receipt() -> Value {
    json!({
        "deletion_id": ULID, "status": "completed", "cascade": "all", "requested_at": THEN, "completed_at": THEN,
        "reason": "asked for", "erased": { "records": 1, "relationships": 2, "moods": 2 },
    })
}

/// Links to a user whose id is in the body.
pub(super) fn user_links() -> Value {
    let parameters = json!({ "user_id": "$response.body#/user_id" });
    json!({
        "read": { "operationId": "getEndUser", "parameters": parameters },
        "change": { "operationId": "updateEndUser", "parameters": parameters },
        "usage": { "operationId": "getEndUserUsage", "parameters": parameters },
        "export": { "operationId": "exportEndUser", "parameters": parameters },
        "erase": { "operationId": "deleteEndUser", "parameters": parameters },
    })
}

pub(super) fn deletion_links() -> Value {
    json!({ "receipt": { "operationId": "getDeletion", "parameters": { "deletion_id": "$response.body#/deletion_id" } } })
}

pub(super) fn agent_links() -> Value {
    let parameters = json!({ "agent_id": "$response.body#/agent_id" });
    json!({
        "read": { "operationId": "getAgent", "parameters": parameters },
        "change": { "operationId": "updateAgent", "parameters": parameters },
        "users": { "operationId": "listAgentUsers", "parameters": parameters },
        "delete": { "operationId": "deleteAgent", "parameters": parameters },
    })
}

pub(super) fn principal_links() -> Value {
    let parameters = json!({ "principal_id": "$response.body#/result/id" });
    json!({
        "read": { "operationId": "getPrincipal", "parameters": parameters },
        "change": { "operationId": "updatePrincipal", "parameters": parameters },
        "erase": { "operationId": "deletePrincipal", "parameters": parameters },
    })
}
