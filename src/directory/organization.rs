//! An organization's settings: its names and its limits.

use serde::{Deserialize, Deserializer, Serialize};

use super::identifiers::OrganizationId;
use super::names::Name;
use super::placement::LocationHint;
use super::quota::Component;
use super::timestamp::Timestamp;
use crate::refusal::Refusal;

/// The highest sustained rate, in requests per second. It is no limit in effect, as one object serves about
/// 1,000 requests per second.
pub const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;
/// The largest bucket, in requests.
pub const BURST_MAX: u32 = 10_000_000;
/// The highest quota. It is far below 2^53, from where JSON readers may lose precision.
pub const QUOTA_MAX: u64 = 1_000_000_000_000;

/// The default for [`Limits::end_users`].
pub const END_USERS_DEFAULT: u64 = 1_000_000;
/// The default for [`Limits::storage_bytes`]. An object has 10 GB
/// (<https://developers.cloudflare.com/durable-objects/platform/limits/>), and so has the database that all
/// organizations share.
pub const STORAGE_BYTES_DEFAULT: u64 = 1_000_000_000;

/// The greatest age of an answer from nearby, and the default, in seconds.
pub const EDGE_STALE_S_MAX: u32 = 5;

/// The limits of one mode of an organization. Both modes have the same limits and are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Limits {
    /// The sustained rate, 1 to 1,000,000, in requests per second.
    pub requests_per_second: u32,
    /// The requests that a full bucket admits at once, 1 to 10,000,000.
    pub burst: u32,
    /// The turns of a billing period, 0 to 1,000,000,000,000.
    pub turns_per_period: u64,
    /// The active relationships of a billing period, 0 to 1,000,000,000,000.
    pub active_relationships: u64,
    /// How old an answer from nearby may be, 0 to 5, in seconds. 0 switches reads at the edge off.
    #[serde(default = "edge_stale_s_default")]
    pub edge_stale_s: u32,
    /// The end users that there are at a time, 0 to 1,000,000,000,000.
    #[serde(default = "end_users_default")]
    pub end_users: u64,
    /// What the records may take, with everything that is kept about them, 0 to 1,000,000,000,000, in bytes.
    #[serde(default = "storage_bytes_default")]
    pub storage_bytes: u64,
    /// The turns of one end user in a billing period, 0 to 1,000,000,000,000. 0 sets no limit.
    #[serde(default)]
    pub turns_per_user: u64,
}

impl Limits {
    /// What a billing period grants of a component.
    pub const fn of(&self, component: Component) -> u64 {
        match component {
            Component::Turns => self.turns_per_period,
            Component::ActiveRelationships => self.active_relationships,
        }
    }

    /// What a billing period grants each end user, in turns; `None` without a limit.
    pub const fn turns_of_user(&self) -> Option<u64> {
        if self.turns_per_user == 0 { None } else { Some(self.turns_per_user) }
    }
}

/// Most relationships of one end user. What happens to all of them is one transaction, and the listing gets all of them
/// at once.
pub const RELATIONSHIPS_OF_USER_MAX: u64 = 5_000;
/// Most agents that one human owns. The request to erase the human leaves all of them without an owner at once.
pub const AGENTS_OF_OWNER_MAX: u64 = 5_000;

/// Something of which there may be only so much. The limits of the organization bound the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Capacity {
    EndUsers,
    Storage,
    RelationshipsOfUser,
    AgentsOfOwner,
}

/// Of an organization that was stored before there was this limit.
const fn edge_stale_s_default() -> u32 {
    EDGE_STALE_S_MAX
}

const fn end_users_default() -> u64 {
    END_USERS_DEFAULT
}

const fn storage_bytes_default() -> u64 {
    STORAGE_BYTES_DEFAULT
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_second: 50,
            burst: 100,
            turns_per_period: 10_000,
            active_relationships: 1_000,
            edge_stale_s: EDGE_STALE_S_MAX,
            end_users: END_USERS_DEFAULT,
            storage_bytes: STORAGE_BYTES_DEFAULT,
            turns_per_user: 0,
        }
    }
}

/// `[a-z0-9](-?[a-z0-9])*`, 2 to 64 characters: an organization's name in URLs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slug(String);

