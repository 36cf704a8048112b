//! Calls and replies as bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Leads every message.
const VERSION: u8 = 2;

/// A message of another build, or a damaged one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableMessage(String);

impl std::fmt::Display for UnreadableMessage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "a message between edge and object does not read: {}", self.0)
    }
}

impl std::error::Error for UnreadableMessage {}

/// Writes a message.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, UnreadableMessage> {
    postcard::to_extend(message, vec![VERSION]).map_err(|error| UnreadableMessage(error.to_string()))
}

/// Reads a message that a build of the same version wrote.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, UnreadableMessage> {
    match bytes.split_first() {
        Some((&VERSION, message)) => {
            postcard::from_bytes(message).map_err(|error| UnreadableMessage(error.to_string()))
        }
        _ => Err(UnreadableMessage("it is of another version".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::end_user::Version;
    use crate::directory::identifiers::RequestId;
    use crate::directory::metadata::Metadata;
    use crate::directory::names::UserId;
    use crate::directory::timestamp::Timestamp;
    use crate::json;
    use crate::organization::protocol::call::{Call, Caller};
    use crate::organization::protocol::command::Command;
    use crate::organization::protocol::end_users::NewEndUser;
    use crate::organization::protocol::relationships::Shown;
    use crate::organization::protocol::reply::{Outcome, Reply};

    /// Two builds exchange these bytes during a deployment: a change of them needs another
    /// [`VERSION`].
    #[test]
    fn golden_call_and_reply() {
        let hexadecimal = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let call = Call {
            request_id: RequestId::new(Timestamp::from_millis(1), [2; 10]),
            repeated: false,
            caller: Caller::Operator,
            idempotency: None,
            command: Command::CreateEndUser(NewEndUser {
                user_id: UserId::new("ada").unwrap(),
                display_name: None,
                metadata: Metadata::default(),
            }),
        };
        let bytes = encode(&call).unwrap();
        assert_eq!(hexadecimal(&bytes), "0282848890a0c0808182848808000100010361646100027b7d");
        assert!(matches!(decode::<Call>(&bytes).unwrap().command, Command::CreateEndUser(_)));
        let shown = Shown { relationships: vec![json::Text::of(&1).unwrap()], has_more: false };
        let outcome =
            Outcome::EndUserRead { version: Version::of_sequence(300), document: json::Text::of(&2).unwrap(), shown };
        let bytes = encode(&Reply::new(None, outcome)).unwrap();
        assert_eq!(hexadecimal(&bytes), "020005d8040132010131000000");
        assert!(matches!(decode::<Reply>(&bytes).unwrap().outcome, Outcome::EndUserRead { .. }));
    }

    #[test]
    fn a_damaged_or_foreign_message_is_refused() {
        let bytes = encode(&Reply::new(None, Outcome::NotFound)).unwrap();
        assert!(decode::<Reply>(&bytes).is_ok());
        for length in 0..bytes.len() {
            assert!(decode::<Reply>(&bytes[..length]).is_err());
        }
        let other = [&[VERSION + 1], &bytes[1..]].concat();
        assert!(decode::<Reply>(&other).unwrap_err().to_string().contains("another version"));
        assert!(decode::<Reply>(&[VERSION, 0, 200]).is_err(), "an unknown variant");
    }
}
