//! Agents, with which people talk.

use serde::{Deserialize, Serialize};

use super::metadata::Metadata;
use super::names::{Name, UserId};
use super::timestamp::Timestamp;
use crate::refusal::Refusal;

/// An agent is a principal, so its id is a principal id.
pub use super::principal::PrincipalId as AgentId;

/// How a caller names an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentRef {
    Id(AgentId),
    /// If several agents have the name, it names none of them.
    Name(Name),
}

impl AgentRef {
    /// A UUID names an agent by id. Any other text names it by name.
    pub fn new(text: String) -> Result<Self, Refusal> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => Name::new(text).map(Self::Name),
        }
    }
}

/// An agent, as dialect 2 shows it.
// Kept answers hold this form too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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
            agent_id: AgentId::new(Timestamp::from_millis(1_700_000_000_123), [7; 10]),
            name: Name::new("Ada/Bob 🦀").unwrap(),
            external_id: None,
            metadata: Metadata::default(),
            created_at: Timestamp::from_millis(1_700_000_000_123),
            updated_at: Timestamp::from_millis(1_700_000_000_123),
        };
        assert_eq!(
            serde_json::to_string(&agent).unwrap(),
            "{\"agent_id\":\"018bcfe5-687b-7707-8707-070707070707\",\"name\":\"Ada/Bob 🦀\",\"external_id\":null,\
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
