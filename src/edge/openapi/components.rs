//! What operations share: schemas of the types that are sent, headers, errors, credentials.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{operations, types};
use crate::directory::agent::Agent;
use crate::directory::deletion::Receipt;
use crate::directory::end_user::EndUser;
use crate::directory::mood::MoodBody;
use crate::directory::organization::Organization;
use crate::directory::principal::Principal;
use crate::edge::endpoints::admin::{keys, repair};
use crate::edge::endpoints::agents::agent_users;
use crate::edge::endpoints::principals;
use crate::edge::endpoints::public::probes;
use crate::edge::endpoints::v1::{emotional_state, end_users_batch, usage};
use crate::edge::endpoints::{admin, deletion_request};
use crate::edge::http::schema::Schema;
use crate::organization::export::Export;
use crate::organization::relationships::RelationshipView;
use crate::organization::turns::TurnView;

/// What examples are made with.
pub const ULID: &str = "01M804B1R606XA6TPRTA9S55AC";
pub const UUID: &str = "019a9d3c-5b70-7c4e-8f21-3d5e6a7b8c9d";

fn ulid() -> Value {
    json!({ "type": "string", "pattern": types::ULID_PATTERN })
}

/// A reference to a schema.
pub fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

pub fn all() -> Value {
    json!({
        "schemas": schemas(),
        "headers": headers(),
        "responses": operations::shared_errors(),
        "securitySchemes": {
            "apiKey": {
                "type": "http", "scheme": "bearer", "bearerFormat": "sk_live_…",
                "description": "An API key of an organization. Its mode, `live` or `test`, decides which data it sees.",
            },
            "serviceKey": {
                "type": "apiKey", "in": "header", "name": "X-Assistant-Service-Key",
                "description": "A service key of an organization. Never for browsers.",
            },
            "sessionToken": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "A session token of Clerk's, RS256.",
            },
            "adminToken": {
                "type": "http", "scheme": "bearer", "bearerFormat": "token",
                "description": "The operator's token, `ADMIN_TOKEN`. Never for browsers.",
            },
            "svixSignature": {
                "type": "apiKey", "in": "header", "name": "svix-signature",
                "description": "A signature by Svix, with `svix-id` and `svix-timestamp`.",
            },
        },
    })
}

/// Schemas of everything that is sent, derived from the types that write it; then what is put
/// together as text.
fn schemas() -> Map<String, Value> {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    macro_rules! of {
        ($($type:ty),+ $(,)?) => {{ $(generator.subschema_for::<$type>();)+ }};
    }
    of!(
        EndUser,
        Agent,
        Principal,
        Receipt,
        Organization,
        MoodBody<'_>,
        Export,
        RelationshipView<'_>,
        TurnView<'_>,
        emotional_state::EmotionalState,
        end_users_batch::Answer,
        deletion_request::Accepted,
        usage::UsageView,
        admin::usage::OrganizationUsage,
        keys::KeyView<'_>,
        repair::RepairView,
        principals::Meta,
        probes::Readiness,
        agent_users::UserEntry<'_>,
    );
    let mut schemas = generator.take_definitions(true);
    for schema in schemas.values_mut() {
        closed(schema);
    }
    patch(&mut schemas);
    let put_together = put_together(&schemas);
    schemas.extend(put_together);
    // What is sent has `created` too.
    schemas.remove("Principal");
    schemas.extend(errors());
    schemas
}

/// Objects have the members that are named and no other: what is sent is known.
fn closed(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
            members.values_mut().for_each(closed);
        }
        Value::Array(items) => items.iter_mut().for_each(closed),
        _ => {}
    }
}

/// What a type carries as JSON text, and only its writer knows the form of.
fn patch(schemas: &mut Map<String, Value>) {
    let mut set = |name: &str, property: &str, value: Value| {
        let properties = schemas.get_mut(name).and_then(|schema| schema.get_mut("properties"));
        if let Some(slot) = properties.and_then(|properties| properties.get_mut(property)) {
            *slot = value;
        }
    };
    let relationships = json!({ "type": "array", "items": schema("Relationship") });
    set("Turn", "inferred_emotional_state", or_null(schema("EmotionalState")));
    set("Export", "end_user", schema("EndUser"));
    set("Export", "relationships", relationships);
    set("Principal", "onboarding_session_id", json!({ "type": "null" }));
    let custom = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    set("Contact", "custom", custom);
    set("Mood", "agent_id", json!({ "type": "string", "format": "uuid" }));
    // What is left out when there is none is never null.
    for (name, optional) in [("UserEntry", None), ("Contact", None), ("BatchRow", Some("error"))] {
        let properties = schemas.get_mut(name).and_then(|schema| schema.get_mut("properties"));
        let properties = properties.and_then(Value::as_object_mut).into_iter().flatten();
        let left_out = properties.filter(|(property, _)| optional.is_none_or(|optional| optional == *property));
        left_out.for_each(|(_, property)| never_null(property));
    }
    // The contract requires no more of an entry than this.
    let contact = schemas.remove("Contact");
    if let (Some(entry), Some(contact)) = (schemas.get_mut("UserEntry").and_then(Value::as_object_mut), contact) {
        entry.insert("required".to_owned(), json!(["role", "user_id"]));
        if let Some(metadata) = entry.get_mut("properties").and_then(|properties| properties.get_mut("metadata")) {
            *metadata = contact;
        }
    }
}

