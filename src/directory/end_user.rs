//! End users. Each (organization, mode, user id) has one row.

use serde::{Deserialize, Serialize};

use super::metadata::Metadata;
use super::names::{Name, UserId};
use super::timestamp::Timestamp;

/// The version of a user or an agent: the number of its last change in the tenant's change log. So a
/// version never comes twice for an id, erased and made again or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Version(i64);

impl Version {
    pub const fn of_sequence(sequence: i64) -> Self {
        Self(sequence)
    }

    pub const fn sequence(self) -> i64 {
        self.0
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Status {
    Active,
    DeletionPending,
}

/// An end user, as dialect 1 shows it.
// The listing, the cache and kept answers hold this form too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct EndUser {
    pub user_id: UserId,
    pub display_name: Option<Name>,
    pub metadata: Metadata,
    pub status: Status,
    pub version: Version,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_interaction_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stored and the sent form. A change of it needs a plan for the records
    /// that are stored already.
    #[test]
    fn golden_form() {
        let user = EndUser {
            user_id: UserId::new("a/b 🦀").unwrap(),
            display_name: None,
            metadata: Metadata::from_stored(r#"{"n":9007199254740993}"#.to_owned()).unwrap(),
            status: Status::Active,
            version: Version::of_sequence(1),
            created_at: Timestamp::from_millis(1_700_000_000_123),
            updated_at: Timestamp::from_millis(1_700_000_000_123),
            last_interaction_at: None,
        };
        let text = serde_json::to_string(&user).unwrap();
        assert_eq!(
            text,
            "{\"user_id\":\"a/b 🦀\",\"display_name\":null,\"metadata\":{\"n\":9007199254740993},\"status\":\"active\",\
             \"version\":1,\"created_at\":\"2023-11-14T22:13:20.123Z\",\"updated_at\":\"2023-11-14T22:13:20.123Z\",\
             \"last_interaction_at\":null}"
        );
    }
}
