//! The schemas of bodies that the Worker composes from several types.

use serde_json::{Map, Value, json};

use super::parts::{extended, nullable, object, schema, ulid};
use crate::edge::http::schema::Schema;

/// A page of dialect 1 or of the operator's API.
fn page(item: &str) -> Value {
    object(&json!({
        "data": { "type": "array", "items": schema(item) },
        "has_more": { "type": "boolean" },
        "next_cursor": { "type": ["string", "null"], "minLength": 1 },
    }))
}

/// A body of dialect 2, whose `$schema` member names its schema. Every member but the `optional` ones is required.
fn described(schema: Schema, members: &Value, optional: &[&str]) -> Value {
    let mut all = json!({ "$schema": { "const": schema.path() } });
    if let (Some(all), Some(members)) = (all.as_object_mut(), members.as_object()) {
        all.extend(members.clone());
    }
    let mut object = object(&all);
    if let Some(required) = object.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| name.as_str().is_none_or(|name| !optional.contains(&name)));
    }
    object
}

/// The members of a derived schema.
fn members(schemas: &Map<String, Value>, name: &str) -> Value {
    schemas.get(name).and_then(|schema| schema.get("properties")).cloned().unwrap_or_default()
}

/// The schemas of bodies that the Worker composes from several types.
pub fn composed(derived: &Map<String, Value>) -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let text_or_null = || json!({ "type": ["string", "null"] });
    let agent_members = members(derived, "Agent");
    let organization = object(&json!({
        "id": text(), "name": text_or_null(), "slug": text_or_null(), "role": text_or_null(),
        "member_count": { "type": ["integer", "null"] },
        "created_at": { "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "null" }] },
    }));
    let envelope = |result: Value, meta: Value| {
        object(&json!({
            "result": result, "success": { "const": true }, "message": text(), "suggestion": { "type": "null" },
            "meta": meta,
        }))
    };
    let principal = extended(&json!({ "created": { "type": "boolean" } }), &members(derived, "Principal"));
    let health = object(&json!({ "status": { "const": "ok" }, "version": text() }));
    let next = json!({ "type": "string", "minLength": 1 });
    let list = |name: &str, item: &str| {
        json!({
            name: { "type": "array", "items": schema(item), "maxItems": 500 },
            "has_more": { "type": "boolean" }, "next_cursor": next,
        })
    };
    let single = extended(
        &members(derived, "EndUser"),
        &json!({
            "relationships": { "type": "array", "items": schema("Relationship"), "maxItems": 100 },
            "relationships_has_more": { "type": "boolean" },
        }),
    );
    let all = [
        ("EndUserWithRelationships", single),
        ("EndUserPage", page("EndUser")),
        ("RelationshipPage", page("Relationship")),
        ("OrganizationPage", page("Organization")),
        ("KeyPage", page("Key")),
        ("DescribedAgent", described(Schema::Agent, &agent_members, &[])),
        ("AgentList", described(Schema::AgentList, &list("items", "Agent"), &["next_cursor"])),
        ("AgentUserList", described(Schema::AgentUserList, &list("users", "UserEntry"), &["next_cursor"])),
        ("DescribedDeletion", described(Schema::Deletion, &members(derived, "DeletionAccepted"), &[])),
        (
            "Me",
            described(
                Schema::Me,
                &json!({
                    "user_id": text(), "email": text_or_null(),
                    "orgs": { "type": "array", "items": organization, "maxItems": 500 },
                }),
                &[],
            ),
        ),
        ("PrincipalResult", principal),
        ("PrincipalAnswer", envelope(schema("PrincipalResult"), json!({ "type": "null" }))),
        ("PrincipalDeletion", envelope(schema("DeletionAccepted"), json!({ "type": "null" }))),
        (
            "PrincipalPage",
            envelope(json!({ "type": "array", "items": schema("PrincipalResult") }), schema("PrincipalMeta")),
        ),
        (
            "OrganizationDeletionAccepted",
            object(&json!({ "deletion_id": text(), "status": { "enum": ["deletion_pending", "completed"] } })),
        ),
        (
            "OrganizationReceipt",
            object(&json!({
                "deletion_id": text(), "organization_id": text(),
                "status": { "enum": ["deletion_pending", "completed"] },
                "requested_at": { "type": "string", "format": "date-time" },
                "completed_at": { "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "null" }] },
                "reason": text_or_null(), "erased": schema("Erased"),
            })),
        ),
        ("TurnEvent", turn_event()),
        ("Health", health),
        (
            "Demo",
            object(&json!({ "api_key": text_or_null(), "mood_half_life_ms": { "type": "integer", "minimum": 0 } })),
        ),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

/// An event of a streamed turn. `OpenAPI` 3.1 describes a stream by the schema of one event.
fn turn_event() -> Value {
    let text = || json!({ "type": "string" });
    let event = |name: &str, members: &Value| {
        let data = extended(&json!({ "type": { "const": name } }), members);
        object(&json!({
            "event": { "const": name },
            "data": { "type": "string", "contentMediaType": "application/json", "contentSchema": data },
        }))
    };
    let metadata = json!({
        "interaction_id": ulid(), "inferred_emotional_state": nullable(schema("EmotionalState")),
        "memory": object(&json!({
            "consulted": { "const": false }, "summary_used": { "const": "none" },
            "significant_moments_referenced": { "const": 0 },
        })),
    });
    let completion = json!({
        "memory": object(&json!({ "summary_used": { "const": "none" }, "model_updated": { "type": "boolean" } })),
        "guardrails": object(&json!({ "applied": { "type": "array", "items": text() } })),
        "usage": schema("TurnUsage"), "latency_ms": { "type": "integer" },
    });
    let error = json!({ "code": text(), "message": text() });
    json!({
        "description": "One event: `metadata` first, `text` for each piece, then `completion` or `error`.",
        "anyOf": [
            event("metadata", &metadata), event("text", &json!({ "delta": text() })),
            event("completion", &completion), event("error", &error),
        ],
    })
}