impl Slug {
    pub fn new(text: impl Into<String>) -> Result<Self, Refusal> {
        let text = text.into();
        let characters = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let hyphens = !text.starts_with('-') && !text.ends_with('-') && !text.contains("--");
        if (2..=64).contains(&text.len()) && characters && hyphens {
            Ok(Self(text))
        } else {
            Err(Refusal::new("must have 2 to 64 characters from a-z, 0-9 and single hyphens between them"))
        }
    }

    /// Derives a slug from a name. The end of the id makes it unique.
    pub fn derived(name: &Name, id: OrganizationId) -> Result<Self, Refusal> {
        let mut slug = String::new();
        for character in name.as_str().chars().take(48) {
            if character.is_ascii_alphanumeric() {
                slug.push(character.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        let id = id.to_string().to_ascii_lowercase();
        let end = id.get(id.len().saturating_sub(8)..).unwrap_or_default();
        let separator = if slug.is_empty() || slug.ends_with('-') { "" } else { "-" };
        Self::new(format!("{slug}{separator}{end}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// An organization, as the admin API shows it.
// The listing database holds this form too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Organization {
    pub id: OrganizationId,
    pub name: Name,
    pub slug: Slug,
    pub clerk_org_id: Option<String>,
    /// Where the organization's objects were to be made.
    #[serde(default)]
    pub location: Option<LocationHint>,
    pub limits: Limits,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stored form. A change of it needs a plan for the records that are stored already.
    #[test]
    fn golden_form() {
        let organization = Organization {
            id: "01HF7YAT00041061050R3GG28A".parse().unwrap(),
            name: Name::new("Acme \"é\"").unwrap(),
            slug: Slug::new("acme").unwrap(),
            clerk_org_id: Some("org_1".to_owned()),
            location: Some(LocationHint::Weur),
            limits: Limits { turns_per_period: QUOTA_MAX, ..Limits::default() },
            version: 3,
            created_at: Timestamp::from_millis(1_700_000_000_123),
            updated_at: Timestamp::LAST,
        };
        let text = serde_json::to_string(&organization).unwrap();
        assert_eq!(
            text,
            "{\"id\":\"01HF7YAT00041061050R3GG28A\",\"name\":\"Acme \\\"é\\\"\",\"slug\":\"acme\",\
             \"clerk_org_id\":\"org_1\",\"location\":\"weur\",\"limits\":{\"requests_per_second\":50,\"burst\":100,\
             \"turns_per_period\":1000000000000,\"active_relationships\":1000,\"edge_stale_s\":5,\"end_users\":1000000,\
             \"storage_bytes\":1000000000,\"turns_per_user\":0},\"version\":3,\
             \"created_at\":\"2023-11-14T22:13:20.123Z\",\"updated_at\":\"9999-12-31T23:59:59.999Z\"}"
        );
        assert_eq!(serde_json::from_str::<Organization>(&text).unwrap(), organization);
        let earlier = text.replace("\"location\":\"weur\",", "").replace(",\"turns_per_user\":0", "");
        let read = serde_json::from_str::<Organization>(&earlier).unwrap();
        assert_eq!((read.location, read.limits.turns_of_user()), (None, None), "of an earlier build");
        let alone = Organization { clerk_org_id: None, ..organization };
        assert_eq!(serde_json::from_str::<Organization>(&serde_json::to_string(&alone).unwrap()).unwrap(), alone);
        for bad in
            [text.replace("\"burst\":100", "\"burst\":-1"), text.replace("acme", "A"), text.replace("org_1\"", "")]
        {
            assert!(serde_json::from_str::<Organization>(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_name_has_a_slug() {
        let id = OrganizationId::new(Timestamp::from_millis(1_700_000_000_000), [9; 10]);
        for (name, slug) in
            [("Ada & Co.", "ada-co-144gj289"), ("日本", "144gj289"), ("--", "144gj289"), ("x", "x-144gj289")]
        {
            assert_eq!(Slug::derived(&Name::new(name).unwrap(), id).unwrap().as_str(), slug);
        }
        assert!(Slug::derived(&Name::new("a".repeat(255)).unwrap(), id).is_ok());
    }

    #[test]
    fn slugs() {
        for good in ["ab", "a-b", "0-9-x", &"a".repeat(64)] {
            assert!(Slug::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-ab", "ab-", "a--b", "A-b", "a b", "é-é", &"a".repeat(65)] {
            assert!(Slug::new(bad).is_err(), "{bad}");
        }
    }
}
