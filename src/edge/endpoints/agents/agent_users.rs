//! `GET /api/v1/agents/{agent_id}/users`: the users of an agent.
//!
//! Its clients are strict: an entry has the members of [`UserEntry`], and no other.

use serde::Serialize;

use super::page_request::{self, PageRequest};
use crate::directory::agent::{AgentId, AgentRef};
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::Tenant;
use crate::directory::mood::{Decay, Level, Mood, MoodBody};
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;
use crate::edge::calls::Request;
use crate::edge::endpoint::Input;
use crate::edge::exchange::{Exchange, KeyHolder};
use crate::edge::http::pages;
use crate::edge::http::reader::Reader;
use crate::edge::http::response::Response;
use crate::edge::http::schema::{Schema, described};
use crate::edge::runtime::Runtime;
use crate::fault::{Fault, internal};
use crate::json::{self, Members, RawValue};
use crate::organization::protocol::ReadAgent;
use crate::organization::relationship_entry::RelationshipEntry;
use crate::projection::listing::agent_users::{self, AgentUserRow};
use crate::projection::listing::page;

#[derive(Serialize, schemars::JsonSchema)]
// The contract requires only these two members.
#[schemars(extend("required" = ["role", "user_id"]))]
pub struct UserEntry<'a> {
    user_id: &'a UserId,
    role: &'a str,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Name")]
    display_name: Option<&'a Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    last_interaction_at: Option<Timestamp>,
    metadata: Contact<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "EntryMood<'a>")]
    mood: Option<EntryMood<'a>>,
}

/// A mood in the form that the reader knows.
#[derive(Serialize, schemars::JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum EntryMood<'a> {
    Plain(MoodBody<'a>),
    WithUserBaselines(MoodWithUserBaselines<'a>),
}

impl<'a> EntryMood<'a> {
    fn of(mood: MoodBody<'a>, reader: Reader<'_>) -> Self {
        if reader.needs_user_baselines() { Self::WithUserBaselines(mood.into()) } else { Self::Plain(mood) }
    }
}

/// The mood of a user with an agent, as the client `sonzai-python` requires it from version 1.5.3 on. A relationship
/// has one set of baselines, which are the user's.
#[derive(Serialize, schemars::JsonSchema)]
struct MoodWithUserBaselines<'a> {
    #[serde(flatten)]
    mood: MoodBody<'a>,
    user_baseline_valence: Level,
    user_baseline_arousal: Level,
    user_baseline_tension: Level,
    user_baseline_affiliation: Level,
}

impl<'a> From<MoodBody<'a>> for MoodWithUserBaselines<'a> {
    fn from(mood: MoodBody<'a>) -> Self {
        Self {
            user_baseline_valence: mood.baseline_valence,
            user_baseline_arousal: mood.baseline_arousal,
            user_baseline_tension: mood.baseline_tension,
            user_baseline_affiliation: mood.baseline_affiliation,
            mood,
        }
    }
}

/// The user's metadata as this list shows it: two members by name, the others as text.
#[derive(Default, Serialize, schemars::JsonSchema)]
#[schemars(inline)]
struct Contact<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    email: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    phone: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "json::as_map")]
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    custom: Vec<(&'a str, CustomMember<'a>)>,
}

/// Any value as a string.
#[derive(Serialize)]
#[serde(untagged)]
enum CustomMember<'a> {
    /// A string, which is passed on.
    Text(&'a RawValue),
    /// The JSON of any other value.
    Json(&'a str),
}

impl<'a> Contact<'a> {
    fn of(metadata: &'a Members<'a>) -> Self {
        let mut contact = Self::default();
        for (name, value) in &metadata.0 {
            let is_text = value.get().starts_with('"');
            match name.as_str() {
                "email" if is_text => contact.email = Some(value),
                "phone" if is_text => contact.phone = Some(value),
                name if is_text => contact.custom.push((name, CustomMember::Text(value))),
                name => contact.custom.push((name, CustomMember::Json(value.get()))),
            }
        }
        contact
    }
}

/// A page of an agent's users. The last one has no `next_cursor`: pagers of existing clients stop only on a falsy
/// one.
#[derive(Serialize, schemars::JsonSchema)]
pub struct AgentUserList<'a> {
    #[schemars(length(max = 500))]
    users: Vec<UserEntry<'a>>,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1))]
    next_cursor: Option<String>,
}

