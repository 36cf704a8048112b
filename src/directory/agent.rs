//! Agents: what people talk with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::Refusal;
use super::metadata::Metadata;
use super::names::{Name, UserId};
use super::timestamp::Timestamp;

/// One agent: a UUID (RFC 9562), version 4, made by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AgentId(Uuid);

impl AgentId {
    pub fn new(random: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(random).into_uuid())
    }
}

/// Only the spelling that we print: 36 characters, lower case, hyphens.
impl FromStr for AgentId {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let read = Uuid::try_parse(text).ok().map(Self).filter(|id| id.to_string() == text);
        read.ok_or_else(|| Refusal::new("must be a UUID in lower case with hyphens"))
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl Serialize for AgentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.as_u128().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for AgentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u128::deserialize(deserializer).map(|bits| Self(Uuid::from_u128(bits)))
    }
}

/// How a caller names an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentRef {
    Id(AgentId),
    /// Several agents may bear one name; then it names none.
    Name(Name),
}

impl AgentRef {
    /// A text that is a UUID names an agent by id, any other by name.
    pub fn new(text: String) -> Result<Self, Refusal> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => Name::new(text).map(Self::Name),
        }
    }
}

/// The record as dialect 2 shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agent {
    pub agent_id: AgentId,
    pub name: Name,
    pub external_id: Option<UserId>,
    pub metadata: Metadata,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_form() {
        let agent = Agent {
            agent_id: AgentId::new([7; 16]),
            name: Name::new("Ada/Bob 🦀").unwrap(),
            external_id: None,
            metadata: Metadata::default(),
            created_at: Timestamp::from_millis(1_700_000_000_123),
            updated_at: Timestamp::from_millis(1_700_000_000_123),
        };
        assert_eq!(
            serde_json::to_string(&agent).unwrap(),
            "{\"agent_id\":\"07070707-0707-4707-8707-070707070707\",\"name\":\"Ada/Bob 🦀\",\"external_id\":null,\
             \"metadata\":{},\"created_at\":\"2023-11-14T22:13:20.123Z\",\"updated_at\":\"2023-11-14T22:13:20.123Z\"}"
        );
    }

    #[test]
    fn an_id_has_one_spelling_and_anything_else_is_a_name() {
        let id = "07070707-0707-4707-8707-070707070707";
        assert!(matches!(AgentRef::new(id.to_owned()), Ok(AgentRef::Id(found)) if found.to_string() == id));
        for name in [
            "07070707070747078707070707070707",
            "{07070707-0707-4707-8707-070707070707}",
            "Ada",
            "a/b",
            "ABCDEF07-0707-4707-8707-070707070707",
        ] {
            assert!(matches!(AgentRef::new(name.to_owned()), Ok(AgentRef::Name(_))), "{name}");
        }
        assert!(AgentRef::new(String::new()).is_err());
    }
}
