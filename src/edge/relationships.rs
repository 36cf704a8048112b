//! `/v1/relationships`: who talks with whom.

use super::exchange::{Exchange, KeyHolder, internal, unexpected};
use super::fault::Fault;
use super::fields::{QueryFields, both, path_parameter};
use super::http::{Incoming, Response};
use super::pages;
use super::runtime::{Door, Runtime};
use crate::directory::Refusal;
use crate::directory::agent::AgentRef;
use crate::directory::cursor::{self, Binding};
use crate::directory::names::UserId;
use crate::organization::protocol::{Command, Outcome};

/// `GET /v1/relationships/{relationship_id}`.
pub async fn get<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let path = path_parameter("relationship_id", parameters.first(), |text| text.parse());
    let command = both(path, QueryFields::none(exchange.target.query)).map(|(id, ())| Command::ReadRelationship { id });
    match exchange.ask(holder, Door::Handle, command).await?.outcome {
        Outcome::Records(records) => match records.into_iter().next() {
            Some((_, document)) => Ok(Response::json(200, document.into_string())),
            None => Err(Fault::NotFound("relationship")),
        },
        Outcome::NotFound => Err(Fault::NotFound("relationship")),
        other => Err(unexpected(&other)),
    }
}

/// What a list is asked for.
struct Request {
    user_id: Option<UserId>,
    agent: Option<AgentRef>,
    after: i64,
    limit: u32,
    binding: Binding,
}

/// `GET /v1/relationships`: in the order of their making, of a user, of an agent, of
/// both, or all.
pub async fn list<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let request = read_list(exchange.target.query, &holder.tenant.to_string(), |text, binding| {
        cursor::decode(text, binding, &configuration.key_ring)
    });
    let (limit, binding, command) = match request {
        Ok(Request { user_id, agent, after, limit, binding }) => {
            let more = limit.saturating_add(1);
            (limit, Some(binding), Ok(Command::ListRelationships { user_id, agent, after, limit: more }))
        }
        Err(fault) => (0, None, Err(fault)),
    };
    let mut records = match exchange.ask(holder, Door::Handle, command).await?.outcome {
        Outcome::Records(records) => records,
        Outcome::Ambiguous => return Err(Fault::Ambiguous),
        other => return Err(unexpected(&other)),
    };
    let binding = binding.ok_or_else(|| internal("a faulty request was let through"))?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = records.len() > limit;
    records.truncate(limit);
    let last = records.last().filter(|_| has_more);
    let next_cursor = last.map(|(number, _)| cursor::encode(&number.to_string(), &binding, &configuration.key_ring));
    let texts: Vec<String> = records.into_iter().map(|(_, document)| document.into_string()).collect();
    Ok(pages::render(&texts, next_cursor.as_deref()))
}

fn read_list(
    query: &str,
    tenant: &str,
    decode: impl FnOnce(&str, &Binding) -> Result<String, Refusal>,
) -> Result<Request, Fault> {
    let mut fields = QueryFields::parse(query)?;
    let limit = pages::limit(&mut fields);
    let mut filters = [String::new(), String::new()];
    let [user, personality] = &mut filters;
    let user_id = fields.optional("user_id", |text| {
        text.clone_into(user);
        UserId::new(text)
    });
    let agent = fields.optional("personality_id", |text| {
        text.clone_into(personality);
        AgentRef::new(text.to_owned())
    });
    let cursor = fields.optional("cursor", |text| Ok(text.to_owned()));
    fields.finish()?;
    let binding = Binding::new(&[tenant, "relationships", user, personality]);
    let after = cursor.map(|text| decode(&text, &binding).map_err(Fault::Malformed)).transpose()?;
    let after = after.map(|key| key.parse().map_err(internal)).transpose()?.unwrap_or_default();
    Ok(Request { user_id, agent, after, limit, binding })
}
