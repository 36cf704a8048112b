//! The words for each route, its parameters, bodies, answers and examples.

use serde_json::{Map, Value, json};

use super::components::{ULID, UUID, schema};
use super::{body_types, error_form, scope, security};
use crate::directory::timestamp::Timestamp;
use crate::edge::routes::Method::{self, Delete, Get, Patch, Post};
use crate::edge::routes::{Action, ROUTES, Route};

const THEN: &str = "2026-11-21T22:41:26.283Z";

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

fn parameter(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn limit(name: &str, max: u32, default: u32) -> Value {
    parameter(name, "Items on a page.", json!({ "type": "integer", "minimum": 1, "maximum": max, "default": default }))
}

fn cursor() -> Value {
    parameter("cursor", "Where the page before ended: its `next_cursor`.", json!({ "type": "string", "minLength": 1 }))
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn id() -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$" })
}

fn or_null(mut schema: Value) -> Value {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.clone(), "null"]);
    }
    schema
}

fn metadata() -> Value {
    json!({ "type": "object", "description": "At most 16 KiB, at most 8 levels deep.", "additionalProperties": true })
}

fn new_end_user() -> Value {
    object(&["user_id"], json!({ "user_id": id(), "display_name": or_null(id()), "metadata": metadata() }))
}

fn end_user() -> Value {
    json!({
        "user_id": "ada", "display_name": "Ada", "metadata": { "plan": "pro" }, "status": "active", "version": 1,
        "created_at": THEN, "updated_at": THEN, "last_interaction_at": null,
    })
}

fn deletion(cascades: &[&str]) -> (Value, Value) {
    let reason = json!({ "type": ["string", "null"], "maxLength": 500 });
    let properties = json!({ "cascade": { "enum": cascades, "default": "all" }, "reason": reason });
    (object(&[], properties), json!({ "reason": "asked for" }))
}

fn accepted() -> Value {
    json!({ "deletion_id": ULID, "status": "deletion_pending" })
}

fn agent() -> Value {
    json!({
        "agent_id": UUID, "name": "Tutor", "external_id": null, "metadata": {}, "created_at": THEN, "updated_at": THEN,
    })
}

fn described(schema: &str, value: Value) -> Value {
    let mut value = value;
    if let Some(members) = value.as_object_mut() {
        members.insert("$schema".to_owned(), json!(format!("/api/v1/schemas/{schema}.json")));
    }
    value
}

fn mood() -> Value {
    json!({
        "agent_id": UUID, "user_id": "ada", "valence": 0.3, "arousal": -0.1, "tension": 0.0, "affiliation": 0.5,
        "baseline_valence": 0.0, "baseline_arousal": 0.0, "baseline_tension": 0.0, "baseline_affiliation": 0.0,
        "label": "happy", "created_at": THEN, "updated_at": THEN, "last_decay_at": THEN, "last_interaction_at": THEN,
    })
}

fn relationship() -> Value {
    json!({
        "id": ULID, "user_id": "ada", "personality_id": UUID, "role": "user", "turns": 1, "mood": mood(),
        "created_at": THEN, "last_interaction_at": THEN,
    })
}

fn page(item: Value) -> Value {
    json!({ "data": [item], "has_more": false, "next_cursor": null })
}

fn principal(created: bool) -> Value {
    json!({
        "created": created, "id": UUID, "external_id": "ada", "type": "human", "name": "Ada", "created_at": THEN,
        "updated_at": THEN, "metadata": {}, "is_temporary": false, "owner_principal_id": null,
        "onboarding_session_id": null,
    })
}

fn enveloped(result: Value, message: &str, meta: Value) -> Value {
    json!({ "result": result, "success": true, "message": message, "suggestion": null, "meta": meta })
}

fn receipt() -> Value {
    json!({
        "deletion_id": ULID, "status": "completed", "cascade": "all", "requested_at": THEN, "completed_at": THEN,
        "reason": "asked for", "erased": { "records": 1, "relationships": 2, "moods": 2 },
    })
}

