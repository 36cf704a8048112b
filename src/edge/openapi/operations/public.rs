//! Operations without a key: probes, the demo and signed events.

use serde_json::{Value, json};

use super::examples::id;
use crate::directory::timestamp::Timestamp;
use crate::edge::http::method::Method::{Get, Post};
use crate::edge::openapi::operation::Operation;

/// The events of mirrored types, with the members that the Worker reads, and events of other types, of which it
/// reads only the type.
fn clerk_event() -> Value {
    fn open(required: &[&str], properties: &Value) -> Value {
        json!({ "type": "object", "additionalProperties": true, "required": required, "properties": properties })
    }
    let text = || json!({ "type": "string" });
    let text_or_null = || json!({ "type": ["string", "null"] });
    let instant = || json!({ "type": "integer", "minimum": 0, "maximum": Timestamp::LAST.millis(), "description": "Milliseconds since 1970." });
    let organization = json!({
        "id": id(), "name": text(), "slug": text_or_null(), "created_at": instant(), "updated_at": instant(),
    });
    let person = json!({
        "id": id(), "updated_at": instant(), "primary_email_address_id": text_or_null(),
        "email_addresses": {
            "type": "array", "items": open(&["id", "email_address"], &json!({ "id": text(), "email_address": text() })),
        },
    });
    let organization_fields = ["id", "name", "created_at", "updated_at"];
    let membership = json!({
        "id": id(), "role": id(), "created_at": instant(), "updated_at": instant(),
        "organization": {
            "description": "All of it, or no more than its id.",
            "anyOf": [open(&organization_fields, &organization), open(&["id"], &json!({ "id": id(), "name": false }))],
        },
        "public_user_data": open(&["user_id"], &json!({ "user_id": id() })),
    });
    let changed = |name: &str| [format!("{name}.created"), format!("{name}.updated")];
    let deleted = ["user.deleted", "organization.deleted", "organizationMembership.deleted"];
    let membership_fields = ["id", "role", "organization", "public_user_data", "created_at", "updated_at"];
    let mirrored = [
        (json!(changed("user")), open(&["id", "email_addresses", "updated_at"], &person)),
        (json!(changed("organization")), open(&organization_fields, &organization)),
        (json!(changed("organizationMembership")), open(&membership_fields, &membership)),
        (json!(deleted), open(&["id"], &json!({ "id": id() }))),
    ];
    let types: Vec<Value> = mirrored.iter().filter_map(|(types, _)| types.as_array()).flatten().cloned().collect();
    let of_other_types = json!({ "type": { "type": "string", "not": { "enum": types } } });
    let events = mirrored
        .into_iter()
        .map(|(types, data)| (&["type", "data"][..], json!({ "type": { "enum": types }, "data": data })));
    let events = events.chain([(&["type"][..], of_other_types)]);
    json!({ "anyOf": events.map(|(required, properties)| open(required, &properties)).collect::<Vec<_>>() })
}

pub(super) fn all() -> Vec<Operation> {
    let health = json!({ "status": "ok", "version": "0.1.0" });
    let demo = json!({ "api_key": null, "distance_ms_max": 0, "mood_half_life_ms": 86_400_000 });
    let check = json!({ "ok": true, "latency_ms": 3 });
    let readiness = |status: &str| json!({ "status": status, "checks": { "configuration": check, "objects": check, "kv": check, "d1": check } });
    vec![
        Operation::new(Get, "/health", "getHealth", "Public", "The Worker answers").answers(
            200,
            "It does.",
            "Health",
            health,
            &[],
        ),
        Operation::new(Get, "/ready", "getReadiness", "Public", "Every binding is reached")
            .answers(200, "All are, each with its latency.", "Readiness", readiness("ready"), &[])
            .answers(503, "One is not.", "Readiness", readiness("not_ready"), &[]),
        Operation::new(Get, "/demo.json", "getDemo", "Public", "What the demo page is told")
            .says(
                "The key only on a developer's own machine, where `cargo dev` serves, and only to a page of this server; \
                 for anybody else it is `null`. There a request may also ask for a distance to the objects; elsewhere \
                 `distance_ms_max` is 0. In `mood_half_life_ms` a mood loses half its distance to its baseline.",
            )
            .answers(200, "The key, the distance and the half-life.", "Demo", demo, &[]),
        Operation::new(Post, "/webhooks/clerk", "receiveClerkEvent", "Public", "Take an event of Clerk's")
            .says("Signed by Svix. At most 256 KiB. Only what is named here is read of it.")
            .request(
                clerk_event(),
                json!({ "object": "event", "type": "user.deleted", "data": { "id": "user_1", "deleted": true } }),
            )
            .bare(204, "In the mirror, or of no interest.", &[]),
    ]
}
