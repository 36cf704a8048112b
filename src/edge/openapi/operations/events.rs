//! The feed of events.

use serde_json::json;
use strum::VariantArray;

use super::examples::{THEN, end_user, limit, parameter};
use crate::directory::event::EventType;
use crate::edge::http::method::Method::Get;
use crate::edge::openapi::operation::Operation;
use crate::edge::openapi::parts::{ULID, UUID, with};

pub(super) fn all() -> Vec<Operation> {
    let types: Vec<&str> = EventType::VARIANTS.iter().map(EventType::into_str).collect();
    let types = json!({ "type": "array", "minItems": 1, "items": { "enum": types } });
    let types = parameter("types", "Only events of these types, separated by commas.", types);
    let after = json!({ "type": "string", "minLength": 1 });
    let wait = json!({ "type": "integer", "minimum": 0, "maximum": 25, "default": 0 });
    let event = json!({
        "id": format!("evt_{ULID}"), "sequence": 7, "type": "end_user.created", "created_at": THEN,
        "request_id": ULID, "actor": { "type": "key", "id": ULID },
        "subject": { "type": "end_user", "ref": UUID, "id": "ada", "version": 7 }, "data": end_user(),
    });
    let streamed = json!({ "id": "Ap_4y6JLyMfkmAyyEGFkYQ", "event": "end_user.created", "data": event.to_string() });
    let page = json!({ "data": [event], "has_more": false, "next_cursor": "Ap_4y6JLyMfkmAyyEGFkYQ" });
    vec![
        Operation::new(Get, "/v1/events", "listEvents", "Events", "Follow what changes")
            .says(
                "In the order of `sequence`, which has gaps. `data` is the subject as it is when the event is read. Events \
                 are kept for 30 days.",
            )
            .query(vec![
                parameter("after", "A place: the `next_cursor` of an earlier page. Without it the oldest events come first.", after),
                with(with(types, "style", json!("form")), "explode", json!(false)),
                limit("limit", 200, 50),
                parameter("wait", "Seconds that an empty page waits for an event.", wait),
            ])
            .conditions(&["Last-Event-ID"])
            .answers(200, "A page. `next_cursor` is always a place to go on from.", "EventPage", page, &[])
            .streams("StreamedEvent", streamed)
            .errors(&[410]),
    ]
}