/// To what is made or found by an id in the body.
fn user_links() -> Value {
    let parameters = json!({ "user_id": "$response.body#/user_id" });
    json!({
        "read": { "operationId": "getEndUser", "parameters": parameters },
        "change": { "operationId": "updateEndUser", "parameters": parameters },
        "export": { "operationId": "exportEndUser", "parameters": parameters },
        "erase": { "operationId": "deleteEndUser", "parameters": parameters },
    })
}

fn deletion_links() -> Value {
    json!({ "receipt": { "operationId": "getDeletion", "parameters": { "deletion_id": "$response.body#/deletion_id" } } })
}

fn agent_links() -> Value {
    let parameters = json!({ "agent_id": "$response.body#/agent_id" });
    json!({
        "read": { "operationId": "getAgent", "parameters": parameters },
        "change": { "operationId": "updateAgent", "parameters": parameters },
        "users": { "operationId": "listAgentUsers", "parameters": parameters },
        "delete": { "operationId": "deleteAgent", "parameters": parameters },
    })
}

fn principal_links() -> Value {
    let parameters = json!({ "principal_id": "$response.body#/result/id" });
    json!({
        "read": { "operationId": "getPrincipal", "parameters": parameters },
        "change": { "operationId": "updatePrincipal", "parameters": parameters },
        "erase": { "operationId": "deletePrincipal", "parameters": parameters },
    })
}

pub fn all() -> Vec<Operation> {
    [end_users(), turns(), agents(), principals(), operator(), keys_and_reports(), public()]
        .into_iter()
        .flatten()
        .collect()
}

const CREATED: &[&str] = &["Location", "ETag", "Idempotency-Replayed"];
const FOUND: &[&str] = &["ETag", "Idempotency-Replayed"];

