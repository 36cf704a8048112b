//! Identifiers that Rollcall makes: ULIDs, and the tenant.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use ulid::Ulid;

use super::timestamp::Timestamp;
use crate::refusal::Refusal;

/// The length of a ULID's canonical text (Crockford base32), in characters.
pub const ULID_LENGTH: usize = 26;

/// Reads a ULID in canonical form: 26 upper-case Crockford characters.
///
/// The `ulid` crate also reads lower case, and the letters I, L and O as digits. An identifier with two
/// spellings would have two cache keys and two names in the log, so only the printed spelling is accepted.
fn parse_ulid(text: &str) -> Result<Ulid, Refusal> {
    Ulid::from_string(text)
        .ok()
        .filter(|ulid| ulid.to_string() == text)
        .ok_or_else(|| Refusal::new("must be a ULID of 26 upper-case characters"))
}

/// The forms of an identifier: a text for people and in JSON, and 128 bits in any other format.
macro_rules! written_forms {
    ($name:ident, $of_bits:expr, $bits:expr) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    $bits(&self.0).serialize(serializer)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    return String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom);
                }
                u128::deserialize(deserializer).map(|bits| Self($of_bits(bits)))
            }
        }
    };
}
pub(super) use written_forms;

macro_rules! ulid_identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// Makes an identifier from the current time and 10 random bytes.
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                let mut bytes = [0_u8; 16];
                bytes[6..].copy_from_slice(&random);
                Self(Ulid::from_parts(now.unsigned_millis(), u128::from_be_bytes(bytes)))
            }
        }

        impl FromStr for $name {
            type Err = Refusal;

            fn from_str(text: &str) -> Result<Self, Refusal> {
                parse_ulid(text).map(Self)
            }
        }

        written_forms!($name, Ulid::from, |ulid: &Ulid| ulid.0);
    };
}

ulid_identifier! {
    /// An organization, which is a customer of the operator.
    OrganizationId
}
ulid_identifier! {
    /// An issued key. It is safe to show and to log, as it does not reveal the key.
    KeyId
}
ulid_identifier! {
    /// A named operator. It is safe to show and to log, as it does not reveal the operator's token.
    OperatorId
}
ulid_identifier! {
    /// An HTTP request. The edge makes it, and `X-Request-Id`, error bodies and the log line carry it.
    RequestId
}
ulid_identifier! {
    /// An erasure. It does not reveal the erased person.
    DeletionId
}
impl DeletionId {
    /// The id that stands so many places after this one.
    #[must_use]
    pub fn following(self, places: usize) -> Self {
        Self(Ulid(self.0.0.wrapping_add(places as u128)))
    }
}
ulid_identifier! {
    /// A relationship between an agent and a user.
    RelationshipId
}
ulid_identifier! {
    /// An attempt to apply a batch to a projection.
    BatchId
}

ulid_identifier! {
    /// An event. Every reading of the event has the same one.
    EventId
}

/// One of an organization's two data sets.
///
/// The two share settings only. Each has its own object, listing, bucket and quotas.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", const_into_str)]
pub enum Mode {
    Live,
    Test,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Live, Self::Test];
}

/// An organization in one mode: the unit of isolation.
///
/// Its text, `{organization}/{mode}`, names the Durable Object and is the first column of every listing row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tenant {
    pub organization: OrganizationId,
    pub mode: Mode,
}

impl fmt::Display for Tenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.organization, self.mode.into_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ulid_has_one_spelling() {
        let id = OrganizationId::new(Timestamp::from_millis(1_700_000_000_000), [7; 10]);
        let text = id.to_string();
        assert_eq!(text.len(), ULID_LENGTH);
        assert_eq!(text.parse::<OrganizationId>(), Ok(id));
        assert!(text.to_lowercase().parse::<OrganizationId>().is_err());
        assert!("".parse::<OrganizationId>().is_err());
        assert!("8ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<OrganizationId>().is_err());
    }

    #[test]
    fn a_tenant_is_named_by_organization_and_mode() {
        let organization = OrganizationId::new(Timestamp::from_millis(0), [0; 10]);
        let tenant = Tenant { organization, mode: Mode::Test };
        assert_eq!(tenant.to_string(), "00000000000000000000000000/test");
    }
}
