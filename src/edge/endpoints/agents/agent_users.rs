//! `GET /api/v1/agents/{agent_id}/users`: the users of an agent.
//!
//! Its clients are strict: an entry has the members of [`UserEntry`], and no other.

use std::borrow::Cow;

use serde::Serialize;

use super::page::{page_of, page_size};
use crate::directory::agent::{AgentId, AgentRef};
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::Tenant;
use crate::directory::mood::{Decay, MoodBody};
use crate::directory::timestamp::Timestamp;
use crate::edge::calls::{Request, unexpected};
use crate::edge::endpoint::Input;
use crate::edge::exchange::{Exchange, KeyHolder};
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::edge::http::schema::Schema;
use crate::edge::runtime::Runtime;
use crate::fault::{Fault, internal};
use crate::json::{self, Raw, Unreadable};
use crate::organization::protocol::{Command, Outcome};
use crate::organization::relationship_entry::RelationshipEntry;
use crate::projection::listing;

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct UserEntry<'a> {
    #[cfg_attr(feature = "openapi", schemars(with = "crate::directory::names::UserId"))]
    user_id: Raw<'a>,
    #[cfg_attr(feature = "openapi", schemars(with = "String"))]
    role: Raw<'a>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<crate::directory::names::Name>"))]
    display_name: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_interaction_at: Option<Timestamp>,
    metadata: Contact<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mood: Option<MoodBody<'a>>,
}

/// The part of a user's record that this list shows. Most of it is passed on as text.
struct Record<'a> {
    user_id: Raw<'a>,
    display_name: Option<Raw<'a>>,
    metadata: Raw<'a>,
}

impl<'a> Record<'a> {
    /// Reads a record, which may be cut off after its metadata.
    fn read(document: &'a str) -> Option<Self> {
        let mut members = Raw::of_checked(document).each_member()?;
        // A stored record has these members first, in this order.
        let mut next = |wanted: &str| members.find(|(name, _)| name.get() == wanted).map(|(_, value)| value);
        Some(Self {
            user_id: next("\"user_id\"")?,
            display_name: next("\"display_name\"").filter(|name| !name.is_null()),
            metadata: next("\"metadata\"")?,
        })
    }
}

/// The user's metadata as this list shows it: two members by name, the others as text.
#[derive(Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
struct Contact<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    email: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schemars(with = "Option<String>"))]
    phone: Option<Raw<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custom: Option<json::Text>,
}

impl<'a> Contact<'a> {
    fn of(metadata: Raw<'a>) -> Self {
        let (mut contact, mut custom) = (Self::default(), String::new());
        for (name, value) in metadata.each_member().into_iter().flatten() {
            let is_text = value.get().starts_with('"');
            // A name may be written with escapes.
            let plain = if name.get().contains('\\') { name.string().map(Cow::Owned) } else { None };
            let plain = plain.unwrap_or(Cow::Borrowed(name.get().trim_matches('"')));
            match &*plain {
                "email" if is_text => contact.email = Some(value),
                "phone" if is_text => contact.phone = Some(value),
                _ => {
                    custom.push(if custom.is_empty() { '{' } else { ',' });
                    custom.push_str(name.get());
                    custom.push(':');
                    // A string is passed on; any other value becomes a string of its JSON.
                    custom.push_str(&if is_text { value.get().into() } else { Cow::Owned(json::quote(value.get())) });
                }
            }
        }
        if !custom.is_empty() {
            custom.push('}');
            contact.custom = Some(json::Text::from_stored(custom));
        }
        contact
    }
}

