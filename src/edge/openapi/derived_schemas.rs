//! The schemas that are derived from the types that the Worker sends.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::clerk::people::Person;
use crate::directory::agent::Agent;
use crate::directory::deletion::Receipt;
use crate::directory::end_user::EndUser;
use crate::directory::mood::{EmotionalState, MoodBody};
use crate::directory::operator::NamedOperator;
use crate::directory::organization::Organization;
use crate::directory::relationship::RelationshipView;
use crate::edge::closing::ClosingReceipt;
use crate::edge::endpoints::admin::{
    deletions, diagnostics::Diagnostics, import::ImportBody, keys::KeyView, repair, usage::OrganizationUsage,
};
use crate::edge::endpoints::agents::{agent::AgentList, agent_users::AgentUserList};
use crate::edge::endpoints::deletion_request::Accepted;
use crate::edge::endpoints::principals::{Envelope, Meta, PrincipalResult};
use crate::edge::endpoints::public::{demo::Demo, probes};
use crate::edge::endpoints::v1::deletions::AgentDeletion;
use crate::edge::endpoints::v1::{
    end_users::EndUserWithRelationships, end_users_batch, event_views, turn_events, usage,
};
use crate::edge::http::pages::PageBody;
use crate::edge::render::{EndUsersError, PrincipalsError, Problem};
use crate::organization::export::Export;
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
        EndUserWithRelationships<'_>,
        PageBody<EndUser>,
        end_users_batch::BatchBody,
        end_users_batch::BatchGetBody,
        end_users_batch::BatchEraseBody,
        Export,
        Receipt,
        Accepted,
        AgentDeletion,
        RelationshipView<'_>,
        PageBody<RelationshipView<'_>>,
        EmotionalState,
        TurnView<'_>,
        turn_events::TurnEvent,
        event_views::EventView<'_>,
        event_views::EventPageBody<'_>,
        usage::UsageView,
        usage::EndUserUsage,
        Agent,
        AgentList,
        AgentUserList<'_>,
        MoodBody<'_>,
        Person,
        Organization,
        PageBody<Organization>,
        OrganizationUsage,
        ImportBody,
        deletions::OrganizationDeletionAccepted,
        ClosingReceipt,
        KeyView<'_>,
        PageBody<KeyView<'_>>,
        NamedOperator,
        PageBody<NamedOperator>,
        repair::RepairView,
        Diagnostics,
        Demo<'_>,
        probes::Health,
        probes::Readiness,
        EndUsersError<'_>,
        Problem<'_>,
        PrincipalsError<'_>,
    );
    let envelopes = [
        ("PrincipalAnswer", Envelope::<PrincipalResult>::json_schema(&mut generator)),
        ("PrincipalDeletion", Envelope::<Accepted>::json_schema(&mut generator)),
        ("PrincipalPage", Envelope::<Vec<PrincipalResult>, Meta>::json_schema(&mut generator)),
    ];
    let mut schemas = generator.take_definitions(true);
    schemas.extend(envelopes.map(|(name, schema)| (name.to_owned(), schema.into())));
    for schema in schemas.values_mut() {
        closed(schema);
    }
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
