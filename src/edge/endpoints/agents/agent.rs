//! `/api/v1/agents`.

use serde::Serialize;

use super::page_request::{self, PageRequest};
use crate::directory::agent::{AgentId, AgentRef};
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::{OrganizationId, Tenant};
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::http::body::Body;
use crate::edge::http::conditional::{entity_tag, weak_entity_tag};
use crate::edge::http::pages;
use crate::edge::http::reader::Reader;
use crate::edge::http::response::Response;
use crate::edge::http::schema::{Schema, described};
use crate::fault::{Fault, internal};
use crate::input::{both, string};
use crate::organization::protocol::{
    AgentPage, AgentView, ListAgents, ListedAgent, NewAgent, ReadAgent, SavedAgent, UpdateAgent,
};

/// `POST /api/v1/agents`: 201 when this request created the agent, 200 when it changed an existing one.
pub fn save<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let new = read_new(&input.body, AgentId::new(input.received_at, input.random))?;
    let reader = input.reader;
    Ok(Plan::new(new, move |SavedAgent { created, view }| {
        let response = respond(if created { 201 } else { 200 }, reader, &view)?;
        let location = || format!("/api/v1/agents/{}", view.agent.agent_id);
        Ok(if created { response.with("Location", location()) } else { response })
    }))
}

fn read_new(body: &Body, agent_id: AgentId) -> Result<NewAgent, Fault> {
    let mut fields = body.fields()?;
    let name = fields.required("name", |value| Name::new(string(value)?));
    let external_id = fields.nullable("external_id", |value| UserId::new(string(value)?));
    let metadata = fields.optional("metadata", Metadata::new);
    fields.finish()?;
    let name = name.ok_or_else(|| internal("a required field is missing without a fault"))?;
    Ok(NewAgent { agent_id, external_id: external_id.flatten(), name, metadata })
}

/// `GET /api/v1/agents/{agent_id}`, by id or by name.
pub fn get<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let agent = input.path("agent_id", AgentRef::new)?;
    let conditions = input.conditions();
    let reader = input.reader;
    Ok(Plan::new(ReadAgent { agent }, move |view| {
        // The version alone does not fix the body for a client that has a form of its own.
        let is_whole = reader == Reader::Any;
        conditions.judge(view.version, is_whole)?.map_or_else(|| respond(200, reader, &view), Ok)
    }))
}

/// `PATCH /api/v1/agents/{agent_id}`: changes what is named and leaves the rest.
pub fn update<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let (agent, (name, metadata)) = both(input.path("agent_id", AgentRef::new), read_changes(&input.body))?;
    let if_match = input.if_match.take();
    let reader = input.reader;
    Ok(Plan::new(UpdateAgent { agent, name, metadata, if_match }, move |view| respond(200, reader, &view)))
}

fn read_changes(body: &Body) -> Result<(Option<Name>, Option<Metadata>), Fault> {
    let mut fields = body.fields()?;
    let name = fields.optional("name", |value| Name::new(string(value)?));
    let metadata = fields.optional("metadata", Metadata::new);
    fields.finish()?;
    Ok((name, metadata))
}

fn respond(status: u16, reader: Reader<'_>, view: &AgentView) -> Result<Response, Fault> {
    // A strong tag names one body (RFC 9110, section 8.8.1), and this one is that of any reader.
    let tag = match reader {
        Reader::Any => entity_tag(view.version),
        Reader::Sonzai { .. } => weak_entity_tag(view.version),
    };
    Ok(described(status, Schema::Agent, reader, &view.agent)?.with("ETag", tag))
}

/// An agent in a list. Readers refuse any member that they do not know, so this has the members that published clients
/// know, and no other. What they do not have, such as metadata, is in the answer to `GET` of the agent.
#[derive(Serialize, schemars::JsonSchema)]
struct AgentEntry {
    agent_id: AgentId,
    name: Name,
    created_at: Timestamp,
    /// Always 1. The clients of this dialect expect the member.
    instance_count: u32,
    /// Always `true`. The clients of this dialect expect the member.
    is_active: bool,
    /// The id of the human that owns the agent, or an empty text.
    owner_user_id: String,
    /// The id of the organization.
    tenant_id: OrganizationId,
}

impl AgentEntry {
    fn of(agent: ListedAgent, tenant: Tenant) -> Self {
        let ListedAgent { number: _, agent_id, name, created_at, owner } = agent;
        let owner_user_id = owner.map_or(String::new(), |owner| owner.to_string());
        let tenant_id = tenant.organization;
        Self { agent_id, name, created_at, instance_count: 1, is_active: true, owner_user_id, tenant_id }
    }
}

/// A page of agents. The last one has no `next_cursor`: pagers of existing clients stop only on a falsy one.
#[derive(Serialize, schemars::JsonSchema)]
pub struct AgentList {
    #[schemars(length(max = 500))]
    items: Vec<AgentEntry>,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    next_cursor: Option<String>,
    /// The number of all agents, at most 10,000.
    total_count: u64,
}

/// `GET /api/v1/agents`: in the order of creation.
pub fn list<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let PageRequest { limit, offset, cursor } = page_request::read(&mut input.query, "created_at");
    input.query.finish()?;
    let (tenant, reader) = (input.caller, input.reader);
    let binding = Binding::new(&[&tenant.to_string(), "agents"]);
    let after = input.number_cursor(cursor, &binding)?;
    let ring = &input.configuration.key_ring;
    let command = ListAgents { after, offset: offset.unwrap_or_default(), limit: limit.saturating_add(1) };
    Ok(Plan::new(command, move |AgentPage { items: mut agents, total: total_count }| {
        let has_more = pages::cut(&mut agents, limit);
        let last = agents.last().filter(|_| has_more);
        let next_cursor = last.map(|agent| cursor::encode(&agent.number.to_string(), &binding, ring));
        let items = agents.into_iter().map(|agent| AgentEntry::of(agent, tenant)).collect();
        described(200, Schema::AgentList, reader, AgentList { items, has_more, next_cursor, total_count })
    }))
}
