//! The words for each route, its parameters, bodies, answers and examples.

mod agents;
mod end_users;
mod examples;
mod operator;
mod principals;
mod public;
mod turns;

use serde_json::{Map, Value, json};

use super::components::{ULID, schema};
use super::{body_types, error_form, scope, security};
use crate::edge::http::method::Method;
use crate::edge::routes::{Action, ROUTES, Route};

/// One answer that is no error.
struct Answer {
    status: u16,
    description: &'static str,
    /// Media type, schema, example; nothing when there is no body.
    body: Option<(&'static str, Value, Value)>,
    headers: &'static [&'static str],
    links: Value,
}

pub struct Operation {
    method: Method,
    pattern: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    query: Vec<Value>,
    /// Request headers with a meaning of their own.
    conditions: &'static [&'static str],
    request: Option<(Value, Value)>,
    /// What a body of the other media type may be, where there is one.
    merge_patch: Option<(Value, Value)>,
    answers: Vec<Answer>,
    /// Statuses that depend on the resource, or on who answers a turn.
    errors: &'static [u16],
}

impl Operation {
    pub const fn id(&self) -> &'static str {
        self.id
    }

    pub fn is_of(&self, route: &Route) -> bool {
        self.method == route.method && self.pattern == route.pattern
    }

    fn new(method: Method, pattern: &'static str, id: &'static str, tag: &'static str, summary: &'static str) -> Self {
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

    fn says(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    fn query(self, query: Vec<Value>) -> Self {
        Self { query, ..self }
    }

    fn conditions(self, conditions: &'static [&'static str]) -> Self {
        Self { conditions, ..self }
    }

    fn request(self, schema: Value, example: Value) -> Self {
        Self { request: Some((schema, example)), ..self }
    }

    fn errors(self, errors: &'static [u16]) -> Self {
        Self { errors, ..self }
    }

    /// An answer with a JSON body.
    fn answers(
        mut self,
        status: u16,
        description: &'static str,
        name: &str,
        example: Value,
        headers: &'static [&'static str],
    ) -> Self {
        let body = Some(("application/json", schema(name), example));
        self.answers.push(Answer { status, description, body, headers, links: Value::Null });
        self
    }

    fn bare(mut self, status: u16, description: &'static str, headers: &'static [&'static str]) -> Self {
        self.answers.push(Answer { status, description, body: None, headers, links: Value::Null });
        self
    }

    /// What can be done with the last answer.
    fn links(mut self, links: Value) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.links = links;
        }
        self
    }

    pub fn document(&self, route: &Route) -> Value {
        let mut document = Map::new();
        let description = [self.description, scope(route).unwrap_or_default()].join(" ").trim().to_owned();
        document.insert("operationId".to_owned(), json!(self.id));
        document.insert("tags".to_owned(), json!([self.tag]));
        document.insert("summary".to_owned(), json!(self.summary));
        if !description.is_empty() {
            document.insert("description".to_owned(), json!(description));
        }
        document.insert("security".to_owned(), security(route));
        let conditions = self.conditions.iter().map(|name| condition(name));
        let parameters: Vec<Value> = self.query.iter().cloned().chain(conditions).collect();
        if !parameters.is_empty() {
            document.insert("parameters".to_owned(), Value::Array(parameters));
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
            document.insert("requestBody".to_owned(), json!({ "required": required, "content": content }));
        }
        document.insert("responses".to_owned(), Value::Object(self.responses(route)));
        Value::Object(document)
    }

    fn responses(&self, route: &Route) -> Map<String, Value> {
        let mut responses = Map::new();
        for answer in &self.answers {
            let mut names = vec!["X-Request-Id"];
            if !matches!(route.action, Action::Admin(_) | Action::ClerkEvent) {
                names.extend(RATE);
            }
            names.extend(answer.headers);
            let mut response = json!({ "description": answer.description, "headers": headers(&names) });
            if let (Some(response), Some((media_type, schema, example))) = (response.as_object_mut(), &answer.body) {
                let content = json!({ *media_type: { "schema": schema, "example": example } });
                response.insert("content".to_owned(), content);
            }
            if let (Some(response), false) = (response.as_object_mut(), answer.links.is_null()) {
                response.insert("links".to_owned(), answer.links.clone());
            }
            // Two forms of one status are two media types of one answer.
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

    /// Every status that a fault of this route can have.
    fn all_errors(&self, route: &Route) -> Vec<u16> {
        let has_body = self.request.is_some();
        let mut all: Vec<u16> = match route.action {
            Action::Public(_) => vec![429, 500, 503],
            Action::Key { .. } => vec![400, 401, 403, 422, 429, 500, 503],
            Action::Session | Action::Admin(_) => vec![400, 401, 422, 429, 500, 503],
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

const RATE: [&str; 5] =
    ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"];
const QUOTA: [&str; 5] = [
    "X-Quota-Turns-Used",
    "X-Quota-Turns-Limit",
    "X-Quota-Relationships-Used",
    "X-Quota-Relationships-Limit",
    "X-Quota-Reset",
];

fn headers(names: &[&str]) -> Map<String, Value> {
    let reference = |name: &&str| ((*name).to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    names.iter().map(reference).collect()
}

/// An error as the route's dialect writes it: one that many routes share.
fn error(route: &Route, status: u16, id: &str) -> Value {
    let is_key = matches!(route.action, Action::Key { .. });
    if id == "respond" && matches!(status, 403 | 429) {
        return written(error_form(route.dialect), is_key, status, id);
    }
    json!({ "$ref": format!("#/components/responses/{}", error_name(error_form(route.dialect).1, is_key, status)) })
}

/// What a key's holder is told of quotas makes some errors different.
fn error_name(schema: &str, is_key: bool, status: u16) -> String {
    let of_key = if is_key && matches!(status, 403 | 429) { "OfKey" } else { "" };
    format!("{schema}{of_key}{status}")
}

/// The errors that routes share, by name.
pub fn shared_errors() -> Map<String, Value> {
    let mut shared = Map::new();
    let operations = all();
    for route in ROUTES {
        let Some(operation) = operations.iter().find(|operation| operation.is_of(route)) else { continue };
        let is_key = matches!(route.action, Action::Key { .. });
        let form = error_form(route.dialect);
        for status in operation.all_errors(route) {
            shared.insert(error_name(form.1, is_key, status), written(form, is_key, status, ""));
        }
    }
    shared
}

fn written((media_type, name): (&str, &str), is_key: bool, status: u16, id: &str) -> Value {
    let mut names = vec!["X-Request-Id"];
    match status {
        401 => names.push("WWW-Authenticate"),
        403 if is_key => names.extend(QUOTA),
        429 => {
            names.push("Retry-After");
            names.extend(RATE);
            if is_key {
                names.extend(QUOTA);
            }
        }
        503 => names.push("Retry-After"),
        _ => {}
    }
    let (code, description) = fault(status, id);
    let example = match name {
        "Error" => json!({
            "error": {
                "code": code, "message": description, "type": kind(status), "request_id": ULID, "details": null,
                "documentation_url": format!("https://rollcall.example/errors#{code}"),
            },
        }),
        "PrincipalError" => json!({
            "success": false, "error": description, "suggestion": "Look at the documentation.", "request_id": ULID,
        }),
        _ => json!({
            "$schema": "/api/v1/schemas/Problem.json", "type": format!("urn:rollcall:problem:{code}"),
            "title": code, "status": status, "detail": description, "instance": format!("urn:ulid:{ULID}"), "errors": [],
        }),
    };
    json!({
        "description": description,
        "headers": headers(&names),
        "content": { media_type: { "schema": schema(name), "example": example } },
    })
}

fn fault(status: u16, id: &str) -> (&'static str, &'static str) {
    match status {
        400 => ("invalid_request", "The request is malformed: its URL, its JSON, or a cursor."),
        401 => {
            ("invalid_token", "The credential is missing, malformed, unknown, expired, revoked, or of another kind.")
        }
        403 if id == "respond" => {
            ("relationship_limit_reached", "The scope is too small, or the active relationships are used up.")
        }
        403 => ("permission_denied", "The key's scope is too small."),
        404 => ("not_found", "There is no such resource in this organization and mode."),
        409 => ("conflict", "It is being erased, being answered, or in the way of something else."),
        412 => ("precondition_failed", "It has another version than the one in `If-Match`."),
        413 => ("payload_too_large", "The body is too large."),
        415 => ("unsupported_media_type", "The body is of another media type than this path takes."),
        422 => ("validation_error", "Fields or parameters are wrong; all of them are named."),
        429 if id == "respond" => {
            ("quota_exhausted", "Too many requests, or the turns of this billing period are used up.")
        }
        429 => ("rate_limit_exceeded", "Too many requests; retry after `Retry-After`."),
        502 => ("upstream_error", "The service that makes the answers gave none. The turn is not counted."),
        503 => ("service_unavailable", "Something this needs is out of reach; retry after `Retry-After`."),
        504 => ("turn_timeout", "The answer was not there in time. The turn is not counted."),
        _ => ("internal_error", "Something went wrong on our side."),
    }
}

const fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication",
        403 => "permission",
        404 => "not_found",
        409 | 412 => "conflict",
        429 => "rate_limit",
        500.. => "internal",
        _ => "validation",
    }
}

fn condition(name: &str) -> Value {
    let (description, example) = match name {
        "If-Match" => ("Change it only in one of these versions; otherwise 412.", "\"1\""),
        "If-None-Match" => ("Answer 304 when it is still in one of these versions.", "\"1\""),
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

pub fn all() -> Vec<Operation> {
    [end_users::all(), turns::all(), agents::all(), principals::all(), operator::all(), public::all()]
        .into_iter()
        .flatten()
        .collect()
}

/// Headers of what was made, and of what was there.
const CREATED: &[&str] = &["Location", "ETag", "Idempotency-Replayed"];
const FOUND: &[&str] = &["ETag", "Idempotency-Replayed"];
