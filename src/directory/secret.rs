//! Secrets, and the message authentication codes made with them.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::refusal::Refusal;

/// The shortest secret, in bytes. HMAC-SHA256 has its full strength only with a key that is at least as long as
/// the hash (RFC 2104, section 3).
pub const SECRET_BYTES_MIN: usize = 32;

/// A secret whose text never appears in a log: it has no `Display`, and its `Debug` reveals nothing.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Result<Self, Refusal> {
        if text.len() < SECRET_BYTES_MIN {
            return Err(Refusal::new("a secret must have at least 32 characters"));
        }
        Ok(Self(text))
    }

    /// HMAC-SHA256 over a purpose, a zero byte and a message. Codes of one purpose are invalid for another.
    pub fn authenticate(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        // HMAC accepts a key of any length (RFC 2104), so this never fails.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return [0; 32] };
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Compares with a text in a time that reveals neither where they differ nor the length of the secret.
    pub fn equals(&self, text: &str) -> bool {
        Sha256::digest(self.0.as_bytes()).ct_eq(&Sha256::digest(text.as_bytes())).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// The current secret and, during a rotation, the previous one.
#[derive(Debug, Clone)]
pub struct KeyRing {
    pub current: Secret,
    pub previous: Option<Secret>,
}

impl KeyRing {
    /// Whether a check holds for either secret. It always tries both, so that the time does not reveal which one
    /// is right.
    pub fn any(&self, check: impl Fn(&Secret) -> bool) -> bool {
        let current = check(&self.current);
        let previous = self.previous.as_ref().is_some_and(check);
        current | previous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let ring = KeyRing { current: Secret::new("x".repeat(32)).unwrap(), previous: None };
        assert_eq!(format!("{ring:?}"), "KeyRing { current: Secret, previous: None }");
        assert!(Secret::new("x".repeat(31)).is_err());
    }

    #[test]
    fn codes_depend_on_purpose_and_message() {
        let secret = Secret::new("x".repeat(32)).unwrap();
        let code = secret.authenticate("a", b"bc");
        assert_eq!(code, secret.authenticate("a", b"bc"));
        assert_ne!(code, secret.authenticate("ab", b"c"));
        assert_ne!(code, secret.authenticate("a", b"bd"));
        assert!(secret.equals(&"x".repeat(32)) && !secret.equals(&"x".repeat(33)));
    }
}
