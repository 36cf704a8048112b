//! What a search for the worst request varies, and the bounds of it for each operation of the API.

use serde::{Deserialize, Serialize};

use crate::largest::METADATA_BYTES_MAX;
use crate::letters::Letters;

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// As the API wants it.
    Legal,
    /// The same request with the same `Idempotency-Key`, as often as there are requests at once.
    Repeated,
    /// A turn that is streamed.
    Streamed,
    /// A legal record and unknown fields beside it, up to the limit of a body.
    Unknown,
    Nested,
    Numbers,
    Members,
    /// A body that ends too early.
    Broken,
    /// A body beyond the limit, with its length and without.
    TooLong,
    TooLongInChunks,
    /// The longest headers and query.
    Head,
}

impl Shape {
    const OF_BODIES: [Self; 7] =
        [Self::Unknown, Self::Nested, Self::Numbers, Self::Members, Self::Broken, Self::TooLong, Self::TooLongInChunks];
}

/// What a search varies.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sizes {
    pub shape: Shape,
    pub letters: Letters,
    /// Bytes of a record, or of a body that is not legal.
    pub bytes: usize,
    /// Rows of a page or of a batch, answers that are kept.
    pub rows: usize,
    /// Requests at once.
    pub together: usize,
}

/// The bounds of an operation's sizes.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// As the OpenAPI document names it.
    pub name: &'static str,
    /// The largest body. 0 for none.
    pub body_max: usize,
    /// The most bytes of a record.
    pub bytes_max: usize,
    pub rows_max: usize,
    pub writes: bool,
}

const BODY: usize = 64 * 1024;
const EVENT: usize = 256 * 1024;
const BATCH: usize = 1024 * 1024;
const RECORD: usize = METADATA_BYTES_MAX;
pub const ANSWER: usize = 256 * 1024;
/// How much of a body the Worker reads beyond its limit.
pub const IGNORED: usize = 8 * 1024 * 1024;
/// Longer ones are refused by the runtime.
pub const HEADER_BYTES: usize = 8 * 1024;

const fn read(name: &'static str, bytes_max: usize, rows_max: usize) -> Operation {
    Operation { name, body_max: 0, bytes_max, rows_max, writes: false }
}

const fn write(name: &'static str, body_max: usize, bytes_max: usize, rows_max: usize) -> Operation {
    Operation { name, body_max, bytes_max, rows_max, writes: true }
}

/// All operations that the document has.
pub const OPERATIONS: &[Operation] = &[
    read("GET /health", 0, 0),
    read("GET /ready", 0, 0),
    read("GET /demo.json", 0, 0),
    write("POST /v1/end-users", BODY, RECORD, 0),
    write("POST /v1/end-users/batch", BATCH, RECORD, 500),
    write("POST /v1/end-users/batch-get", BATCH, RECORD, 100),
    write("POST /v1/end-users/batch-erase", BATCH, RECORD, 500),
    read("GET /v1/end-users", RECORD, 200),
    read("GET /v1/end-users/{user_id}", RECORD, 0),
    write("PATCH /v1/end-users/{user_id}", BODY, RECORD, 0),
    write("DELETE /v1/end-users/{user_id}", BODY, RECORD, 40),
    read("GET /v1/end-users/{user_id}/export", RECORD, 0),
    read("GET /v1/end-users/{user_id}/usage", 0, 0),
    read("GET /v1/deletions/{deletion_id}", 0, 0),
    write("POST /v1/respond", BODY, ANSWER, 32_000),
    read("GET /v1/relationships", 0, 200),
    read("GET /v1/relationships/{relationship_id}", 0, 0),
    write("DELETE /v1/relationships/{relationship_id}", BODY, 500, 0),
    read("GET /v1/events", RECORD, 200),
    read("GET /v1/usage/turns", 0, 0),
    read("GET /v1/usage/active-relationships", 0, 0),
    write("POST /api/v1/agents", BODY, RECORD, 0),
    read("GET /api/v1/agents", 0, 500),
    read("GET /api/v1/agents/{agent_id}", 0, 0),
    read("GET /api/v1/agents/{agent_id}/users", RECORD, 500),
    write("DELETE /api/v1/agents/{agent_id}", BODY, RECORD, 40),
    write("PATCH /api/v1/agents/{agent_id}", BODY, RECORD, 0),
    write("POST /api/v1/principals", BODY, RECORD, 0),
    read("GET /api/v1/principals", RECORD, 200),
    read("GET /api/v1/principals/{principal_id}", 0, 0),
    read("GET /api/v1/principals/by-external-id/{external_id}", RECORD, 0),
    write("PATCH /api/v1/principals/{principal_id}", BODY, RECORD, 0),
    write("DELETE /api/v1/principals/{principal_id}", BODY, RECORD, 0),
    write("POST /webhooks/clerk", EVENT, EVENT, 0),
    read("GET /api/v1/me", 4_000, 0),
    write("POST /admin/v1/organizations", BODY, 255, 0),
    read("GET /admin/v1/organizations", 0, 200),
    read("GET /admin/v1/organizations/{organization_id}", 0, 0),
    write("PATCH /admin/v1/organizations/{organization_id}", BODY, 255, 0),
    write("POST /admin/v1/organizations/{organization_id}/keys", BODY, 255, 0),
    read("GET /admin/v1/organizations/{organization_id}/keys", 0, 200),
    write("DELETE /admin/v1/organizations/{organization_id}/keys/{key_id}", 0, 255, 0),
    read("GET /admin/v1/organizations/{organization_id}/usage", 0, 0),
    write("POST /admin/v1/organizations/{organization_id}/repair", BODY, 0, 0),
    read("GET /admin/v1/organizations/{organization_id}/repair", 0, 0),
    read("GET /admin/v1/organizations/{organization_id}/export", 0, 0),
    write("POST /admin/v1/organizations/{organization_id}/import", BATCH, RECORD, 500),
    write("POST /admin/v1/operators", BODY, 255, 0),
    read("GET /admin/v1/operators", 0, 200),
    write("DELETE /admin/v1/operators/{operator_id}", 0, 255, 0),
    read("GET /admin/v1/diagnostics", 0, 0),
    read("GET /admin/v1/deletions/{deletion_id}", 0, 0),
    write("DELETE /admin/v1/organizations/{organization_id}", BODY, 500, 0),
];

impl Operation {
    pub fn shapes(&self) -> Vec<Shape> {
        let mut shapes = vec![Shape::Legal, Shape::Head];
        if self.name == "POST /v1/respond" {
            shapes.push(Shape::Streamed);
        }
        if self.takes_idempotency_key() {
            shapes.push(Shape::Repeated);
        }
        if self.body_max > 0 {
            shapes.extend(Shape::OF_BODIES);
        }
        shapes
    }

    pub fn takes_idempotency_key(&self) -> bool {
        self.name.starts_with("POST /v1/") || self.name.starts_with("POST /api/v1/")
    }

    pub const fn method(&self) -> &'static str {
        match self.name.as_bytes() {
            [b'G', ..] => "GET",
            [b'D', ..] => "DELETE",
            [b'P', b'A', ..] => "PATCH",
            _ => "POST",
        }
    }

    pub fn path(&self) -> &'static str {
        self.name.split(' ').nth(1).unwrap_or_default()
    }
}
