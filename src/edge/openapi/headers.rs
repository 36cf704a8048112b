//! The response headers.

use serde_json::{Map, Value, json};

use super::parts::{ULID, ulid};

/// The rate-limit headers.
pub const RATE: [&str; 5] =
    ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"];

/// The quota headers.
pub const QUOTA: [&str; 5] = [
    "X-Quota-Turns-Used",
    "X-Quota-Turns-Limit",
    "X-Quota-Relationships-Used",
    "X-Quota-Relationships-Limit",
    "X-Quota-Reset",
];

/// References to the described headers of these names.
pub fn references(names: &[&str]) -> Map<String, Value> {
    let reference = |name: &&str| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    names.iter().map(reference).collect()
}

/// Every response header that a component describes.
pub fn components() -> Value {
    let header = |description: &str, schema: Value, example: Value| json!({ "description": description, "schema": schema, "example": example });
    let integer = || json!({ "type": "integer", "minimum": 0 });
    let instant = || json!({ "type": "string", "format": "date-time" });
    let text = || json!({ "type": "string" });
    json!({
        "X-Request-Id": header("On every response; in error bodies and in the log too.", ulid(), json!(ULID)),
        "X-RateLimit-Limit": header("Requests per second that the bucket sustains.", integer(), json!(50)),
        "X-RateLimit-Remaining": header("Whole tokens left after this request.", integer(), json!(99)),
        "X-RateLimit-Reset": header("When the bucket will be full again.", instant(), json!("2026-11-21T22:41:26.303Z")),
        "RateLimit-Policy": header("The bucket's size and the seconds in which it fills (draft-ietf-httpapi-ratelimit-headers).", text(), json!("\"org\";q=100;w=2")),
        "RateLimit": header("Tokens left, and the seconds until the bucket is full.", text(), json!("\"org\";r=99;t=1")),
        "Retry-After": header("Seconds, never earlier than the first moment a retry can succeed.", integer(), json!(1)),
        "X-Quota-Turns-Used": header("Turns of this billing period.", integer(), json!(17)),
        "X-Quota-Turns-Limit": header("Turns that a billing period allows.", integer(), json!(10_000)),
        "X-Quota-Relationships-Used": header("Active relationships of this billing period.", integer(), json!(3)),
        "X-Quota-Relationships-Limit": header("Active relationships that a billing period allows.", integer(), json!(1_000)),
        "X-Quota-Reset": header("When the billing period rolls over.", instant(), json!("2026-12-21T22:41:26.303Z")),
        "WWW-Authenticate": header("`Bearer`, with the error where one is known.", text(), json!("Bearer error=\"invalid_token\"")),
        "Location": header("Path of the new resource, percent-encoded.", text(), json!("/v1/end-users/ada")),
        "ETag": header("The quoted version, for `If-Match` and `If-None-Match`.", text(), json!("\"1\"")),
        "Age": header("Of an answer from nearby: seconds, an upper bound of how old it is.", integer(), json!(1)),
        "X-Rollcall-Source": header(
            "`edge` for an answer from nearby, `object` for a strong one.",
            json!({ "enum": ["object", "edge"] }),
            json!("object"),
        ),
        "Link": header("The JSON Schema of the body, as `describedBy`.", text(), json!("</api/v1/schemas/Agent.json>; rel=\"describedBy\"")),
        "Idempotency-Replayed": header("`true` when this is the first answer again.", json!({ "const": "true" }), json!("true")),
    })
}
