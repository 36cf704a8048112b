//! `GET /api/v1/agents/{agent_id}/users`: who talks with an agent.
//!
//! Its clients are strict: an entry has the members that are listed here, and no other.

use serde::Serialize;
use serde_json::value::RawValue;

use super::agents;
use super::exchange::{Exchange, KeyHolder, internal, store_unavailable, unexpected};
use super::fault::Fault;
use super::fields::{QueryFields, both, path_parameter};
use super::http::{Incoming, Response};
use super::runtime::{Door, Runtime};
use super::schemas::{Schema, described};
use crate::directory::Refusal;
use crate::directory::agent::AgentRef;
use crate::directory::cursor::{self, Binding};
use crate::directory::end_user::EndUser;
use crate::directory::json;
use crate::directory::mood::MoodBody;
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;
use crate::organization::protocol::{Command, Outcome};
use crate::organization::relationships::{Entry, MOOD_HALF_LIFE_MS};
use crate::projection::listing;

#[derive(Serialize)]
struct UserEntry<'a> {
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

/// The user's metadata as this list shows it: two members by name, the others as text.
#[derive(Default, Serialize)]
struct Contact {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<json::Text>,
}

impl Contact {
    fn of(metadata: &str) -> serde_json::Result<Self> {
        let members: json::Members<'_> = serde_json::from_str(metadata)?;
        let (mut contact, mut custom) = (Self::default(), Vec::new());
        for (name, value) in members.0 {
            let text = as_text(value);
            match name.as_str() {
                "email" if value.get().starts_with('"') => contact.email = Some(text),
                "phone" if value.get().starts_with('"') => contact.phone = Some(text),
                _ => custom.push(format!("{}:{}", serde_json::to_string(&name)?, serde_json::to_string(&text)?)),
            }
        }
        if !custom.is_empty() {
            contact.custom = Some(json::Text::from_stored(format!("{{{}}}", custom.join(","))));
        }
        Ok(contact)
    }
}

/// A string as it is, anything else as its JSON.
fn as_text(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// Pages in byte order of `user_id`; what a page costs does not depend on its depth.
pub async fn list<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let path = path_parameter("agent_id", parameters.first(), AgentRef::new);
    let query = read_query(exchange.target.query);
    let (limit, cursor, command) = match both(path, query) {
        Ok((agent, (limit, cursor))) => (limit, cursor, Ok(Command::ReadAgent { agent })),
        Err(fault) => (0, None, Err(fault)),
    };
    let answer = exchange.ask(holder, Door::HandleListed, command).await?;
    let agent_id = match answer.outcome {
        Outcome::Agent { agent_id, .. } => agent_id,
        Outcome::NotFound => return Err(Fault::NotFound("agent")),
        Outcome::Ambiguous => return Err(Fault::Ambiguous),
        other => return Err(unexpected(&other)),
    };
    if answer.listed != Some(true) {
        return Err(store_unavailable("the listing could not be brought up to date"));
    }
    let (tenant, id) = (holder.tenant.to_string(), agent_id.to_string());
    let binding = Binding::new(&[&tenant, "agent-users", &id]);
    let decode = |text: String| cursor::decode(&text, &binding, &configuration.key_ring).map_err(Fault::Malformed);
    let after = cursor.map(decode).transpose()?;
    let database = exchange.runtime.database().map_err(internal)?;
    let more = limit.saturating_add(1);
    let page = listing::agent_users(&database, holder.tenant, agent_id, after.as_deref(), more).await;
    let (mut rows, rows_read) = page.map_err(store_unavailable)?;
    exchange.rows_read = Some(rows_read);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let cursor = rows.last().filter(|_| has_more);
    let cursor = cursor.map(|(user_id, ..)| cursor::encode(user_id, &binding, &configuration.key_ring));
    let next = cursor.map_or(String::new(), |cursor| format!(",\"next_cursor\":\"{cursor}\""));
    let now = exchange.received_at;
    let entries = rows.iter().map(|(_, entry, document)| write(entry, document, &id, now));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let members = format!("\"users\":[{}],\"has_more\":{has_more}{next}", entries.join(","));
    Ok(described(200, Schema::AgentUserList, &members))
}

fn read_query(query: &str) -> Result<(u32, Option<String>), Fault> {
    let mut fields = QueryFields::parse(query)?;
    let limit = agents::page_size(&mut fields);
    let cursor = fields.optional("cursor", |text| Ok::<_, Refusal>(text.to_owned()));
    fields.finish()?;
    Ok((limit, cursor))
}

fn write(entry: &str, document: &str, agent_id: &str, now: Timestamp) -> Result<String, Fault> {
    let entry = Entry::read(entry).map_err(internal)?;
    let user: EndUser = serde_json::from_str(document).map_err(internal)?;
    let mood = entry.mood.map(|mood| mood.decayed(now, MOOD_HALF_LIFE_MS));
    let entry = UserEntry {
        user_id: &user.user_id,
        role: &entry.role,
        created_at: entry.created_at,
        display_name: user.display_name.as_ref(),
        last_interaction_at: entry.last_interaction_at,
        metadata: Contact::of(user.metadata.as_str()).map_err(internal)?,
        mood: mood.as_ref().map(|mood| mood.body(agent_id, &user.user_id)),
    };
    serde_json::to_string(&entry).map_err(internal)
}
