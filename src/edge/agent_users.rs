//! `GET /api/v1/agents/{agent_id}/users`: who talks with an agent.
//!
//! Its clients are strict: an entry has the members that are listed here, and no other.

use serde::Serialize;

use super::agents;
use super::endpoint::{Input, Plan};
use super::exchange::{internal, unexpected};
use super::fault::Fault;
use super::fields::both;
use super::pages;
use super::schemas::Schema;
use super::step::Step;
use crate::directory::agent::{AgentId, AgentRef};
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::Tenant;
use crate::directory::json::{self, Members, Raw, Unreadable};
use crate::directory::mood::{Decay, MoodBody};
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;
use crate::organization::protocol::{Command, Outcome};
use crate::organization::relationships::Entry;
use crate::projection::listing;

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct UserEntry<'a> {
    user_id: &'a UserId,
    role: &'a str,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_interaction_at: Option<Timestamp>,
    metadata: Contact,
    #[serde(skip_serializing_if = "Option::is_none")]
    mood: Option<MoodBody<'a>>,
}

/// A user's record, as far as this list shows it.
struct Record<'a> {
    user_id: UserId,
    display_name: Option<Name>,
    metadata: Members<'a>,
}

impl<'a> Record<'a> {
    fn read(document: &'a str) -> Option<Self> {
        let members = Raw::parse(document).ok()?.members()?;
        let display_name = members.get("display_name").filter(|name| !name.is_null());
        Some(Self {
            user_id: UserId::new(members.get("user_id")?.string()?).ok()?,
            display_name: match display_name {
                Some(name) => Some(Name::new(name.string()?).ok()?),
                None => None,
            },
            metadata: members.get("metadata")?.members()?,
        })
    }
}

/// The user's metadata as this list shows it: two members by name, the others as text.
#[derive(Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
struct Contact {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<json::Text>,
}

impl Contact {
    fn of(metadata: Members<'_>) -> Self {
        let (mut contact, mut custom) = (Self::default(), Vec::new());
        for (name, value) in metadata.0 {
            let text = as_text(value);
            match name.as_str() {
                "email" if value.get().starts_with('"') => contact.email = Some(text),
                "phone" if value.get().starts_with('"') => contact.phone = Some(text),
                _ => custom.push([json::quote(&name).as_str(), ":", &json::quote(&text)].concat()),
            }
        }
        if !custom.is_empty() {
            contact.custom = Some(json::Text::from_stored(format!("{{{}}}", custom.join(","))));
        }
        contact
    }
}

/// A string as it is, anything else as its JSON.
fn as_text(value: Raw<'_>) -> String {
    value.string().unwrap_or_else(|| value.get().to_owned())
}

/// Pages in byte order of `user_id`; what a page costs does not depend on its depth.
pub fn list<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let limit = agents::page_size(&mut input.query);
    let cursor = input.query.text("cursor");
    let (agent, ()) = both(input.path("agent_id", AgentRef::new), input.query.finish())?;
    let (tenant, ring) = (input.caller, &input.configuration.key_ring);
    let decay = Decay { now: input.received_at, half_life_ms: input.configuration.mood_half_life_ms };
    Ok(Plan::listed(Command::ReadAgent { agent }, move |outcome| {
        let agent_id = match outcome {
            Outcome::Agent { agent_id, .. } => agent_id,
            Outcome::NotFound => return Err(Fault::NotFound("agent")),
            Outcome::Ambiguous => return Err(Fault::Ambiguous),
            other => return Err(unexpected(&other)),
        };
        let binding = binding(tenant, agent_id);
        let decode = |text: String| cursor::decode(&text, &binding, ring).map_err(Fault::Malformed);
        let after = cursor.map(decode).transpose()?;
        let page = listing::agent_users(tenant, agent_id, after.as_deref(), limit.saturating_add(1));
        Ok(Step::query(page, move |texts| {
            let mut rows = listing::read_agent_users(&texts.rows).map_err(internal)?;
            let has_more = pages::cut(&mut rows, limit);
            let last = rows.last().filter(|_| has_more);
            let cursor = last.map(|(user_id, ..)| cursor::encode(user_id, &binding, ring));
            let agent_id = agent_id.to_string();
            let entries = rows.iter().map(|(_, entry, document)| write(entry, document, &agent_id, decay));
            let entries = entries.collect::<Result<Vec<_>, _>>()?;
            let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
            Ok(Step::Respond(agents::page(Schema::AgentUserList, "users", &entries, cursor.as_deref())))
        }))
    }))
}

fn binding(tenant: Tenant, agent_id: AgentId) -> Binding {
    Binding::new(&[&tenant.to_string(), "agent-users", &agent_id.to_string()])
}

fn write(entry: &str, document: &str, agent_id: &str, decay: Decay) -> Result<String, Fault> {
    let entry = Entry::read(entry).map_err(internal)?;
    let user = Record::read(document).ok_or_else(|| internal(Unreadable))?;
    let mood = entry.mood.map(|mood| mood.decayed(decay.now, decay.half_life_ms));
    let entry = UserEntry {
        user_id: &user.user_id,
        role: &entry.role,
        created_at: entry.created_at,
        display_name: user.display_name.as_ref(),
        last_interaction_at: entry.last_interaction_at,
        metadata: Contact::of(user.metadata),
        mood: mood.as_ref().map(|mood| mood.body(agent_id, &user.user_id)),
    };
    json::write(&entry).map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::end_user::{EndUser, Status};
    use crate::directory::metadata::Metadata;
    use crate::projection::listing::Position;

    /// What is stored of a user is read twice: for this list, and as a place in the other one.
    #[test]
    fn a_stored_record_reads() {
        for display_name in [None, Some(Name::new("Ada \"é\"").unwrap())] {
            let metadata = r#"{"email":"a@b","phone":7,"n":1e999,"s":"\u00e9","o":{"a":[1,"x"]}}"#;
            let user = EndUser {
                user_id: UserId::new("a/b \"🦀\"").unwrap(),
                display_name,
                metadata: Metadata::from_stored(metadata.to_owned()).unwrap(),
                status: Status::Active,
                version: 1,
                created_at: Timestamp::from_millis(1_700_000_000_123),
                updated_at: Timestamp::LAST,
                last_interaction_at: None,
            };
            let document = json::write(&user).unwrap();
            let record = Record::read(&document).unwrap();
            assert_eq!((&record.user_id, &record.display_name), (&user.user_id, &user.display_name));
            assert_eq!(
                json::write(&Contact::of(record.metadata)).unwrap(),
                r#"{"email":"a@b","custom":{"phone":"7","n":"1e999","s":"é","o":"{\"a\":[1,\"x\"]}"}}"#
            );
            let position = Position { user_id: user.user_id, created_at: user.created_at };
            assert_eq!(Position::read(&document), Ok(position.clone()));
            assert_eq!(Position::read(&json::write(&position).unwrap()), Ok(position));
        }
        for bad in ["", "[]", "{}", r#"{"user_id":"","metadata":{}}"#, r#"{"user_id":"a","metadata":7}"#] {
            assert!(Record::read(bad).is_none(), "{bad}");
            assert_eq!(Position::read(bad), Err(Unreadable), "{bad}");
        }
    }
}
