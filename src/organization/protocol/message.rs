//! Calls and replies as bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// Leads every message.
pub const VERSION: u8 = 6;

/// Writes a message.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    postcard::to_extend(message, vec![VERSION]).map_err(unreadable)
}

/// Reads a message that a build of the same version wrote.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    match bytes.split_first() {
        Some((&VERSION, message)) => postcard::from_bytes(message).map_err(unreadable),
        _ => Err(unreadable("it is of another version")),
    }
}

/// The reason why a message does not read: it is of another build, or damaged.
fn unreadable(reason: impl std::fmt::Display) -> Refusal {
    Refusal::new(format!("a message between edge and object does not read: {reason}"))
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