fn never_null(schema: &mut Value) {
    if let Some(kinds) = schema.get_mut("type").filter(|kinds| kinds.is_array()) {
        let kind = kinds.as_array().into_iter().flatten().find(|kind| *kind != "null").cloned();
        *kinds = kind.unwrap_or_default();
    }
    let choices = schema.get("anyOf").and_then(Value::as_array);
    if let Some(choice) = choices.into_iter().flatten().find(|choice| choice["type"] != "null").cloned() {
        *schema = choice;
    }
}

/// An object with all of these members.
fn object(members: &Value) -> Value {
    let names: Vec<&String> = members.as_object().into_iter().flat_map(Map::keys).collect();
    json!({ "type": "object", "additionalProperties": false, "required": names, "properties": members })
}

/// A page of dialect 1 and of the operator's API.
fn page(item: &str) -> Value {
    object(&json!({
        "data": { "type": "array", "items": schema(item) },
        "has_more": { "type": "boolean" },
        "next_cursor": { "type": ["string", "null"], "minLength": 1 },
    }))
}

/// A body of dialect 2, which names its schema.
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

fn extended(base: &Value, more: &Value) -> Value {
    let mut all = base.clone();
    if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
        all.extend(more.clone());
    }
    object(&all)
}

/// What is put together as text, of derived parts.
fn put_together(derived: &Map<String, Value>) -> Map<String, Value> {
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

/// An event of a streamed turn: what this version of `OpenAPI` has for a stream is the schema of each.
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
        "interaction_id": ulid(), "inferred_emotional_state": or_null(schema("EmotionalState")),
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

fn errors() -> Map<String, Value> {
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

/// The schemas that bodies of dialect 2 name, each with all that it refers to.
pub fn schema_files() -> Vec<(&'static str, Value)> {
    let schemas = schemas();
    [
        (Schema::Agent, "DescribedAgent"),
        (Schema::AgentList, "AgentList"),
        (Schema::AgentUserList, "AgentUserList"),
        (Schema::Deletion, "DescribedDeletion"),
        (Schema::Me, "Me"),
        (Schema::Problem, "Problem"),
    ]
    .into_iter()
    .map(|(file, name)| {
        let path = file.path();
        let title = path.trim_start_matches("/api/v1/schemas/").trim_end_matches(".json");
        let mut definitions = Map::new();
        let mut body = schemas.get(name).cloned().unwrap_or_default();
        localize(&mut body, &schemas, &mut definitions);
        if let Some(body) = body.as_object_mut() {
            body.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
            body.insert("$id".to_owned(), json!(path));
            body.insert("title".to_owned(), json!(title));
            if !definitions.is_empty() {
                body.insert("$defs".to_owned(), Value::Object(definitions));
            }
        }
        (path, body)
    })
    .collect()
}

/// Turns references into the document into references within the schema.
fn localize(value: &mut Value, schemas: &Map<String, Value>, definitions: &mut Map<String, Value>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/components/schemas/").map(str::to_owned)
            {
                *reference = format!("#/$defs/{name}");
                if !definitions.contains_key(&name) {
                    definitions.insert(name.clone(), Value::Null);
                    let mut definition = schemas.get(&name).cloned().unwrap_or_default();
                    localize(&mut definition, schemas, definitions);
                    definitions.insert(name, definition);
                }
            }
            members.values_mut().for_each(|member| localize(member, schemas, definitions));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| localize(item, schemas, definitions)),
        _ => {}
    }
}

/// A path parameter: what it is, its schema, an example.
pub fn path_parameter(name: &str) -> (&'static str, Value, &'static str) {
    let id = json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$" });
    match name {
        "user_id" => ("Your own id of the user, percent-encoded.", id, "ada"),
        "external_id" => ("Your own id of the principal, percent-encoded.", id, "ada"),
        "agent_id" => ("The agent's UUID or its name, percent-encoded. A name that several bear is 409.", id, "Tutor"),
        "principal_id" => ("The principal's UUID.", json!({ "type": "string", "format": "uuid" }), UUID),
        "relationship_id" => ("The relationship's id.", ulid(), ULID),
        "deletion_id" => ("The id that the request for the erasure was answered with.", ulid(), ULID),
        "organization_id" => ("The organization's id.", ulid(), ULID),
        _ => ("The key's id, which is not the key.", ulid(), ULID),
    }
}

fn headers() -> Value {
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
        "Link": header("The JSON Schema of the body, as `describedBy`.", text(), json!("</api/v1/schemas/Agent.json>; rel=\"describedBy\"")),
        "Idempotency-Replayed": header("`true` when this is the first answer again.", json!({ "const": "true" }), json!("true")),
    })
}
