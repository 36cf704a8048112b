//! `/v1/relationships`: pairs of a user and an agent.

use crate::directory::agent::AgentRef;
use crate::directory::cursor::{self, Binding};
use crate::directory::names::UserId;
use crate::edge::calls::unexpected;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::fault::Fault;
use crate::organization::protocol::{Command, Outcome};

/// `GET /v1/relationships/{relationship_id}`.
pub fn get<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let id = input.path("relationship_id", |text| text.parse())?;
    Ok(Plan::new(Command::ReadRelationship { id }, |outcome| match outcome {
        Outcome::Records(records) => match records.into_iter().next() {
            Some((_, document)) => Response::json(200, &document),
            None => Err(Fault::NotFound("relationship")),
        },
        Outcome::NotFound => Err(Fault::NotFound("relationship")),
        other => Err(unexpected(&other)),
    }))
}

/// `GET /v1/relationships`: in the order of creation; filtered by user, by agent, or by both.
pub fn list<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let fields = &mut input.query;
    let limit = pages::limit(fields);
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
    let cursor = fields.text("cursor");
    fields.finish()?;
    let binding = Binding::new(&[&input.caller.to_string(), "relationships", user, personality]);
    let after = input.number_cursor(cursor, &binding)?;
    let ring = &input.configuration.key_ring;
    let command = Command::ListRelationships { user_id, agent, after, limit: limit.saturating_add(1) };
    Ok(Plan::new(command, move |outcome| {
        let mut records = match outcome {
            Outcome::Records(records) => records,
            Outcome::Ambiguous => return Err(Fault::Ambiguous),
            other => return Err(unexpected(&other)),
        };
        let has_more = pages::cut(&mut records, limit);
        let last = records.last().filter(|_| has_more);
        let next = last.map(|(number, _)| cursor::encode(&number.to_string(), &binding, ring));
        pages::respond(records.into_iter().map(|(_, document)| document).collect(), next)
    }))
}
