//! Events as dialect 1 shows them.

use std::rc::Rc;

use serde::Serialize;

use crate::directory::agent::Agent;
use crate::directory::cursor::{self, Binding};
use crate::directory::end_user::EndUser;
use crate::directory::event::{EventType, SubjectType};
use crate::directory::identifiers::{Mode, OrganizationId, RequestId, Tenant};
use crate::directory::mood::Decay;
use crate::directory::organization::Limits;
use crate::directory::quota::Component;
use crate::directory::relationship::RelationshipView;
use crate::directory::timestamp::Timestamp;
use crate::edge::configuration::Configuration;
use crate::edge::endpoints::admin::keys::KeyView;
use crate::edge::http::response::{self, Response};
use crate::fault::{Fault, internal};
use crate::organization::protocol::{Actor, EventPage, EventPlace, EventRecord, EventSubject, EventsRead};

/// An event, with its subject as it is now.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Event")]
pub struct EventView<'a> {
    #[schemars(regex(pattern = "^evt_[0-9A-HJKMNP-TV-Z]{26}$"))]
    id: String,
    sequence: i64,
    r#type: EventType,
    created_at: Timestamp,
    /// `null` for what Rollcall did by itself.
    request_id: Option<RequestId>,
    actor: ActorView,
    subject: SubjectView<'a>,
    /// The subject as it is now; `null` when it is gone.
    data: Option<EventData<'a>>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
struct ActorView {
    r#type: ActorType,
    /// The id of the key, or of the named operator.
    id: Option<String>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum ActorType {
    Key,
    Operator,
    System,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
struct SubjectView<'a> {
    r#type: SubjectType,
    /// A random id, the same in every event of the subject. It names no person. An end user's is the `id` of the principal.
    r#ref: &'a str,
    /// The id in the API; `null` when the subject is gone.
    id: Option<String>,
    /// The version of `data`, if the subject has versions.
    version: Option<i64>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum EventData<'a> {
    EndUser(&'a EndUser),
    Agent(&'a Agent),
    Relationship(RelationshipView<'a>),
    Key(KeyView<'a>),
    Organization(OrganizationLimits<'a>),
    Quota(QuotaView),
}

/// An organization as its keys' holders see it.
#[derive(Serialize, schemars::JsonSchema)]
struct OrganizationLimits<'a> {
    id: OrganizationId,
    mode: Mode,
    limits: &'a Limits,
}

/// A quota of a billing period.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Quota")]
struct QuotaView {
    component: Component,
    used: u64,
    limit: u64,
    period_start: Timestamp,
    resets_at: Timestamp,
}

impl ActorView {
    fn new(actor: Actor) -> Self {
        match actor {
            Actor::Key(key_id) => Self { r#type: ActorType::Key, id: Some(key_id.to_string()) },
            Actor::Operator(named) => Self { r#type: ActorType::Operator, id: named.map(|named| named.to_string()) },
            Actor::System => Self { r#type: ActorType::System, id: None },
        }
    }
}

impl<'a> EventView<'a> {
    fn new(tenant: Tenant, event: &'a EventRecord, decay: Decay) -> Self {
        let (id, version, data) = match &event.subject {
            None => (None, None, None),
            Some(EventSubject::EndUser(user)) => {
                (Some(user.user_id.to_string()), Some(user.version.sequence()), Some(EventData::EndUser(user)))
            }
            Some(EventSubject::Agent(view)) => {
                let id = view.agent.agent_id.to_string();
                (Some(id), Some(view.version.sequence()), Some(EventData::Agent(&view.agent)))
            }
            Some(EventSubject::Relationship(relationship)) => {
                let data = EventData::Relationship(relationship.view(decay));
                (Some(relationship.id.to_string()), Some(relationship.version.sequence()), Some(data))
            }
            Some(EventSubject::Key(key)) => {
                let data = EventData::Key(KeyView::new(tenant.mode, key, None));
                (Some(key.key_id.to_string()), None, Some(data))
            }
            Some(EventSubject::Organization { limits, version }) => {
                let organization = OrganizationLimits { id: tenant.organization, mode: tenant.mode, limits };
                (Some(organization.id.to_string()), Some(*version), Some(EventData::Organization(organization)))
            }
            Some(EventSubject::Quota { component, used, limit, period_start, resets_at }) => {
                let (component, used, limit) = (*component, *used, *limit);
                let quota = QuotaView { component, used, limit, period_start: *period_start, resets_at: *resets_at };
                (Some(component.into_str().to_owned()), None, Some(EventData::Quota(quota)))
            }
        };
        Self {
            id: format!("evt_{}", event.id),
            sequence: event.place.sequence,
            r#type: event.r#type,
            created_at: event.created_at,
            request_id: event.request_id,
            actor: ActorView::new(event.actor),
            subject: SubjectView { r#type: event.r#type.subject(), r#ref: &event.reference, id, version },
            data,
        }
    }
}

/// A page of events. It always says where to go on.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "EventPage")]
pub struct EventPageBody<'a> {
    data: Vec<EventView<'a>>,
    /// Whether more may follow by now.
    has_more: bool,
    #[schemars(length(min = 1))]
    next_cursor: String,
}

/// The list of events that a request asks for.
pub struct EventList {
    pub tenant: Tenant,
    pub binding: Binding,
    pub configuration: Rc<Configuration>,
}

impl EventList {
    fn cursor(&self, place: EventPlace) -> String {
        cursor::encode(&place.to_string(), &self.binding, &self.configuration.key_ring)
    }

    fn view<'a>(&self, event: &'a EventRecord, now: Timestamp) -> EventView<'a> {
        EventView::new(self.tenant, event, Decay { now, half_life_ms: self.configuration.mood_half_life_ms })
    }

    /// The page, or that the place is no longer kept.
    fn page(&self, found: EventsRead) -> Result<EventPage, Fault> {
        match found {
            EventsRead::Page(page) => Ok(page),
            EventsRead::Expired { oldest } => Err(Fault::EventsExpired { oldest: self.cursor(oldest) }),
        }
    }

    pub fn respond(&self, found: EventsRead, now: Timestamp) -> Result<Response, Fault> {
        let EventPage { events, next, has_more } = self.page(found)?;
        let data = events.iter().map(|event| self.view(event, now)).collect();
        Response::json(200, &EventPageBody { data, has_more, next_cursor: self.cursor(next) })
    }

    /// The events as a part of a stream. Without an event it is a comment, and the place.
    pub fn stream_text(&self, found: EventsRead, now: Timestamp) -> Result<String, Fault> {
        let EventPage { events, next, .. } = self.page(found)?;
        if events.is_empty() {
            return Ok(format!(":\nid: {}\n\n", self.cursor(next)));
        }
        let mut text = String::new();
        for record in &events {
            let data = serde_json::to_string(&self.view(record, now)).map_err(internal)?;
            let id = self.cursor(EventPlace { event: record.place, beyond: None });
            text.extend(["id: ", &id, "\n"]);
            text.push_str(&response::event(record.r#type.into_str(), &data));
        }
        Ok(text)
    }
}
