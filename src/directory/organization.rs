//! An organization's settings: its names and its limits.

use serde::{Deserialize, Serialize};

use super::identifiers::OrganizationId;
use super::names::Name;
use super::timestamp::Timestamp;
use crate::json::{Unreadable, Value};
use crate::refusal::Refusal;

/// The highest sustained rate, in requests per second. It is no limit in effect, as one object serves about
/// 1,000 requests per second.
pub const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;
/// The largest bucket, in requests.
pub const BURST_MAX: u32 = 10_000_000;
/// The highest quota. It is far below 2^53, from where JSON readers may lose precision.
pub const QUOTA_MAX: u64 = 1_000_000_000_000;

/// The limits of one mode of an organization. Both modes have the same limits and are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Limits {
    /// The sustained rate, 1 to 1,000,000, in requests per second.
    pub requests_per_second: u32,
    /// The requests that a full bucket admits at once, 1 to 10,000,000.
    pub burst: u32,
    /// The turns of a billing period, 0 to 1,000,000,000,000.
    pub turns_per_period: u64,
    /// The active relationships of a billing period, 0 to 1,000,000,000,000.
    pub active_relationships: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_second: 50, burst: 100, turns_per_period: 10_000, active_relationships: 1_000 }
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

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An organization, as the admin API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Organization {
    pub id: OrganizationId,
    pub name: Name,
    pub slug: Slug,
    pub clerk_org_id: Option<String>,
    pub limits: Limits,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Organization {
    /// Reads a record that a store was given.
    pub fn read(document: &str) -> Result<Self, Unreadable> {
        let read = |mut document: Value| {
            let text = |value: Value| value.into_string();
            let instant = |value: Value| Timestamp::parse(&text(value)?).ok();
            let mut limits = document.take("limits");
            let mut limit = |name| limits.take(name).as_u64();
            Some(Self {
                id: text(document.take("id"))?.parse().ok()?,
                name: Name::new(text(document.take("name"))?).ok()?,
                slug: Slug::new(text(document.take("slug"))?).ok()?,
                clerk_org_id: text(document.take("clerk_org_id")),
                limits: Limits {
                    requests_per_second: limit("requests_per_second")?.try_into().ok()?,
                    burst: limit("burst")?.try_into().ok()?,
                    turns_per_period: limit("turns_per_period")?,
                    active_relationships: limit("active_relationships")?,
                },
                version: document.take("version").as_i64()?,
                created_at: instant(document.take("created_at"))?,
                updated_at: instant(document.take("updated_at"))?,
            })
        };
        Value::read(document).ok().and_then(read).ok_or(Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    /// The stored form. A change of it needs a plan for the records that are stored already.
    #[test]
    fn golden_form() {
        let organization = Organization {
            id: "01HF7YAT00041061050R3GG28A".parse().unwrap(),
            name: Name::new("Acme \"é\"").unwrap(),
            slug: Slug::new("acme").unwrap(),
            clerk_org_id: Some("org_1".to_owned()),
            limits: Limits { turns_per_period: QUOTA_MAX, ..Limits::default() },
            version: 3,
            created_at: Timestamp::from_millis(1_700_000_000_123),
            updated_at: Timestamp::LAST,
        };
        let text = json::write(&organization).unwrap();
        assert_eq!(
            text,
            "{\"id\":\"01HF7YAT00041061050R3GG28A\",\"name\":\"Acme \\\"é\\\"\",\"slug\":\"acme\",\
             \"clerk_org_id\":\"org_1\",\"limits\":{\"requests_per_second\":50,\"burst\":100,\
             \"turns_per_period\":1000000000000,\"active_relationships\":1000},\"version\":3,\
             \"created_at\":\"2023-11-14T22:13:20.123Z\",\"updated_at\":\"9999-12-31T23:59:59.999Z\"}"
        );
        assert_eq!(Organization::read(&text), Ok(organization.clone()));
        let alone = Organization { clerk_org_id: None, ..organization };
        assert_eq!(Organization::read(&json::write(&alone).unwrap()), Ok(alone));
        for bad in
            [text.replace("\"burst\":100", "\"burst\":-1"), text.replace("acme", "A"), text.replace("org_1\"", "")]
        {
            assert_eq!(Organization::read(&bad), Err(Unreadable), "{bad}");
        }
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
