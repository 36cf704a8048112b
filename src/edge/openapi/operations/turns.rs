//! Turns, relationships and usage.

use serde_json::json;

use super::examples::{
    THEN, accepted, cursor, deletion, deletion_links, id, limit, object, or_null, page, parameter, reason, relationship,
};
use crate::edge::http::method::Method::{Delete, Get, Post};
use crate::edge::openapi::operation::Operation;
use crate::edge::openapi::parts::ULID;

pub(super) fn all() -> Vec<Operation> {
    let tag = "Turns";
    let relationship_path = "/v1/relationships/{relationship_id}";
    let level = || json!({ "type": "number", "minimum": -1, "maximum": 1 });
    let request = object(
        &["message", "personality_id"],
        json!({
            "message": { "type": "string", "minLength": 1, "maxLength": 32_000 },
            "personality_id": { "description": "The agent's UUID or name.", "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$" },
            "user_id": or_null(id()),
            "mode": { "enum": ["stateful", "stateless"], "description": "Stateful when `user_id` is given, which it then needs." },
            "context": { "type": ["object", "null"], "additionalProperties": true },
            "affect": {
                "type": ["object", "null"], "additionalProperties": false, "required": ["valence", "arousal"],
                "properties": {
                    "valence": level(), "arousal": level(), "tension": or_null(level()), "affiliation": or_null(level()),
                },
            },
            "stream": { "type": "boolean", "default": false },
        }),
    );
    let answer = json!({
        "interaction_id": ULID, "response": "Echo: How are you?", "inferred_emotional_state": null,
        "usage": {
            "turns_consumed": 1, "active_relationship_counted": true, "llm_provider": "echo", "llm_model": "echo",
        },
        "latency_ms": 12,
    });
    let usage = json!({ "used": 17, "limit": 10_000, "period_start": THEN, "resets_at": "2026-12-21T22:41:26.283Z" });
    let active = "/v1/usage/active-relationships";
    let first = json!({ "relationship_id": "$response.body#/data/0/id" });
    let respond = Operation::new(Post, "/v1/respond", "respond", tag, "Take a metered turn with an agent")
        .says(
            "Reserved before the responder is asked, counted with its answer, given back when there is none. With a \
             `user_id` the user and the relationship are made if they are not there, and the mood moves.",
        )
        .conditions(&["Idempotency-Key"])
        .request(request, json!({ "message": "How are you?", "personality_id": "Tutor", "user_id": "ada" }))
        .answers(200, "The answer; with `stream: true` as server-sent events.", "Turn", answer, RESPONDED)
        .streams("TurnEvent", json!({ "event": "text", "data": "{\"type\":\"text\",\"delta\":\"Echo: \"}" }))
        .errors(&[404, 409, 502, 504]);
    vec![
        respond,
        Operation::new(Get, "/v1/relationships", "listRelationships", tag, "List who talks with whom")
            .says("In the order of their making.")
            .query(vec![
                parameter("user_id", "Only of this user.", id()),
                parameter("personality_id", "Only with this agent, by UUID or name.", id()),
                limit("limit", 200, 50),
                cursor(),
            ])
            .answers(200, "A page.", "RelationshipPage", page(relationship()), &[])
            .links(json!({
                "read": { "operationId": "getRelationship", "parameters": first },
                "erase": { "operationId": "deleteRelationship", "parameters": first },
            }))
            .errors(&[409]),
        Operation::new(Get, relationship_path, "getRelationship", tag, "Read a relationship")
            .conditions(&["If-None-Match"])
            .answers(200, "The relationship.", "Relationship", relationship(), &["ETag"])
            .bare(304, "Still in the version that was named.", &["ETag"])
            .errors(&[404]),
        Operation::new(Delete, relationship_path, "deleteRelationship", tag, "Erase a relationship")
            .says("With `memory_only` what it remembers of turns.")
            .conditions(&["If-Match"])
            .request(deletion(&["all", "memory_only"]), reason())
            .answers(202, "The receipt's id.", "DeletionAccepted", accepted(), &[])
            .links(deletion_links())
            .errors(&[404, 412]),
        Operation::new(Get, "/v1/usage/turns", "getTurnUsage", tag, "Read the turns used").answers(
            200,
            "Of this billing period.",
            "Usage",
            usage.clone(),
            &[],
        ),
        Operation::new(Get, active, "getActiveRelationshipUsage", tag, "Read the active relationships").answers(
            200,
            "Of this billing period.",
            "Usage",
            usage,
            &[],
        ),
    ]
}

const RESPONDED: &[&str] = &[
    "Idempotency-Replayed",
    "X-Quota-Turns-Used",
    "X-Quota-Turns-Limit",
    "X-Quota-Relationships-Used",
    "X-Quota-Relationships-Limit",
    "X-Quota-Reset",
];
