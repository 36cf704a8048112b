//! Texts that callers choose: user ids and names.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use crate::refusal::Refusal;

/// The longest user id, external id or name, in characters (Unicode scalar values).
pub const NAME_CHARACTERS_MAX: usize = 255;

fn check(text: &str) -> Result<(), Refusal> {
    let length = text.chars().take(NAME_CHARACTERS_MAX + 1).count();
    if length == 0 || length > NAME_CHARACTERS_MAX {
        return Err(Refusal::new("must have 1 to 255 characters"));
    }
    // `is_control` covers the general category Cc: C0, DEL and C1.
    if text.chars().any(char::is_control) {
        return Err(Refusal::new("must not contain control characters"));
    }
    Ok(())
}

/// The caller's own id of an end user: 1 to 255 characters without control characters. Ids are compared byte
/// by byte and never normalised.
///
/// `.` and `..` are refused. Every URL parser removes them from a path, even percent-encoded (WHATWG URL,
/// "double-dot path segment"), so such a user could be created and never be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct UserId(String);

impl UserId {
    pub fn new(text: impl Into<String>) -> Result<Self, Refusal> {
        let text = text.into();
        check(&text)?;
        if text == "." || text == ".." {
            return Err(Refusal::new("must not be \".\" or \"..\""));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-256 in URL-safe base64, 43 characters. It stands for the id in an index key that outlives its row,
    /// and in a KV key, which has at most 512 bytes.
    pub fn digest(&self) -> String {
        digest(&self.0)
    }
}

/// [`UserId::digest`] of a text that may not be a valid user id.
pub fn digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()))
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The name of a user, an agent, an organization or a key: 1 to 255 characters without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Name(String);

impl Name {
    pub fn new(text: impl Into<String>) -> Result<Self, Refusal> {
        let text = text.into();
        check(&text)?;
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It stands for the name in an index key, which outlives its row.
    pub fn digest(&self) -> String {
        digest(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The first characters of user ids to list. Unlike a user id it may be `.` or `..`, which are harmless in a
/// query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserIdPrefix(String);

impl UserIdPrefix {
    pub fn new(text: impl Into<String>) -> Result<Self, Refusal> {
        let text = text.into();
        check(&text)?;
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The smallest text above every text with this prefix, in byte order. `None` if the prefix has only
    /// U+10FFFF, as no character follows it.
    pub fn successor(&self) -> Option<String> {
        let mut characters: Vec<char> = self.0.chars().collect();
        while let Some(last) = characters.pop() {
            let next = match last {
                char::MAX => continue,
                // The code points between these two are surrogates and no characters.
                '\u{D7FF}' => Some('\u{E000}'),
                _ => char::from_u32(u32::from(last).saturating_add(1)),
            };
            characters.extend(next);
            return Some(characters.into_iter().collect());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_count_characters_not_bytes() {
        assert!(UserId::new("🦀".repeat(255)).is_ok());
        assert!(UserId::new("🦀".repeat(256)).is_err());
        assert!(UserId::new("").is_err());
    }

    #[test]
    fn user_ids_that_no_path_can_carry_are_refused() {
        for bad in [".", "..", "a\0b", "a\nb", "a\u{7f}b", "a\u{85}b"] {
            assert!(UserId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["...", "a/b", "100%", " ", "a b", "ü", "u\u{308}", "🦀"] {
            assert!(UserId::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_prefix_is_followed_by_its_successor() {
        let successor = |text: &str| UserIdPrefix::new(text).unwrap().successor();
        assert_eq!(successor("ab").as_deref(), Some("ac"));
        assert_eq!(successor("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(successor("\u{D7FF}").as_deref(), Some("\u{E000}"));
        assert_eq!(successor("\u{10FFFF}\u{10FFFF}"), None);
    }
}