fn end_users() -> Vec<Operation> {
    let tag = "End users";
    let users = "/v1/end-users";
    let user = "/v1/end-users/{user_id}";
    let instant = || json!({ "type": "string", "format": "date-time" });
    let (deletion_schema, deletion_example) = deletion(&["all", "model_only", "memory_only"]);
    let with_relationships = {
        let mut record = end_user();
        if let Some(record) = record.as_object_mut() {
            record.insert("relationships".to_owned(), json!([relationship()]));
            record.insert("relationships_has_more".to_owned(), json!(false));
        }
        record
    };
    vec![
        Operation::new(Post, users, "createEndUser", tag, "Register an end user")
            .says("Idempotent by `user_id`: among any number of racing requests exactly one answers 201.")
            .conditions(&["Idempotency-Key"])
            .request(new_end_user(), json!({ "user_id": "ada", "metadata": { "plan": "pro" } }))
            .answers(201, "Made by this request.", "EndUser", end_user(), CREATED)
            .links(user_links())
            .answers(200, "Already there: the stored record, whatever was supplied.", "EndUser", end_user(), FOUND)
            .links(user_links())
            .errors(&[409]),
        Operation::new(Post, "/v1/end-users/batch", "createEndUsers", tag, "Register up to 500 end users")
            .says(
                "As many creations in one commit, each judged by itself: a row that is wrong is refused in its place, with \
                 422 as its `status`, and spoils no other. A token for ten rows. At most 1 MiB.",
            )
            .conditions(&["Idempotency-Key"])
            .request(
                object(
                    &["users"],
                    json!({ "users": { "type": "array", "minItems": 1, "maxItems": 500, "items": new_end_user() } }),
                ),
                json!({ "users": [{ "user_id": "ada" }, { "user_id": "eve" }] }),
            )
            .answers(
                200,
                "What became of each, in the order given.",
                "BatchResult",
                json!({
                    "results": [{ "user_id": "ada", "status": 201 }, { "user_id": "eve", "status": 200 }],
                    "created": 1, "existing": 1, "failed": 0,
                }),
                &["Idempotency-Replayed"],
            ),
        Operation::new(Get, users, "listEndUsers", tag, "List end users")
            .says("Keyset pages, in byte order of `user_id` or in order of creation, with everything written before.")
            .query(vec![
                limit("limit", 200, 50),
                cursor(),
                parameter("order", "The direction.", json!({ "enum": ["asc", "desc"], "default": "asc" })),
                parameter("order_by", "The order.", json!({ "enum": ["user_id", "created_at"], "default": "user_id" })),
                parameter("user_id_prefix", "How ids begin; with `order_by=user_id`.", id()),
                parameter("created_after", "Exclusive; with `order_by=created_at`.", instant()),
                parameter("created_before", "Exclusive; with `order_by=created_at`.", instant()),
            ])
            .answers(200, "A page.", "EndUserPage", page(end_user()), &[]),
        Operation::new(Get, user, "getEndUser", tag, "Read an end user")
            .says("Strongly consistent, with at most 100 relationships, the newest interaction first.")
            .conditions(&["If-None-Match"])
            .answers(200, "The record.", "EndUserWithRelationships", with_relationships, &["ETag"])
            .bare(304, "Still in the version that was named.", &["ETag"])
            .errors(&[404]),
        update_end_user(tag, user),
        Operation::new(Delete, user, "deleteEndUser", tag, "Erase an end user")
            .says(
                "With `cascade: all` gone from lists at once and purged from every store soon after; then the id is free \
                 again. `model_only` erases the moods, `memory_only` the relationships, and the user stays.",
            )
            .request(deletion_schema, deletion_example)
            .answers(202, "The receipt's id; the same again while the erasure lasts.", "DeletionAccepted", accepted(), &[])
            .links(deletion_links())
            .errors(&[404]),
        Operation::new(Get, "/v1/end-users/{user_id}/export", "exportEndUser", tag, "Export everything held about a user")
            .answers(
                200,
                "One document.",
                "Export",
                json!({
                    "exported_at": THEN, "end_user": end_user(), "kept_answers": [], "relationships": [relationship()],
                    "owned_agents": [], "deletions": [],
                }),
                &[],
            )
            .errors(&[404]),
        Operation::new(Get, "/v1/deletions/{deletion_id}", "getDeletion", tag, "Read the receipt of an erasure")
            .says("It outlives what was erased, and names nobody.")
            .answers(200, "The receipt.", "Receipt", receipt(), &[])
            .errors(&[404]),
    ]
}

fn update_end_user(tag: &'static str, user: &'static str) -> Operation {
    let change = object(&[], json!({ "display_name": or_null(id()), "metadata": metadata() }));
    let update = Operation::new(Patch, user, "updateEndUser", tag, "Change an end user")
        .says(
            "`application/json` replaces what it names, `application/merge-patch+json` is applied to the record \
             (RFC 7396). No body is no change.",
        )
        .conditions(&["If-Match"])
        .request(change, json!({ "metadata": { "plan": "free" } }))
        .answers(200, "The record as it is now.", "EndUser", end_user(), &["ETag"])
        .errors(&[404, 409, 412]);
    let patch = object(
        &[],
        json!({
            "display_name": or_null(id()),
            "metadata": {
                "type": ["object", "null"], "additionalProperties": true,
                "description": "Members that are `null` are removed, at any depth; `null` itself removes all.",
            },
        }),
    );
    let example = json!({ "metadata": { "plan": "free", "trial_ends": null } });
    Operation { merge_patch: Some((patch, example)), ..update }
}

