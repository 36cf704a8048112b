//! The schemas that are derived from the types that the Worker sends.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::parts::{nullable, schema};
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
use crate::organization::export::Export;
use crate::organization::relationships::RelationshipView;
use crate::organization::turns::TurnView;

/// The schemas that `schemars` derives from the types that the Worker sends.
pub fn derived() -> Map<String, Value> {
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
    schemas
}

/// Forbids members that the schema does not name.
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

/// Sets what `schemars` cannot derive: the form of members that a type carries as JSON text, and which
/// members are absent instead of `null`.
fn patch(schemas: &mut Map<String, Value>) {
    let mut set = |name: &str, property: &str, value: Value| {
        let properties = schemas.get_mut(name).and_then(|schema| schema.get_mut("properties"));
        if let Some(slot) = properties.and_then(|properties| properties.get_mut(property)) {
            *slot = value;
        }
    };
    let relationships = json!({ "type": "array", "items": schema("Relationship") });
    set("Turn", "inferred_emotional_state", nullable(schema("EmotionalState")));
    set("Export", "end_user", schema("EndUser"));
    set("Export", "relationships", relationships);
    set("Principal", "onboarding_session_id", json!({ "type": "null" }));
    let custom = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    set("Contact", "custom", custom);
    set("Mood", "agent_id", json!({ "type": "string", "format": "uuid" }));
    // These members are absent when they have no value, and never `null`.
    for (name, optional) in [("UserEntry", None), ("Contact", None), ("BatchRow", Some("error"))] {
        let properties = schemas.get_mut(name).and_then(|schema| schema.get_mut("properties"));
        let properties = properties.and_then(Value::as_object_mut).into_iter().flatten();
        let left_out = properties.filter(|(property, _)| optional.is_none_or(|optional| optional == *property));
        left_out.for_each(|(_, property)| never_null(property));
    }
    // The contract requires only these two members of an entry.
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