/// Pages in byte order of `user_id`. The cost of a page after a cursor does not depend on its depth.
pub async fn list(
    exchange: &mut Exchange<'_, impl Runtime>,
    holder: &KeyHolder,
    mut input: Input<'_>,
) -> Result<Response, Fault> {
    let PageRequest { limit, offset, cursor } = page_request::read(&mut input.query, "user_id");
    let agent = input.path("agent_id", AgentRef::new);
    let planned = input.complete(agent).map(|agent| (Request::listed(ReadAgent { agent }), ()));
    let (view, ()) = exchange.call(holder, planned).await?;
    let agent_id = view.agent.agent_id;
    let binding = binding(input.caller, agent_id);
    let after = input.cursor(cursor, &binding)?;
    let page = agent_users::page(input.caller, agent_id, after.as_deref(), offset.unwrap_or_default(), limit);
    let texts = exchange.query_listing(&page).await?;
    let (texts, has_more) = page::cut(&texts.rows, limit);
    pages::check_whole(offset, limit, texts.len(), has_more)?;
    let rows = texts.into_iter().map(serde_json::from_str);
    let rows: Vec<AgentUserRow<'_>> = rows.collect::<Result<_, _>>().map_err(internal)?;
    let last = rows.last().filter(|_| has_more);
    let next_cursor = last.map(|row| cursor::encode(row.0.as_str(), &binding, &input.configuration.key_ring));
    let reader = input.reader;
    let users = rows.iter().map(|row| entry(row, agent_id, input.decay(), reader)).collect();
    described(200, Schema::AgentUserList, reader, AgentUserList { users, has_more, next_cursor })
}

fn binding(tenant: Tenant, agent_id: AgentId) -> Binding {
    Binding::new(&[&tenant.to_string(), "agent-users", &agent_id.to_string()])
}

