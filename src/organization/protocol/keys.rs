//! API keys in calls and replies.

use super::settings::Settings;
use crate::directory::api_key::{KeyDigest, KeyKind, KeyPrefix, Scope};
use crate::directory::identifiers::KeyId;
use crate::directory::names::Name;
use crate::directory::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// A stored key. It holds nothing that authenticates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyRecord {
    pub key_id: KeyId,
    pub kind: KeyKind,
    pub scope: Scope,
    pub prefix: KeyPrefix,
    pub name: Name,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// The start of the UTC day of the last use. A day is precise enough to find unused keys, and costs one write
    /// a day.
    pub last_used_on: Option<Timestamp>,
}

/// A key to store, with the settings that it needs.
#[derive(Debug, Serialize, Deserialize)]
pub struct IssueKey {
    pub settings: Settings,
    pub digest: KeyDigest,
    pub key: KeyRecord,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ListKeys {
    pub after: Option<KeyId>,
    pub limit: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RevokeKey {
    pub key_id: KeyId,
}
