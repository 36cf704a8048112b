//! Audits in calls and replies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

use super::settings::Settings;
use crate::directory::timestamp::Timestamp;

#[derive(Debug, Serialize, Deserialize)]
pub struct StartAudit {
    pub settings: Settings,
    /// The operator asks for it, and so does not trust what the stores hold. Then it begins an epoch of the copies too,
    /// and looks at KV.
    pub is_repair: bool,
}

/// The arguments of `Command::ReadAudit`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ReadAudit;

/// The phases of an audit, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr, EnumString)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Phase")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum AuditPhase {
    /// Compare the position of the listing with the object's.
    Fence,
    /// Compare every user of the object with both projections.
    Users,
    /// Remove rows of the listing that belong to no user.
    Listing,
    /// Remove records of the cache that belong to no user.
    Cache,
}

impl AuditPhase {
    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Fence => Some(Self::Users),
            Self::Users => Some(Self::Listing),
            Self::Listing => Some(Self::Cache),
            Self::Cache => None,
        }
    }
}

/// How many records of a projection differed and were repaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Differences {
    /// The projection lacked the record.
    pub missing: i64,
    /// The record differed from the object's.
    pub outdated: i64,
    /// The object has no such user, or is erasing them.
    pub foreign: i64,
}

/// What an audit has found so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AuditReport {
    /// What the audit compares now; `null` when the audit is completed.
    pub phase: Option<AuditPhase>,
    pub started_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    #[serde(rename = "users_compared")]
    pub users: i64,
    /// The listing was at a position that the object never set: it was lost or restored.
    #[serde(rename = "listing_fence_reset")]
    pub fence_reset: bool,
    pub listing: Differences,
    pub cache: Differences,
}
