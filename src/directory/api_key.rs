//! API keys, which carry a tag that the edge can check.
//!
//! `{prefix}_{mode}_` + organization ULID (26) + secret + tag ([`super::sealed`]).
//!
//! Invariant: a text becomes an [`ApiKey`] only if its tag is right. So the edge refuses forged keys without
//! asking any store, and a key names the tenant whose object decides about it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use strum::{IntoStaticStr, VariantArray};

use super::identifiers::{Mode, OrganizationId, Tenant};
use super::sealed;
use super::secret::{KeyRing, Secret};
use crate::refusal::Refusal;

const PURPOSE: &str = "rollcall api key v1";

/// `[a-z]{2,12}`: the part of a key that names the product that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyPrefix(String);

impl KeyPrefix {
    pub fn new(text: impl Into<String>) -> Result<Self, Refusal> {
        let text = text.into();
        if (2..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase()) {
            Ok(Self(text))
        } else {
            Err(Refusal::new("must have 2 to 12 letters from a to z"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for KeyPrefix {
    fn default() -> Self {
        Self("sk".to_owned())
    }
}

impl<'de> Deserialize<'de> for KeyPrefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The digest of a whole key. The object stores it and looks keys up by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KeyDigest(String);

impl KeyDigest {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key with a right tag.
#[derive(Clone)]
pub struct ApiKey {
    text: String,
    tenant: Tenant,
}

impl ApiKey {
    /// Makes a key from 32 random bytes.
    pub fn mint(prefix: &KeyPrefix, tenant: Tenant, random: [u8; 32], secret: &Secret) -> Self {
        let head = format!("{}_{}_{}", prefix.as_str(), tenant.mode.into_str(), tenant.organization);
        Self { text: sealed::seal(head, random, PURPOSE, secret), tenant }
    }

    /// Reads a key. `None` does not say what is wrong with it.
    pub fn parse(text: &str, ring: &KeyRing) -> Option<Self> {
        let mut parts = text.splitn(3, '_');
        let (prefix, mode, body) = (parts.next()?, parts.next()?, parts.next()?);
        KeyPrefix::new(prefix).ok()?;
        let mode: Mode = mode.parse().ok()?;
        let organization = sealed::ulid(body)?;
        if !sealed::is_genuine(text, PURPOSE, ring) {
            return None;
        }
        let organization: OrganizationId = organization.parse().ok()?;
        Some(Self { text: text.to_owned(), tenant: Tenant { organization, mode } })
    }

    pub const fn tenant(&self) -> Tenant {
        self.tenant
    }

    pub fn digest(&self) -> KeyDigest {
        KeyDigest(sealed::digest(&self.text))
    }

    /// The text of the key. Only the response that issues the key shows it.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ApiKey({})", self.tenant)
    }
}

/// The header that carries a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum KeyKind {
    /// `Authorization: Bearer`.
    Api,
    /// `X-Assistant-Service-Key`.
    Service,
}

/// The rights of a key. A greater scope has all rights of a smaller one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Hash, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Scope {
    Read,
    ReadWrite,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::timestamp::Timestamp;

    fn ring(current: &str, previous: Option<&str>) -> KeyRing {
        let secret = |text: &str| Secret::new(text.repeat(32)).unwrap();
        KeyRing { current: secret(current), previous: previous.map(secret) }
    }

    fn mint(ring: &KeyRing, seed: u8) -> ApiKey {
        let organization = OrganizationId::new(Timestamp::from_millis(1_700_000_000_000), [seed; 10]);
        let mode = if seed.is_multiple_of(2) { Mode::Live } else { Mode::Test };
        let mut random = [seed; 32];
        random[31] = seed.wrapping_mul(31);
        ApiKey::mint(&KeyPrefix::new("uniq").unwrap(), Tenant { organization, mode }, random, &ring.current)
    }

    #[test]
    fn golden_key() {
        let key = mint(&ring("k", None), 4);
        assert_eq!(key.reveal(), "uniq_live_01HF7YAT000G2081040G2081044kpEMjJKPZfuQAxV0mpEMjJKPZfuQAxVXaV5y4Dt");
    }

    #[test]
    fn every_key_reads_back_and_no_changed_one_does() {
        let ring = ring("k", None);
        for seed in 0..=255 {
            let key = mint(&ring, seed);
            let text = key.reveal();
            let (head, body) = text.rsplit_once('_').unwrap();
            assert!(head == "uniq_live" || head == "uniq_test");
            assert!(body.len() == 66 && body.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let read = ApiKey::parse(text, &ring).unwrap();
            assert_eq!(read.tenant(), key.tenant());
            assert_eq!(read.digest(), key.digest());
            for index in 0..text.len() {
                for replacement in ['A', 'a', '0', '_', 'é'] {
                    let mut changed: Vec<char> = text.chars().collect();
                    if changed[index] == replacement {
                        continue;
                    }
                    changed[index] = replacement;
                    let changed: String = changed.into_iter().collect();
                    assert!(ApiKey::parse(&changed, &ring).is_none(), "{changed}");
                }
            }
        }
    }

    #[test]
    fn a_prefix_has_2_to_12_letters() {
        for (prefix, is_good) in [("a", false), ("ab", true), ("abcdefghijkl", true), ("abcdefghijklm", false)] {
            assert_eq!(KeyPrefix::new(prefix).is_ok(), is_good, "{prefix}");
        }
    }

    #[test]
    fn odd_texts_are_no_keys() {
        let ring = ring("k", None);
        let key = mint(&ring, 4);
        for text in
            ["", "_", "__", "sk_live_", "sk_live", "🦀_live_🦀", &key.reveal()[1..], &format!("{}0", key.reveal())]
        {
            assert!(ApiKey::parse(text, &ring).is_none(), "{text}");
        }
    }

    #[test]
    fn a_rotated_secret_is_accepted_while_it_is_kept() {
        let old = mint(&ring("o", None), 4);
        assert!(ApiKey::parse(old.reveal(), &ring("n", Some("o"))).is_some());
        assert!(ApiKey::parse(old.reveal(), &ring("n", None)).is_none());
    }

    #[test]
    fn a_key_is_never_printed_by_accident() {
        let key = mint(&ring("k", None), 4);
        assert!(!format!("{key:?}").contains(&key.reveal()[40..]));
    }
}
