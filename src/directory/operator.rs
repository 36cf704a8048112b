//! Named operators, beside the one who has `ADMIN_TOKEN`.
//!
//! A token is `operator_` + the operator's ULID (26) + secret + tag ([`super::sealed`]).
//!
//! Invariant: a text becomes an [`OperatorToken`] only if its tag is right. So the edge refuses forged tokens without
//! asking D1, whose row for the operator grants access.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::identifiers::OperatorId;
use super::names::Name;
use super::sealed;
use super::secret::{KeyRing, Secret};
use super::timestamp::Timestamp;

const HEAD: &str = "operator_";
const PURPOSE: &str = "rollcall operator token v1";

/// A named operator, as the admin API shows it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Operator")]
pub struct NamedOperator {
    pub id: OperatorId,
    /// The secret. Only the answer that makes the operator has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    pub name: Name,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// A date in UTC.
    pub last_used_on: Option<String>,
}

/// A token with a right tag.
#[derive(Clone)]
pub struct OperatorToken {
    text: String,
    id: OperatorId,
}

impl OperatorToken {
    /// Makes a token from 32 random bytes.
    pub fn mint(id: OperatorId, random: [u8; 32], secret: &Secret) -> Self {
        Self { text: sealed::seal(format!("{HEAD}{id}"), random, PURPOSE, secret), id }
    }

    /// Reads a token. `None` does not say what is wrong with it.
    pub fn parse(text: &str, ring: &KeyRing) -> Option<Self> {
        let id = sealed::ulid(text.strip_prefix(HEAD)?)?;
        if !sealed::is_genuine(text, PURPOSE, ring) {
            return None;
        }
        Some(Self { text: text.to_owned(), id: id.parse().ok()? })
    }

    pub const fn id(&self) -> OperatorId {
        self.id
    }

    /// What D1 holds of the token.
    pub fn digest(&self) -> String {
        sealed::digest(&self.text)
    }

    /// The text of the token. Only the response that makes it shows it.
    pub fn reveal(self) -> String {
        self.text
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "OperatorToken({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::api_key::ApiKey;

    fn ring(current: &str, previous: Option<&str>) -> KeyRing {
        let secret = |text: &str| Secret::new(text.repeat(32)).unwrap();
        KeyRing { current: secret(current), previous: previous.map(secret) }
    }

    fn mint(ring: &KeyRing) -> OperatorToken {
        let id = OperatorId::new(Timestamp::from_millis(1_700_000_000_000), [7; 10]);
        OperatorToken::mint(id, [5; 32], &ring.current)
    }

    #[test]
    fn a_token_reads_back_and_no_changed_one_does() {
        let ring = ring("k", None);
        let token = mint(&ring);
        let text = token.clone().reveal();
        let read = OperatorToken::parse(&text, &ring).unwrap();
        assert_eq!((read.id(), read.digest()), (token.id(), token.digest()));
        assert!(ApiKey::parse(&text, &ring).is_none());
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(OperatorToken::parse(&changed, &ring).is_none(), "{changed}");
        }
        for other in ["", "operator_", "operator_é", &text[1..], &text[..text.len() - 1], &format!("{text}A")] {
            assert!(OperatorToken::parse(other, &ring).is_none(), "{other}");
        }
    }

    #[test]
    fn tokens_of_the_previous_secret_hold_until_it_goes() {
        let text = mint(&ring("a", None)).reveal();
        assert!(OperatorToken::parse(&text, &ring("b", Some("a"))).is_some());
        assert!(OperatorToken::parse(&text, &ring("b", None)).is_none());
    }

    #[test]
    fn nothing_of_a_token_is_printed() {
        let token = mint(&ring("k", None));
        assert_eq!(format!("{token:?}"), format!("OperatorToken({})", token.id()));
    }
}
