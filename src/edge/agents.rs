//! `/api/v1/agents`.

use super::conditional::{entity_tag, if_match, none_match_names};
use super::exchange::{Exchange, KeyHolder, internal, unexpected};
use super::fault::Fault;
use super::fields::{BODY_BYTES_MAX, Fields, QueryFields, both, path_parameter, query_integer, string};
use super::http::{Incoming, Response};
use super::runtime::{Door, Runtime};
use super::schemas::{Schema, described};
use crate::directory::agent::{AgentId, AgentRef};
use crate::directory::cursor::{self, Binding};
use crate::directory::json;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::organization::agents;
use crate::organization::protocol::{Command, NewAgent, Outcome};

/// Most agents on a page, and as many when nothing is said.
const PAGE_SIZE_MAX: u32 = 500;
const PAGE_SIZE_DEFAULT: u32 = 100;

/// `POST /api/v1/agents`: 201 when this request made the agent, 200 when it changed
/// the one that is there.
pub async fn save<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
) -> Result<Response, Fault> {
    let agent_id = AgentId::new(exchange.random()?);
    let body = exchange.json_body(BODY_BYTES_MAX).await;
    let request = body.and_then(|body| both(exchange.idempotency_key(&body), read_new(&body, agent_id)));
    let (command, key) = match both(QueryFields::none(exchange.target.query), request) {
        Ok(((), (key, new))) => (Ok(Command::SaveAgent(new)), key),
        Err(fault) => (Err(fault), None),
    };
    let answer = exchange.ask_once(holder, Door::Handle, command, key).await?;
    Ok(answer.mark(respond(&answer.outcome)?))
}

fn read_new(body: &[u8], agent_id: AgentId) -> Result<NewAgent, Fault> {
    let mut fields = Fields::of_body(body)?;
    let name = fields.required("name", |value| Name::new(string(value)?));
    let external_id = fields.nullable("external_id", |value| UserId::new(string(value)?));
    let metadata = fields.optional("metadata", Metadata::new);
    fields.finish()?;
    let name = name.ok_or_else(|| internal("a required field is missing without a fault"))?;
    Ok(NewAgent { agent_id, external_id: external_id.flatten(), name, metadata })
}

/// `GET /api/v1/agents/{agent_id}`, by id or by name.
pub async fn get<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let path = path_parameter("agent_id", parameters.first(), AgentRef::new);
    let command = both(path, QueryFields::none(exchange.target.query)).map(|(agent, ())| Command::ReadAgent { agent });
    let outcome = exchange.ask(holder, Door::Handle, command).await?.outcome;
    if let (Outcome::Agent { version, .. }, Some(header)) = (&outcome, exchange.incoming.header("If-None-Match")) {
        let revision = agents::revision(*version);
        if none_match_names(&header, revision) {
            return Ok(Response::new(304).with("ETag", entity_tag(revision)));
        }
    }
    respond(&outcome)
}

/// `PATCH /api/v1/agents/{agent_id}`: changes what is named and leaves the rest.
pub async fn update<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let body = exchange.json_body(BODY_BYTES_MAX).await;
    let if_match = exchange.incoming.header("If-Match").map(|header| if_match(&header));
    let path = path_parameter("agent_id", parameters.first(), AgentRef::new);
    let changes = body.and_then(|body| {
        let mut fields = Fields::of_body(&body)?;
        let name = fields.optional("name", |value| Name::new(string(value)?));
        let metadata = fields.optional("metadata", Metadata::new);
        fields.finish()?;
        Ok((name, metadata))
    });
    let command = both(both(path, QueryFields::none(exchange.target.query)), changes)
        .map(|((agent, ()), (name, metadata))| Command::UpdateAgent { agent, name, metadata, if_match });
    respond(&exchange.ask(holder, Door::Handle, command).await?.outcome)
}

fn respond(outcome: &Outcome) -> Result<Response, Fault> {
    match outcome {
        Outcome::Agent { created, agent_id, version, document } => {
            let response = described(if *created { 201 } else { 200 }, Schema::Agent, inside(document)?);
            let response = response.with("ETag", entity_tag(agents::revision(*version)));
            Ok(if *created { response.with("Location", format!("/api/v1/agents/{agent_id}")) } else { response })
        }
        Outcome::NotFound => Err(Fault::NotFound("agent")),
        Outcome::Ambiguous => Err(Fault::Ambiguous),
        Outcome::PreconditionFailed => Err(Fault::PreconditionFailed),
        other => Err(unexpected(other)),
    }
}

/// The members of an object, without its braces.
fn inside(document: &json::Text) -> Result<&str, Fault> {
    let inside = document.as_str().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    inside.ok_or_else(|| internal("a record is not an object"))
}

/// `page_size`, or `limit`, which old clients send along with others that are taken
/// and mean nothing.
pub fn page_size(fields: &mut QueryFields) -> u32 {
    let page_size = fields.optional("page_size", |text| query_integer(text, 1, PAGE_SIZE_MAX));
    let limit = fields.optional("limit", |text| query_integer(text, 1, PAGE_SIZE_MAX));
    for ignored in ["offset", "sort_by", "sort_order"] {
        fields.optional(ignored, |_| Ok(()));
    }
    page_size.or(limit).unwrap_or(PAGE_SIZE_DEFAULT)
}

/// `GET /api/v1/agents`: in the order of their making.
pub async fn list<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let binding = Binding::new(&[&holder.tenant.to_string(), "agents"]);
    let request = read_list(exchange.target.query, |text| cursor::decode(text, &binding, &configuration.key_ring));
    let (limit, command) = match request {
        Ok((after, limit)) => (limit, Ok(Command::ListAgents { after, limit: limit.saturating_add(1) })),
        Err(fault) => (0, Err(fault)),
    };
    let mut records = match exchange.ask(holder, Door::Handle, command).await?.outcome {
        Outcome::Records(records) => records,
        other => return Err(unexpected(&other)),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = records.len() > limit;
    records.truncate(limit);
    let cursor = records.last().filter(|_| has_more);
    let cursor = cursor.map(|(number, _)| cursor::encode(&number.to_string(), &binding, &configuration.key_ring));
    // Absent on the last page: pagers of existing clients stop only on a falsy one.
    let next = cursor.map_or(String::new(), |cursor| format!(",\"next_cursor\":\"{cursor}\""));
    let items: Vec<&str> = records.iter().map(|(_, document)| document.as_str()).collect();
    let members = format!("\"items\":[{}],\"has_more\":{has_more}{next}", items.join(","));
    Ok(described(200, Schema::AgentList, &members))
}

fn read_list(
    query: &str,
    decode: impl FnOnce(&str) -> Result<String, crate::directory::Refusal>,
) -> Result<(i64, u32), Fault> {
    let mut fields = QueryFields::parse(query)?;
    let page_size = page_size(&mut fields);
    let cursor = fields.optional("cursor", |text| Ok(text.to_owned()));
    fields.finish()?;
    let after = cursor.map(|text| decode(&text).map_err(Fault::Malformed)).transpose()?;
    let after = after.map(|key| key.parse().map_err(internal)).transpose()?.unwrap_or_default();
    Ok((after, page_size))
}
