//! One operation: a route's text, parameters, bodies, responses and examples.

use serde_json::{Map, Value, json};

use super::errors::error;
use super::headers::{RATE, references};
use super::parts::{schema, with};
use super::route_table::{body_types, scope, security};
use crate::edge::http::method::Method;
use crate::edge::routes::{Action, Route};

/// Headers of a response that reports a new record.
pub const CREATED: &[&str] = &["Location", "ETag", "Idempotency-Replayed"];

/// Headers of a response that reports an existing record.
pub const FOUND: &[&str] = &["ETag", "Idempotency-Replayed"];

/// Headers of a read that may come from nearby.
pub const READ: &[&str] = &["ETag", "Age", "X-Rollcall-Source"];

/// Headers of such a read when the caller has the record already.
pub const READ_SAME: &[&str] = &["ETag", "X-Rollcall-Source"];

/// One response that is not an error.
struct SuccessResponse {
    status: u16,
    description: &'static str,
    /// Media type, schema and example. `None` if the response has no body.
    body: Option<(&'static str, Value, Value)>,
    headers: &'static [&'static str],
    links: Value,
}

/// One operation of the document: its text, parameters, bodies, responses and examples.
pub struct Operation {
    method: Method,
    pattern: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    query: Vec<Value>,
    /// The names of the request headers that the operation reads.
    conditions: &'static [&'static str],
    request: Option<(Value, Value)>,
    /// Schema and example of an `application/merge-patch+json` body, where the operation takes one.
    merge_patch: Option<(Value, Value)>,
    answers: Vec<SuccessResponse>,
    /// The error statuses that depend on the resource or on the responder.
    errors: &'static [u16],
}

