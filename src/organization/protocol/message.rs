//! Calls and replies as bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Leads every message.
const VERSION: u8 = 3;

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
    use crate::organization::protocol::command::Answer;
    use crate::organization::protocol::reply::Reply;

    #[test]
    fn a_damaged_or_foreign_message_is_refused() {
        let bytes = encode(&Reply::new(None, Ok(Answer::Admit(())))).unwrap();
        assert!(decode::<Reply>(&bytes).is_ok());
        for length in 0..bytes.len() {
            assert!(decode::<Reply>(&bytes[..length]).is_err());
        }
        let other = [&[VERSION + 1], &bytes[1..]].concat();
        assert!(decode::<Reply>(&other).unwrap_err().to_string().contains("another version"));
        assert!(decode::<Reply>(&[VERSION, 0, 0, 200]).is_err(), "an unknown answer");
    }
}
