//! Cursors. A cursor says where a page ended, and the caller sends it to get the next page.
//!
//! Invariant: a cursor is accepted only for the list that it was made for, with the same tenant, order and
//! filters. All of them go into a message authentication code. So a cursor cannot be forged or used for
//! another tenant, and it holds only the last row's key.
//!
//! Layout before URL-safe base64: version (1 byte) ‖ code (12 bytes) ‖ key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::secret::{KeyRing, Secret};
use crate::refusal::Refusal;

const VERSION: u8 = 2;
/// 96 bits, which no caller can guess against a rate-limited API.
const CODE_BYTES: usize = 12;
const PURPOSE: &str = "rollcall cursor v2";

/// The longest cursor that is read, in characters. A key of a timestamp and 255 four-byte characters fits.
const CURSOR_CHARACTERS_MAX: usize = 2_048;

/// The list that a cursor is bound to, as bytes that no two lists share.
pub struct Binding(Vec<u8>);

impl Binding {
    /// The number of the parts stands first, and the length of each part before it. So different parts give
    /// different bytes, whatever key follows them.
    pub fn new(parts: &[&str]) -> Self {
        let mut bytes = (parts.len() as u64).to_be_bytes().to_vec();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        Self(bytes)
    }

    fn code(&self, key: &str, secret: &Secret) -> [u8; CODE_BYTES] {
        let mut message = self.0.clone();
        message.extend_from_slice(key.as_bytes());
        let full = secret.authenticate(PURPOSE, &message);
        full.first_chunk().copied().unwrap_or_default()
    }
}

/// Writes the cursor for the page after the row with this key.
pub fn encode(key: &str, binding: &Binding, ring: &KeyRing) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&binding.code(key, &ring.current));
    bytes.extend_from_slice(key.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads the key of the row with which the last page ended.
pub fn decode(cursor: &str, binding: &Binding, ring: &KeyRing) -> Result<String, Refusal> {
    let refusal = || {
        Refusal::new(
            "the cursor is not one that this list gave out; pass next_cursor unchanged, with the same order and filters",
        )
    };
    if cursor.len() > CURSOR_CHARACTERS_MAX {
        return Err(refusal());
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refusal())?;
    let (version, rest) = bytes.split_first().ok_or_else(refusal)?;
    let (code, key) = rest.split_at_checked(CODE_BYTES).ok_or_else(refusal)?;
    let key = std::str::from_utf8(key).map_err(|_| refusal())?;
    let genuine = ring.any(|secret| subtle::ConstantTimeEq::ct_eq(binding.code(key, secret).as_slice(), code).into());
    if *version == VERSION && genuine { Ok(key.to_owned()) } else { Err(refusal()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(text: &str) -> KeyRing {
        KeyRing { current: Secret::new(text.repeat(32)).unwrap(), previous: None }
    }

    #[test]
    fn golden_cursor() {
        let binding = Binding::new(&["tenant", "end-users"]);
        assert_eq!(encode("ada", &binding, &ring("k")), "Ap_4y6JLyMfkmAyyEGFkYQ");
    }

    #[test]
    fn a_cursor_reads_back_only_where_it_was_made() {
        let ring = ring("k");
        let binding = Binding::new(&["tenant", "end-users", "asc", ""]);
        for key in ["a", "a/b", "🦀", &"\u{10FFFF}".repeat(255), "1700000000000 x"] {
            let cursor = encode(key, &binding, &ring);
            assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            assert!(cursor.len() <= CURSOR_CHARACTERS_MAX);
            assert_eq!(decode(&cursor, &binding, &ring).as_deref(), Ok(key));
            for other in [
                ["tenant2", "end-users", "asc", ""],
                ["tenant", "agents", "asc", ""],
                ["tenant", "end-users", "desc", ""],
                ["tenant", "end-users", "asc", "a"],
                ["tenante", "nd-users", "asc", ""],
            ] {
                assert!(decode(&cursor, &Binding::new(&other), &ring).is_err());
            }
            assert!(decode(&cursor, &binding, &self::ring("x")).is_err());
        }
    }

    #[test]
    fn a_cursor_has_at_most_2048_characters() {
        let (ring, binding) = (ring("k"), Binding::new(&["tenant"]));
        let longest = encode(&"x".repeat(1_523), &binding, &ring);
        assert_eq!(longest.len(), CURSOR_CHARACTERS_MAX);
        assert!(decode(&longest, &binding, &ring).is_ok());
        assert!(decode(&encode(&"x".repeat(1_524), &binding, &ring), &binding, &ring).is_err());
    }

    #[test]
    fn no_changed_cursor_is_accepted() {
        let ring = ring("k");
        let binding = Binding::new(&["tenant"]);
        let cursor = encode("some key", &binding, &ring);
        let bytes = URL_SAFE_NO_PAD.decode(&cursor).unwrap();
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[index] ^= 1 << bit;
                assert!(decode(&URL_SAFE_NO_PAD.encode(changed), &binding, &ring).is_err());
            }
        }
        for length in 0..cursor.len() {
            assert!(decode(&cursor[..length], &binding, &ring).is_err());
        }
        for odd in ["", "=", "🦀", " ", &"A".repeat(5000)] {
            assert!(decode(odd, &binding, &ring).is_err());
        }
    }
}
