//! Identifiers that Rollcall makes itself: ULIDs, and the tenant they name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use super::timestamp::Timestamp;
use crate::refusal::Refusal;

/// Length of a ULID in its canonical text form (Crockford base32).
pub const ULID_LENGTH: usize = 26;

/// A ULID in canonical form: 26 upper-case Crockford characters, nothing else.
///
/// The `ulid` crate also reads lower case and the letters I, L, O as digits.
/// An identifier with two spellings would be two cache keys and two log
/// entries for one thing, so only the spelling that we print is read.
fn parse_ulid(text: &str) -> Result<Ulid, Refusal> {
    Ulid::from_string(text)
        .ok()
        .filter(|ulid| ulid.to_string() == text)
        .ok_or_else(|| Refusal::new("must be a ULID of 26 upper-case characters"))
}

macro_rules! ulid_identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// Makes an identifier from the moment of its making and 10 random bytes.
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

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.0.serialize(serializer)
                }
            }
        }

        /// From anything but JSON, whose texts are parsed.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u128::deserialize(deserializer).map(|bits| Self(Ulid(bits)))
            }
        }
    };
}

ulid_identifier! {
    /// One organization: a customer of the operator.
    OrganizationId
}
ulid_identifier! {
    /// One issued key; not the key itself, safe to show and to log.
    KeyId
}
ulid_identifier! {
    /// One HTTP request, made at the edge; `X-Request-Id`, error bodies and the
    /// log line carry the same one.
    RequestId
}
ulid_identifier! {
    /// One erasure; names nobody.
    DeletionId
}
ulid_identifier! {
    /// One pair of an agent and a user.
    RelationshipId
}
ulid_identifier! {
    /// One attempt to apply a batch to a projection.
    BatchId
}

/// Which of an organization's two data sets a key works on.
///
/// They share settings and nothing else: separate objects, separate listings,
/// separate buckets and quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub enum Mode {
    Live,
    Test,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Live, Self::Test];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

impl FromStr for Mode {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| Refusal::new("must be \"live\" or \"test\""))
    }
}

/// One organization in one mode: the unit of isolation.
///
/// Its text form names the Durable Object and is the first column of every
/// listing row: `{organization}/{mode}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tenant {
    pub organization: OrganizationId,
    pub mode: Mode,
}

impl fmt::Display for Tenant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.organization, self.mode.as_str())
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
