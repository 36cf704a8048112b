//! `/v1/relationships`: pairs of a user and an agent.

use crate::directory::agent::AgentRef;
use crate::directory::cursor::{self, Binding};
use crate::directory::names::UserId;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::http::conditional::weak_entity_tag;
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::fault::Fault;
use crate::organization::protocol::{ListRelationships, ReadRelationship};

/// `GET /v1/relationships/{relationship_id}`.
pub fn get<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let id = input.path("relationship_id", |text| text.parse())?;
    let decay = input.decay();
    let conditions = input.conditions();
    Ok(Plan::new(ReadRelationship { id }, move |relationship| {
        // A mood decays without a version.
        if let Some(response) = conditions.judge(relationship.version, relationship.mood.is_none())? {
            return Ok(response);
        }
        let tag = weak_entity_tag(relationship.version);
        Ok(Response::json(200, &relationship.view(decay))?.with("ETag", tag))
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
    let decay = input.decay();
    let command = ListRelationships { user_id, agent, after, limit: limit.saturating_add(1) };
    Ok(Plan::new(command, move |mut relationships| {
        let has_more = pages::cut(&mut relationships, limit);
        let last = relationships.last().filter(|_| has_more);
        let next = last.map(|(number, _)| cursor::encode(&number.to_string(), &binding, ring));
        pages::respond(relationships.iter().map(|(_, relationship)| relationship.view(decay)).collect(), next)
    }))
}
