//! Secrets, and the message authentication codes made with them.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::refusal::Refusal;

/// Shortest secret, in bytes: what HMAC-SHA256 needs for its full strength
/// (RFC 2104, section 3: not less than the length of the hash).
pub const SECRET_BYTES_MIN: usize = 32;

/// A secret whose text never appears in a log: it has no `Display`, and its
/// `Debug` says nothing.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Result<Self, Refusal> {
        if text.len() < SECRET_BYTES_MIN {
            return Err(Refusal::new("a secret must have at least 32 characters"));
        }
        Ok(Self(text))
    }

    /// HMAC-SHA256 over a purpose and a message. The purpose keeps codes of one
    /// kind from being taken for another; a zero byte ends it.
    pub fn authenticate(&self, purpose: &str, message: &[u8]) -> [u8; 32] {
        // A key of any length is accepted (RFC 2104), so the fallback is never taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return [0; 32] };
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Compares with a text in a time that tells neither where they differ nor
    /// how long the secret is.
    pub fn equals(&self, text: &str) -> bool {
        Sha256::digest(self.0.as_bytes()).ct_eq(&Sha256::digest(text.as_bytes())).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// The secret in force, and the one before it while a rotation lasts.
#[derive(Debug, Clone)]
pub struct KeyRing {
    pub current: Secret,
    pub previous: Option<Secret>,
}

impl KeyRing {
    /// Whether a check holds for either secret. Both are always tried, so that
    /// the time does not tell which one was right.
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