/// Pages in byte order of `user_id`. The cost of a page does not depend on its depth.
pub async fn list<R: Runtime>(
    exchange: &mut Exchange<'_, R>,
    holder: &KeyHolder,
    mut input: Input<'_>,
) -> Result<Response, Fault> {
    let limit = page_size(&mut input.query);
    let cursor = input.query.text("cursor");
    let agent = input.path("agent_id", AgentRef::new);
    let planned = input.complete(agent).map(|agent| (Request::listed(Command::ReadAgent { agent }), ()));
    let (outcome, ()) = exchange.call(holder, planned).await?;
    let agent_id = match outcome {
        Outcome::Agent { agent_id, .. } => agent_id,
        Outcome::NotFound => return Err(Fault::NotFound("agent")),
        Outcome::Ambiguous => return Err(Fault::Ambiguous),
        other => return Err(unexpected(&other)),
    };
    let binding = binding(input.caller, agent_id);
    let after = input.cursor(cursor, &binding)?;
    let page = listing::agent_users::page(input.caller, agent_id, after.as_deref(), limit.saturating_add(1));
    let texts = exchange.query_listing(&page.statement()).await?;
    let mut rows = listing::agent_users::read(&texts.rows).map_err(internal)?;
    let has_more = pages::cut(&mut rows, limit);
    let decay = Decay { now: input.received_at, half_life_ms: input.configuration.mood_half_life_ms };
    let (entries, last) = write_all(rows, agent_id, decay)?;
    let last = last.filter(|_| has_more);
    let cursor = last.map(|user_id| cursor::encode(&user_id, &binding, &input.configuration.key_ring));
    Ok(page_of(Schema::AgentUserList, "users", &entries, cursor.as_deref()))
}

/// The entries of a page, and the user id of the last one.
fn write_all(rows: Vec<(&str, &str)>, agent_id: AgentId, decay: Decay) -> Result<(String, Option<String>), Fault> {
    let agent_id = agent_id.to_string();
    let (mut entries, mut last) = (Vec::with_capacity(rows.len().saturating_mul(ENTRY_SIZE)), None);
    for (entry, document) in rows {
        let user = Record::read(document).ok_or_else(|| internal(Unreadable))?;
        if last.replace(user.user_id).is_some() {
            entries.push(b',');
        }
        write(&mut entries, entry, user, &agent_id, decay)?;
    }
    Ok((json::text(entries).map_err(internal)?, last.and_then(Raw::string)))
}

fn binding(tenant: Tenant, agent_id: AgentId) -> Binding {
    Binding::new(&[&tenant.to_string(), "agent-users", &agent_id.to_string()])
}

/// Usual size of an entry, in bytes: how much memory a page reserves for each.
const ENTRY_SIZE: usize = 768;

fn write(out: &mut Vec<u8>, entry: &str, user: Record<'_>, agent_id: &str, decay: Decay) -> Result<(), Fault> {
    let entry = RelationshipEntry::read(entry).map_err(internal)?;
    let mood = entry.mood.map(|mood| mood.decayed(decay.now, decay.half_life_ms));
    let entry = UserEntry {
        user_id: user.user_id,
        role: entry.role,
        created_at: entry.created_at,
        display_name: user.display_name,
        last_interaction_at: entry.last_interaction_at,
        metadata: Contact::of(user.metadata),
        mood: mood.as_ref().map(|mood| mood.body(agent_id, user.user_id)),
    };
    json::write_to(out, &entry).map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::end_user::{EndUser, Status, Version};
    use crate::directory::metadata::Metadata;
    use crate::directory::names::{Name, UserId};
    use crate::projection::listing::pages::Position;

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
                version: Version::of_sequence(1),
                created_at: Timestamp::from_millis(1_700_000_000_123),
                updated_at: Timestamp::LAST,
                last_interaction_at: None,
            };
            let document = json::write(&user).unwrap();
            // No record has a shorter tail, and of this one the query leaves out all of it.
            let (kept, tail) = document.split_at(document.len() - listing::agent_users::TAIL_LENGTH);
            assert!(tail.starts_with(",\"status\":"), "{tail}");
            let record = Record::read(kept).unwrap();
            assert_eq!(record.user_id.string().as_deref(), Some(user.user_id.as_str()));
            let display_name = record.display_name.and_then(Raw::string);
            assert_eq!(display_name.as_deref(), user.display_name.as_ref().map(Name::as_str));
            assert_eq!(
                json::write(&Contact::of(record.metadata)).unwrap(),
                r#"{"email":"a@b","custom":{"phone":"7","n":"1e999","s":"\u00e9","o":"{\"a\":[1,\"x\"]}"}}"#
            );
            let position = Position { user_id: user.user_id, created_at: user.created_at };
            assert_eq!(Position::read(&document), Ok(position.clone()));
            assert_eq!(Position::read(&json::write(&position).unwrap()), Ok(position));
        }
        for bad in ["", "[]", "{}", r#"{"user_id":"","metadata":{}}"#, r#"{"user_id":"a","metadata":7}"#] {
            assert_eq!(Position::read(bad), Err(Unreadable), "{bad}");
        }
    }
}
