//! The schemas of errors, one for each dialect's form.

use serde_json::{Map, Value, json};

use super::parts::{object, ulid};
use crate::edge::http::schema::Schema;

/// The schemas of errors, by name.
pub fn errors() -> Map<String, Value> {
    let text = || json!({ "type": "string" });
    let value = || json!({ "description": "What was sent, when it is short enough to repeat." });
    let error = object(&json!({
        "error": object(&json!({
            "code": { "type": "string", "description": "What programs should look at; each is explained at `/errors`." },
            "message": text(),
            "type": {
                "enum": ["validation", "authentication", "permission", "quota", "not_found", "conflict", "rate_limit", "internal"],
            },
            "request_id": ulid(),
            "details": {
                "description": "What is known of the fault: the fields at fault, the wait, or the quota.",
                "type": ["object", "null"],
            },
            "documentation_url": { "type": "string", "format": "uri" },
        })),
    }));
    let problem = object(&json!({
        "$schema": { "const": Schema::Problem.path() },
        "type": { "type": "string", "format": "uri" },
        "title": text(), "status": { "type": "integer", "minimum": 400, "maximum": 599 }, "detail": text(),
        "instance": { "type": "string", "pattern": "^urn:ulid:" },
        "errors": {
            "type": "array",
            "items": object(&json!({ "location": text(), "message": text(), "value": value() })),
        },
    }));
    let principal = object(&json!({
        "success": { "const": false },
        "error": {
            "anyOf": [
                text(),
                object(&json!({
                    "detail": {
                        "type": "array",
                        "items": object(&json!({
                            "loc": { "type": "array", "items": text(), "minItems": 2, "maxItems": 2 },
                            "msg": text(), "type": text(), "input": value(),
                        })),
                    },
                })),
            ],
        },
        "suggestion": text(), "request_id": text(),
    }));
    [("Error", error), ("Problem", problem), ("PrincipalError", principal)]
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect()
}