impl Operation {
    pub const fn id(&self) -> &'static str {
        self.id
    }

    pub fn is_of(&self, route: &Route) -> bool {
        self.method == route.method && self.pattern == route.pattern
    }

    pub fn new(
        method: Method,
        pattern: &'static str,
        id: &'static str,
        tag: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            pattern,
            id,
            tag,
            summary,
            description: "",
            query: Vec::new(),
            conditions: &[],
            request: None,
            merge_patch: None,
            answers: Vec::new(),
            errors: &[],
        }
    }

    pub fn says(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    pub fn query(self, query: Vec<Value>) -> Self {
        Self { query, ..self }
    }

    pub fn conditions(self, conditions: &'static [&'static str]) -> Self {
        Self { conditions, ..self }
    }

    pub fn request(self, schema: Value, example: Value) -> Self {
        Self { request: Some((schema, example)), ..self }
    }

    /// Adds the form of a merge patch.
    pub fn merge_patch(self, schema: Value, example: Value) -> Self {
        Self { merge_patch: Some((schema, example)), ..self }
    }

    pub fn errors(self, errors: &'static [u16]) -> Self {
        Self { errors, ..self }
    }

    /// Adds a response with a JSON body of the schema `name`.
    pub fn answers(
        mut self,
        status: u16,
        description: &'static str,
        name: &str,
        example: Value,
        headers: &'static [&'static str],
    ) -> Self {
        let body = Some(("application/json", schema(name), example));
        self.answers.push(SuccessResponse { status, description, body, headers, links: Value::Null });
        self
    }

    /// Adds a stream of server-sent events to the 200 response. `name` is the schema of one event.
    pub fn streams(mut self, name: &str, example: Value) -> Self {
        let body = Some(("text/event-stream", schema(name), example));
        self.answers.push(SuccessResponse { status: 200, description: "", body, headers: &[], links: Value::Null });
        self
    }

    /// Adds a 200 response of lines of JSON. `name` is the schema of one line.
    pub fn lines(mut self, description: &'static str, name: &str, example: Value) -> Self {
        let body = Some(("application/x-ndjson", schema(name), example));
        self.answers.push(SuccessResponse { status: 200, description, body, headers: &[], links: Value::Null });
        self
    }

    /// Adds a response without a body.
    pub fn bare(mut self, status: u16, description: &'static str, headers: &'static [&'static str]) -> Self {
        self.answers.push(SuccessResponse { status, description, body: None, headers, links: Value::Null });
        self
    }

    /// Adds links to the response that was added last.
    pub fn links(mut self, links: Value) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.links = links;
        }
        self
    }

    pub fn document(&self, route: &Route) -> Value {
        let mut document = json!({
            "operationId": self.id, "tags": [self.tag], "summary": self.summary, "security": security(route),
            "responses": self.responses(route),
        });
        let description = [self.description, scope(route).unwrap_or_default()].join(" ").trim().to_owned();
        if !description.is_empty() {
            document = with(document, "description", json!(description));
        }
        let conditions = self.conditions.iter().map(|name| condition(name));
        let parameters: Vec<Value> = self.query.iter().cloned().chain(conditions).collect();
        if !parameters.is_empty() {
            document = with(document, "parameters", json!(parameters));
        }
        if let Some((schema, example)) = &self.request {
            let (types, required) = body_types(route);
            let merge_patch = self.merge_patch.iter().map(|body| ("application/merge-patch+json", &body.0, &body.1));
            let content: Map<String, Value> = types
                .iter()
                .map(|media_type| (*media_type, schema, example))
                .chain(merge_patch)
                .map(|(name, schema, example)| (name.to_owned(), json!({ "schema": schema, "example": example })))
                .collect();
            document = with(document, "requestBody", json!({ "required": required, "content": content }));
        }
        document
    }

    fn responses(&self, route: &Route) -> Map<String, Value> {
        let mut responses = Map::new();
        for answer in &self.answers {
            let mut names = vec!["X-Request-Id"];
            if !matches!(route.action, Action::Session | Action::Admin(_) | Action::Diagnostics | Action::ClerkEvent) {
                names.extend(RATE);
            }
            names.extend(answer.headers);
            let mut response = json!({ "description": answer.description, "headers": references(&names) });
            if let Some((media_type, schema, example)) = &answer.body {
                response = with(response, "content", json!({ *media_type: { "schema": schema, "example": example } }));
            }
            if !answer.links.is_null() {
                response = with(response, "links", answer.links.clone());
            }
            // Two responses of one status are two media types of one response object.
            match responses.get_mut(&answer.status.to_string()) {
                None => drop(responses.insert(answer.status.to_string(), response)),
                Some(first) => {
                    let more = response.get("content").and_then(Value::as_object).cloned().unwrap_or_default();
                    if let Some(content) = first.get_mut("content").and_then(Value::as_object_mut) {
                        content.extend(more);
                    }
                }
            }
        }
        for status in self.all_errors(route) {
            responses.entry(status.to_string()).or_insert_with(|| error(route, status, self.id));
        }
        responses
    }

    /// Every error status of this route, in ascending order.
    pub fn all_errors(&self, route: &Route) -> Vec<u16> {
        let has_body = self.request.is_some();
        let mut all: Vec<u16> = match route.action {
            Action::Public(_) => vec![429, 500, 503],
            Action::Key { .. } => vec![400, 401, 403, 422, 429, 500, 503],
            Action::Session | Action::Admin(_) | Action::Diagnostics => vec![400, 401, 422, 429, 500, 503],
            Action::ClerkEvent => vec![400, 401, 413, 415, 422, 429, 500, 503],
        };
        if has_body {
            all.extend([413, 415]);
        }
        all.extend(self.errors);
        all.sort_unstable();
        all.dedup();
        all
    }
}

fn condition(name: &str) -> Value {
    let (description, example) = match name {
        "If-Match" => ("Do it only in one of these versions; otherwise 412.", "\"1\""),
        "If-None-Match" => ("Answer 304 when it is still in one of these versions.", "\"1\""),
        "Cache-Control" => (
            "`max-stale=N`, 1 to 3,600: an answer from nearby will do, if it is at most so many seconds old, and at most \
             `limits.edge_stale_s` of the organization.",
            "max-stale=5",
        ),
        "Last-Event-ID" => (
            "With `Accept: text/event-stream`: the `id` of the last event, in the place of `after`.",
            "Ap_4y6JLyMfkmAyyEGFkYQ",
        ),
        _ => (
            "The first answer to this key is kept for 24 hours and given again, with `Idempotency-Replayed`. \
             1 to 255 visible ASCII characters.",
            "8f14e45f-ceea-467f-a8b4-6f1a3a2b9c01",
        ),
    };
    let schema = if name == "Idempotency-Key" {
        json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" })
    } else {
        json!({ "type": "string" })
    };
    json!({ "name": name, "in": "header", "description": description, "schema": schema, "example": example })
}