fn turns() -> Vec<Operation> {
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
    let (deletion_schema, deletion_example) = deletion(&["all", "memory_only"]);
    let first = json!({ "relationship_id": "$response.body#/data/0/id" });
    let mut respond = Operation::new(Post, "/v1/respond", "respond", tag, "Take a metered turn with an agent")
        .says(
            "Reserved before the responder is asked, counted with its answer, given back when there is none. With a \
             `user_id` the user and the relationship are made if they are not there, and the mood moves.",
        )
        .conditions(&["Idempotency-Key"])
        .request(request, json!({ "message": "How are you?", "personality_id": "Tutor", "user_id": "ada" }))
        .answers(200, "The answer; with `stream: true` as server-sent events.", "Turn", answer, RESPONDED)
        .errors(&[404, 409, 502, 504]);
    respond.answers.push(Answer {
        status: 200,
        description: "",
        body: Some((
            "text/event-stream",
            schema("TurnEvent"),
            json!({ "event": "text", "data": "{\"type\":\"text\",\"delta\":\"Echo: \"}" }),
        )),
        headers: &[],
        links: Value::Null,
    });
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
            .answers(200, "The relationship.", "Relationship", relationship(), &[])
            .errors(&[404]),
        Operation::new(Delete, relationship_path, "deleteRelationship", tag, "Erase a relationship")
            .says("With `memory_only` what it remembers of turns.")
            .request(deletion_schema, deletion_example)
            .answers(202, "The receipt's id.", "DeletionAccepted", accepted(), &[])
            .links(deletion_links())
            .errors(&[404]),
        Operation::new(Get, "/v1/usage/turns", "getTurnUsage", tag, "Read the turns used").answers(
            200,
            "Of this billing period.",
            "Usage",
            usage.clone(),
            &[],
        ),
        Operation::new(
            Get,
            "/v1/usage/active-relationships",
            "getActiveRelationshipUsage",
            tag,
            "Read the active relationships",
        )
        .answers(200, "Of this billing period.", "Usage", usage, &[]),
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

/// What old clients send along with lists of dialect 2.
fn page_size() -> Vec<Value> {
    let ignored = |name: &str| {
        let mut ignored = parameter(name, "Taken from old clients, and ignored.", json!({ "type": "string" }));
        if let Some(ignored) = ignored.as_object_mut() {
            ignored.insert("deprecated".to_owned(), json!(true));
        }
        ignored
    };
    let mut old = limit("limit", 500, 100);
    if let Some(old) = old.as_object_mut() {
        old.insert("deprecated".to_owned(), json!(true));
    }
    vec![limit("page_size", 500, 100), cursor(), old, ignored("offset"), ignored("sort_by"), ignored("sort_order")]
}

fn agents() -> Vec<Operation> {
    let (tag, all, one) = ("Agents", "/api/v1/agents", "/api/v1/agents/{agent_id}");
    let described_agent = || described("Agent", agent());
    let (deletion_schema, deletion_example) = deletion(&["all"]);
    let users = json!({
        "users": [{
            "user_id": "ada", "role": "user", "created_at": THEN, "display_name": "Ada", "last_interaction_at": THEN,
            "metadata": { "email": "ada@example.com", "custom": { "plan": "pro" } }, "mood": mood(),
        }],
        "has_more": false,
    });
    let organization = json!({
        "id": "org_1", "name": "Acme", "slug": "acme", "role": "org:admin", "member_count": 3, "created_at": THEN,
    });
    let me = json!({ "user_id": "user_1", "email": "ada@example.com", "orgs": [organization] });
    vec![
        Operation::new(Post, all, "saveAgent", tag, "Make or change an agent")
            .says("By `external_id` when one is given, else by `name`.")
            .conditions(&["Idempotency-Key"])
            .request(
                object(&["name"], json!({ "name": id(), "external_id": or_null(id()), "metadata": metadata() })),
                json!({ "name": "Tutor" }),
            )
            .answers(201, "Made by this request.", "DescribedAgent", described_agent(), AGENT_CREATED)
            .links(agent_links())
            .answers(200, "The one that is there, changed.", "DescribedAgent", described_agent(), AGENT_FOUND)
            .links(agent_links())
            .errors(&[409]),
        Operation::new(Get, all, "listAgents", tag, "List agents")
            .says("In the order of their making.")
            .query(page_size())
            .answers(
                200,
                "A page.",
                "AgentList",
                described("AgentList", json!({ "items": [agent()], "has_more": false })),
                &["Link"],
            ),
        Operation::new(Get, one, "getAgent", tag, "Read an agent")
            .conditions(&["If-None-Match"])
            .answers(200, "The agent.", "DescribedAgent", described_agent(), &["ETag", "Link"])
            .bare(304, "Still in the version that was named.", &["ETag"])
            .errors(&[404, 409]),
        Operation::new(Get, "/api/v1/agents/{agent_id}/users", "listAgentUsers", tag, "List an agent's users")
            .says("In byte order of `user_id`, by keyset: what a page costs does not depend on its depth.")
            .query(page_size())
            .answers(200, "A page.", "AgentUserList", described("AgentUserList", users), &["Link"])
            .errors(&[404, 409]),
        Operation::new(Delete, one, "deleteAgent", tag, "Delete an agent")
            .says("Gone at once, its relationships soon after.")
            .request(deletion_schema, deletion_example)
            .answers(202, "The receipt's id.", "DescribedDeletion", described("Deletion", accepted()), &["Link"])
            .links(deletion_links())
            .errors(&[404, 409]),
        Operation::new(Patch, one, "updateAgent", tag, "Change an agent")
            .says("Changes what is named and leaves the rest.")
            .conditions(&["If-Match"])
            .request(object(&[], json!({ "name": id(), "metadata": metadata() })), json!({ "name": "Tutor" }))
            .answers(200, "The agent as it is now.", "DescribedAgent", described_agent(), &["ETag", "Link"])
            .errors(&[404, 409, 412]),
        Operation::new(Get, "/api/v1/me", "getMe", "Session", "Read who is signed in")
            .says("`orgs` is every organization the person belongs to, as mirrored from Clerk.")
            .answers(200, "The person.", "Me", described("Me", me), &["Link"]),
    ]
}

const AGENT_CREATED: &[&str] = &["Location", "ETag", "Link", "Idempotency-Replayed"];
const AGENT_FOUND: &[&str] = &["ETag", "Link", "Idempotency-Replayed"];

fn principals() -> Vec<Operation> {
    let (tag, all, one) = ("Principals", "/api/v1/principals", "/api/v1/principals/{principal_id}");
    let found = || enveloped(principal(false), "OK.", Value::Null);
    let cursor = |name, description| parameter(name, description, json!({ "type": "string", "minLength": 1 }));
    let mut offset = parameter(
        "offset",
        "So many are left out; instead of a cursor.",
        json!({ "type": "integer", "minimum": 0, "maximum": 10_000 }),
    );
    if let Some(offset) = offset.as_object_mut() {
        offset.insert("deprecated".to_owned(), json!(true));
    }
    let meta =
        json!({ "has_more": false, "after": null, "before": null, "total": null, "offset": null, "limit": null });
    let (deletion_schema, deletion_example) = deletion(&["all"]);
    vec![
        Operation::new(Post, all, "createPrincipal", tag, "Register a principal")
            .says("A human is the end user whose `user_id` is the `external_id`; an agent is the agent.")
            .conditions(&["Idempotency-Key"])
            .request(
                object(
                    &["external_id", "type", "name"],
                    json!({ "external_id": id(), "type": { "enum": ["human", "agent"] }, "name": id(), "metadata": metadata() }),
                ),
                json!({ "external_id": "ada", "type": "human", "name": "Ada" }),
            )
            .answers(
                201,
                "Made by this request.",
                "PrincipalAnswer",
                enveloped(principal(true), "Principal created.", Value::Null),
                CREATED,
            )
            .links(principal_links())
            .answers(200, "Already there; nothing is overwritten.", "PrincipalAnswer", found(), FOUND)
            .links(principal_links())
            .errors(&[409]),
        Operation::new(Get, all, "listPrincipals", tag, "List principals")
            .says("In the order of their making. Only one of `after`, `before` and `offset`.")
            .query(vec![
                parameter("type", "Only of this type.", json!({ "enum": ["human", "agent"] })),
                limit("limit", 200, 50),
                cursor("after", "The page after a page's `meta.after`."),
                cursor("before", "The page before a page's `meta.before`."),
                offset,
            ])
            .answers(200, "A page.", "PrincipalPage", enveloped(json!([principal(false)]), "OK.", meta), &[]),
        Operation::new(Get, one, "getPrincipal", tag, "Read a principal")
            .conditions(&["If-None-Match"])
            .answers(200, "The principal.", "PrincipalAnswer", found(), &["ETag"])
            .bare(304, "Still in the version that was named.", &["ETag"])
            .errors(&[404]),
        Operation::new(
            Get,
            "/api/v1/principals/by-external-id/{external_id}",
            "getPrincipalByExternalId",
            tag,
            "Read a principal by your own id",
        )
        .conditions(&["If-None-Match"])
        .answers(200, "The principal.", "PrincipalAnswer", found(), &["ETag"])
        .bare(304, "Still in the version that was named.", &["ETag"])
        .errors(&[404]),
        Operation::new(Patch, one, "updatePrincipal", tag, "Change a principal")
            .says("Changes what is named and leaves the rest. Only an agent has an owner, who is a human.")
            .conditions(&["If-Match"])
            .request(
                object(
                    &[],
                    json!({
                        "name": id(), "metadata": metadata(),
                        "owner_principal_id": { "type": ["string", "null"], "format": "uuid" },
                    }),
                ),
                json!({ "name": "Ada L." }),
            )
            .answers(200, "The principal as it is now.", "PrincipalAnswer", found(), &["ETag"])
            .errors(&[404, 409, 412]),
        Operation::new(Delete, one, "deletePrincipal", tag, "Erase a principal")
            .says("As the end user or the agent that it is.")
            .request(deletion_schema, deletion_example)
            .answers(
                202,
                "The receipt's id.",
                "PrincipalDeletion",
                enveloped(accepted(), "The principal is being erased.", Value::Null),
                &[],
            )
            .errors(&[404]),
    ]
}

fn organization() -> Value {
    json!({
        "id": ULID, "name": "Acme", "slug": "acme", "clerk_org_id": null,
        "limits": { "requests_per_second": 50, "burst": 100, "turns_per_period": 10_000, "active_relationships": 1_000 },
        "version": 1, "created_at": THEN, "updated_at": THEN,
    })
}

fn key(secret: bool) -> Value {
    let mut key = json!({
        "id": ULID, "kind": "api", "mode": "live", "scope": "read_write", "prefix": "sk", "name": "Backend",
        "created_at": THEN, "expires_at": null, "revoked_at": null, "last_used_on": null,
    });
    if let (Some(key), true) = (key.as_object_mut(), secret) {
        key.insert("key".to_owned(), json!("sk_live_…"));
    }
    key
}

fn operator() -> Vec<Operation> {
    let (deletion_schema, deletion_example) = deletion(&["all"]);
    let (tag, all, one) = ("Operator", "/admin/v1/organizations", "/admin/v1/organizations/{organization_id}");
    let whole = |min: u64, max: u64| json!({ "type": "integer", "minimum": min, "maximum": max });
    let fields = || {
        json!({
            "name": id(),
            "slug": { "type": "string", "minLength": 2, "maxLength": 64, "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$" },
            "clerk_org_id": or_null(id()),
            "limits": object(&[], json!({
                "requests_per_second": whole(1, 1_000_000), "burst": whole(1, 10_000_000),
                "turns_per_period": whole(0, 1_000_000_000_000), "active_relationships": whole(0, 1_000_000_000_000),
            })),
        })
    };
    let parameters = json!({ "organization_id": "$response.body#/id" });
    let links = json!({
        "read": { "operationId": "getOrganization", "parameters": parameters },
        "change": { "operationId": "updateOrganization", "parameters": parameters },
        "issue": { "operationId": "issueKey", "parameters": parameters },
        "keys": { "operationId": "listKeys", "parameters": parameters },
        "usage": { "operationId": "getOrganizationUsage", "parameters": parameters },
        "repair": { "operationId": "repairOrganization", "parameters": parameters },
        "delete": { "operationId": "deleteOrganization", "parameters": parameters },
    });
    let receipt = json!({
        "operationId": "getOrganizationDeletion", "parameters": { "deletion_id": "$response.body#/deletion_id" },
    });
    vec![
        Operation::new(Post, all, "createOrganization", tag, "Make an organization")
            .request(object(&["name"], fields()), json!({ "name": "Acme" }))
            .answers(201, "Made.", "Organization", organization(), &["Location", "ETag"])
            .links(links)
            .errors(&[409]),
        Operation::new(Get, all, "listOrganizations", tag, "List organizations")
            .says("In the order of their making.")
            .query(vec![limit("limit", 200, 50), cursor()])
            .answers(200, "A page.", "OrganizationPage", page(organization()), &[]),
        Operation::new(Get, one, "getOrganization", tag, "Read an organization")
            .conditions(&["If-None-Match"])
            .answers(200, "The organization.", "Organization", organization(), &["ETag"])
            .bare(304, "Still in the version that was named.", &["ETag"])
            .errors(&[404]),
        Operation::new(Patch, one, "updateOrganization", tag, "Change an organization")
            .says("Changes what is named and leaves the rest. The same limits hold for each mode, counted apart.")
            .conditions(&["If-Match"])
            .request(object(&[], fields()), json!({ "limits": { "requests_per_second": 100 } }))
            .answers(200, "The organization as it is now.", "Organization", organization(), &["ETag"])
            .errors(&[404, 409, 412]),
        Operation::new(
            Delete,
            "/admin/v1/organizations/{organization_id}",
            "deleteOrganization",
            tag,
            "Delete an organization",
        )
        .says("Gone at once with its keys, and all its data from every store soon after. Its slug is free again.")
        .request(deletion_schema, deletion_example)
        .answers(
            202,
            "The receipt's id; the same again whenever asked.",
            "OrganizationDeletionAccepted",
            accepted(),
            &["Location"],
        )
        .links(json!({ "receipt": receipt }))
        .errors(&[404]),
        Operation::new(
            Get,
            "/admin/v1/deletions/{deletion_id}",
            "getOrganizationDeletion",
            tag,
            "Read the receipt of a deletion",
        )
        .answers(
            200,
            "The receipt.",
            "OrganizationReceipt",
            json!({
                "deletion_id": ULID, "organization_id": ULID, "status": "completed", "requested_at": THEN,
                "completed_at": THEN, "reason": null, "erased": { "records": 3, "relationships": 2, "moods": 2 },
            }),
            &[],
        )
        .errors(&[404]),
    ]
}

fn keys_and_reports() -> Vec<Operation> {
    let tag = "Operator";
    let (keys, repair) =
        ("/admin/v1/organizations/{organization_id}/keys", "/admin/v1/organizations/{organization_id}/repair");
    let of_organization = json!({ "organization_id": "$request.path.organization_id" });
    let read = json!({ "operationId": "getRepair", "parameters": of_organization });
    let of_key = json!({ "organization_id": "$request.path.organization_id", "key_id": "$response.body#/id" });
    let differences = json!({ "missing": 0, "outdated": 0, "foreign": 0 });
    let report = json!({
        "organization_id": ULID, "status": "completed",
        "modes": [{
            "mode": "live", "status": "completed", "phase": null, "started_at": THEN, "completed_at": THEN,
            "users_compared": 1200, "listing_fence_reset": false, "listing": differences, "cache": differences,
        }],
    });
    let share = json!({ "used": 17, "limit": 10_000 });
    let usage = json!({
        "organization_id": ULID,
        "modes": [{
            "mode": "live", "turns": share, "active_relationships": share, "period_start": THEN,
            "resets_at": "2026-12-21T22:41:26.283Z",
        }],
    });
    vec![
        Operation::new(Post, keys, "issueKey", tag, "Issue a key")
            .says("The key itself is in this one answer only.")
            .request(
                object(
                    &["kind", "mode", "name"],
                    json!({
                        "kind": { "enum": ["api", "service"] }, "mode": { "enum": ["live", "test"] },
                        "scope": { "enum": ["read", "read_write"], "default": "read_write" },
                        "prefix": { "type": "string", "pattern": "^[a-z]{2,12}$", "default": "sk" },
                        "name": id(), "expires_at": { "type": ["string", "null"], "format": "date-time" },
                    }),
                ),
                json!({ "kind": "api", "mode": "live", "name": "Backend" }),
            )
            .answers(201, "The key.", "Key", key(true), &["Location"])
            .links(json!({ "revoke": { "operationId": "revokeKey", "parameters": of_key } }))
            .errors(&[404]),
        Operation::new(Get, keys, "listKeys", tag, "List keys")
            .says("Of both modes, in the order of their issue, revoked ones too.")
            .query(vec![limit("limit", 200, 50), cursor()])
            .answers(200, "A page.", "KeyPage", page(key(false)), &[])
            .errors(&[404]),
        Operation::new(
            Delete,
            "/admin/v1/organizations/{organization_id}/keys/{key_id}",
            "revokeKey",
            tag,
            "Revoke a key",
        )
        .says("From the next request on.")
        .bare(204, "Revoked, now or before.", &[])
        .errors(&[404]),
        Operation::new(
            Get,
            "/admin/v1/organizations/{organization_id}/usage",
            "getOrganizationUsage",
            tag,
            "Read usage",
        )
        .answers(200, "Of each mode.", "OrganizationUsage", usage, &[])
        .errors(&[404]),
        Operation::new(Post, repair, "repairOrganization", tag, "Compare the projections and mend them")
            .request(object(&[], json!({})), json!({}))
            .answers(200, "Done: what differed.", "Repair", report.clone(), &[])
            .links(json!({ "read": read }))
            .answers(202, "It goes on by itself: how far it is.", "Repair", report.clone(), &[])
            .links(json!({ "read": read }))
            .errors(&[404]),
        Operation::new(Get, repair, "getRepair", tag, "Read the last comparison")
            .answers(200, "What it found.", "Repair", report, &[])
            .errors(&[404]),
    ]
}

/// Events of the types that are mirrored, with what is read of them; of the others nothing is.
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

fn public() -> Vec<Operation> {
    let check = json!({ "ok": true, "latency_ms": 3 });
    let readiness = |status: &str| json!({ "status": status, "checks": { "configuration": check, "objects": check, "kv": check, "d1": check } });
    vec![
        Operation::new(Get, "/health", "getHealth", "Public", "The Worker answers").answers(
            200,
            "It does.",
            "Health",
            json!({ "status": "ok", "version": "0.1.0" }),
            &[],
        ),
        Operation::new(Get, "/ready", "getReadiness", "Public", "Every binding is reached")
            .answers(200, "All are, each with its latency.", "Readiness", readiness("ready"), &[])
            .answers(503, "One is not.", "Readiness", readiness("not_ready"), &[]),
        Operation::new(Get, "/demo.json", "getDemo", "Public", "What the demo page is told")
            .says(
                "The key only on a developer's own machine, where `cargo dev` serves; anywhere else it is `null`. In \
                 `mood_half_life_ms` a mood loses half its distance to its baseline.",
            )
            .answers(
                200,
                "The key and the half-life.",
                "Demo",
                json!({ "api_key": null, "mood_half_life_ms": 86_400_000 }),
                &[],
            ),
        Operation::new(Post, "/webhooks/clerk", "receiveClerkEvent", "Public", "Take an event of Clerk's")
            .says("Signed by Svix. At most 256 KiB. Only what is named here is read of it.")
            .request(
                clerk_event(),
                json!({ "object": "event", "type": "user.deleted", "data": { "id": "user_1", "deleted": true } }),
            )
            .bare(204, "In the mirror, or of no interest.", &[]),
    ]
}
