//! Principals: end users and agents in one form. A human is an end user, and an agent is an agent.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strum::{IntoStaticStr, VariantArray};
use uuid::Uuid;

use super::end_user::EndUser;
use super::identifiers::{RequestId, written_forms};
use super::metadata::Metadata;
use super::names::Name;
use super::timestamp::Timestamp;
use crate::refusal::Refusal;

/// A principal: a UUID of version 7 (RFC 9562, section 5.7). Ids sort by the time of their making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalId(Uuid);

impl PrincipalId {
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(now.millis()).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The id of a human that a request makes. It is derived from the request's id, which has 80 random bits,
    /// so that making an end user needs no further random bytes.
    pub fn of_human(now: Timestamp, request_id: RequestId, user_id_digest: &str) -> Self {
        let digest = Sha256::digest(format!("{request_id} {user_id_digest}"));
        Self::new(now, digest.first_chunk().copied().unwrap_or_default())
    }
}

/// Reads only the printed spelling: 36 characters in lower case with hyphens.
impl FromStr for PrincipalId {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let read = Uuid::try_parse(text).ok().map(Self).filter(|id| id.to_string() == text);
        read.ok_or_else(|| Refusal::new("must be a UUID in lower case with hyphens"))
    }
}

written_forms!(PrincipalId, Uuid::from_u128, Uuid::as_u128);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum PrincipalType {
    Human,
    Agent,
}

/// A principal, as dialect 3 shows it.
// Without `created`, which depends on the request. Kept answers hold this form too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Principal {
    pub id: PrincipalId,
    /// An agent that has none shows its name, because the clients of this dialect expect a text.
    pub external_id: Name,
    pub r#type: PrincipalType,
    /// A human's display name, or the user id if there is none.
    pub name: Name,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub metadata: Metadata,
    /// Always `false`. The clients of this dialect expect the member.
    pub is_temporary: bool,
    /// The human that owns an agent.
    pub owner_principal_id: Option<PrincipalId>,
    /// Always `null`. The clients of this dialect expect the member.
    pub onboarding_session_id: (),
}

impl Principal {
    /// A user as a principal. Fails for a user that no build stores.
    pub fn of_human(id: PrincipalId, user: EndUser) -> Result<Self, Refusal> {
        let EndUser { user_id, display_name, metadata, created_at, updated_at, .. } = user;
        let external_id = Name::new(user_id.as_str())?;
        let name = display_name.unwrap_or_else(|| external_id.clone());
        Ok(Self {
            id,
            external_id,
            r#type: PrincipalType::Human,
            name,
            created_at,
            updated_at,
            metadata,
            is_temporary: false,
            owner_principal_id: None,
            onboarding_session_id: (),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_form() {
        let now = Timestamp::from_millis(1_700_000_000_123);
        let principal = Principal {
            id: PrincipalId::new(now, [7; 10]),
            external_id: Name::new("a/b").unwrap(),
            r#type: PrincipalType::Human,
            name: Name::new("Ada 🦀").unwrap(),
            created_at: now,
            updated_at: now,
            metadata: Metadata::default(),
            is_temporary: false,
            owner_principal_id: None,
            onboarding_session_id: (),
        };
        assert_eq!(
            serde_json::to_string(&principal).unwrap(),
            "{\"id\":\"018bcfe5-687b-7707-8707-070707070707\",\"external_id\":\"a/b\",\"type\":\"human\",\
             \"name\":\"Ada 🦀\",\"created_at\":\"2023-11-14T22:13:20.123Z\",\"updated_at\":\"2023-11-14T22:13:20.123Z\",\
             \"metadata\":{},\"is_temporary\":false,\"owner_principal_id\":null,\"onboarding_session_id\":null}"
        );
    }

    #[test]
    fn ids_sort_by_time_and_those_of_one_request_differ() {
        let [early, late] = [1, 2].map(Timestamp::from_millis);
        assert!(PrincipalId::new(early, [255; 10]).to_string() < PrincipalId::new(late, [0; 10]).to_string());
        let request_id = RequestId::new(early, [1; 10]);
        let of = |digest| PrincipalId::of_human(early, request_id, digest);
        assert_ne!(of("a"), of("b"));
        assert_eq!(of("a"), of("a"));
    }
}