fn entry<'a>(row: &'a AgentUserRow<'a>, agent_id: AgentId, decay: Decay, reader: Reader<'_>) -> UserEntry<'a> {
    let AgentUserRow(user_id, display_name, metadata, relationship) = row;
    let RelationshipEntry(role, created_ms, last_ms, mood) = relationship;
    UserEntry {
        user_id,
        role,
        created_at: Timestamp::from_millis(*created_ms),
        display_name: display_name.as_ref(),
        last_interaction_at: last_ms.map(Timestamp::from_millis),
        metadata: Contact::of(metadata),
        mood: mood.as_ref().map(|mood| EntryMood::of(Mood::from(mood).body(agent_id, user_id, decay), reader)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_entry() {
        let row = r#"["a/b \"🦀\"","Ada \"é\"",{"email":"a@b","phone":7,"n":1e999,"s":"\u00e9","o":{"a":[1,"x"]}},
            ["user",1700000000123,1700000000124,[[250000,0,0,0],[0,0,0,0],[7,7,7,7]]]]"#;
        let row: AgentUserRow<'_> = serde_json::from_str(row).unwrap();
        let agent_id = "07070707-0707-4707-8707-070707070707".parse().unwrap();
        let decay = Decay { now: Timestamp::EPOCH, half_life_ms: 1 };
        assert_eq!(
            serde_json::to_string(&entry(&row, agent_id, decay, Reader::Any)).unwrap(),
            "{\"user_id\":\"a/b \\\"🦀\\\"\",\"role\":\"user\",\"created_at\":\"2023-11-14T22:13:20.123Z\",\
             \"display_name\":\"Ada \\\"é\\\"\",\"last_interaction_at\":\"2023-11-14T22:13:20.124Z\",\
             \"metadata\":{\"email\":\"a@b\",\"custom\":{\"phone\":\"7\",\"n\":\"1e999\",\"s\":\"\\u00e9\",\
             \"o\":\"{\\\"a\\\":[1,\\\"x\\\"]}\"}},\"mood\":{\
             \"agent_id\":\"07070707-0707-4707-8707-070707070707\",\"user_id\":\"a/b \\\"🦀\\\"\",\"valence\":0.25,\
             \"arousal\":0.0,\"tension\":0.0,\"affiliation\":0.0,\"baseline_valence\":0.0,\"baseline_arousal\":0.0,\
             \"baseline_tension\":0.0,\"baseline_affiliation\":0.0,\"label\":\"happy\",\
             \"created_at\":\"1970-01-01T00:00:00.007Z\",\"updated_at\":\"1970-01-01T00:00:00.007Z\",\
             \"last_decay_at\":\"1970-01-01T00:00:00.007Z\",\"last_interaction_at\":\"1970-01-01T00:00:00.007Z\"}}"
        );
    }

    #[test]
    fn a_mood_has_the_users_baselines_for_the_client_that_requires_them() {
        let row = r#"["a",null,{},["user",0,null,[[1,2,3,4],[250000,-250000,500000,-500000],[7,7,7,7]]]]"#;
        let row: AgentUserRow<'_> = serde_json::from_str(row).unwrap();
        let agent_id = "07070707-0707-4707-8707-070707070707".parse().unwrap();
        let decay = Decay { now: Timestamp::EPOCH, half_life_ms: 1 };
        let mood = |user_agent| {
            let reader = Reader::of(Some(user_agent), "https://h");
            let mut entry = serde_json::to_value(entry(&row, agent_id, decay, reader)).unwrap();
            entry["mood"].as_object_mut().unwrap().clone()
        };
        let mut required = mood("sonzai-python/1.5.3");
        for (level, expected) in [("valence", 0.25), ("arousal", -0.25), ("tension", 0.5), ("affiliation", -0.5)] {
            assert_eq!(required.remove(&format!("user_baseline_{level}")), Some(expected.into()), "{level}");
        }
        assert_eq!(required.len(), 15);
        for user_agent in ["sonzai-python/1.5.2", "curl/8.5.0"] {
            assert_eq!(mood(user_agent), required, "{user_agent}");
        }
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let row: AgentUserRow<'_> = serde_json::from_str(r#"["a",null,{},["user",0,null,null]]"#).unwrap();
        let agent_id = "07070707-0707-4707-8707-070707070707".parse().unwrap();
        let entry = entry(&row, agent_id, Decay { now: Timestamp::EPOCH, half_life_ms: 1 }, Reader::Any);
        assert_eq!(
            serde_json::to_string(&entry).unwrap(),
            r#"{"user_id":"a","role":"user","created_at":"1970-01-01T00:00:00.000Z","metadata":{}}"#
        );
    }

    /// The bound by which a page is cut: see [`crate::projection::listing::agent_users`].
    #[test]
    fn an_entry_is_at_most_twice_as_long_as_its_row_and_a_little_more() {
        let quotes = "\\\"".repeat(8_000);
        let mood = "[[-1000000,-999999,-999999,-999999],[-999999,-999999,-999999,-999999],[9,9,9,9]]";
        for metadata in [
            "{}".to_owned(),
            format!("{{\"o\":{{\"q\":\"{quotes}\"}}}}"),
            format!("{{\"email\":\"{quotes}\",\"phone\":\"{quotes}\"}}"),
            format!("{{{}}}", (0..2_000).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(",")),
        ] {
            for text in ["a".to_owned(), "\\\"".repeat(255), "🦀".repeat(255)] {
                let row = format!("[\"{text}\",\"{text}\",{metadata},[\"user\",1700000000123,1700000000124,{mood}]]");
                let read: AgentUserRow<'_> = serde_json::from_str(&row).unwrap();
                let agent_id = "07070707-0707-4707-8707-070707070707".parse().unwrap();
                let decay = Decay { now: Timestamp::EPOCH, half_life_ms: 1 };
                let reader = Reader::of(Some("sonzai-python/1.8.0"), "");
                let entry = serde_json::to_string(&entry(&read, agent_id, decay, reader)).unwrap();
                assert!(entry.len() < 2 * row.len() + 1_000, "{} of {}", entry.len(), row.len());
            }
        }
    }
}
