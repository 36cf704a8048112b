//! What an audit reports.

use crate::directory::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// What an audit is busy with, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "Phase"))]
pub enum AuditPhase {
    /// Whether the listing stands where the object believes.
    Fence,
    /// Whether both projections hold every user, as they are.
    Users,
    /// Whether the listing holds nobody else.
    Listing,
    /// Whether the cache holds nobody else.
    Cache,
}

impl AuditPhase {
    pub const ALL: [Self; 4] = [Self::Fence, Self::Users, Self::Listing, Self::Cache];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fence => "fence",
            Self::Users => "users",
            Self::Listing => "listing",
            Self::Cache => "cache",
        }
    }

    pub const fn next(self) -> Option<Self> {
        match self {
            Self::Fence => Some(Self::Users),
            Self::Users => Some(Self::Listing),
            Self::Listing => Some(Self::Cache),
            Self::Cache => None,
        }
    }
}

/// How many records of a projection differed, and were mended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Differences {
    /// Not there.
    pub missing: i64,
    /// There, but not as the object has it.
    pub outdated: i64,
    /// There, though the object has no such user, or one who is being erased.
    pub foreign: i64,
}

/// What an audit has found so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditReport {
    /// `None` when it is completed.
    pub phase: Option<AuditPhase>,
    pub started_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    /// Users compared.
    pub users: i64,
    /// The listing stood where the object never brought it: it was lost, or restored.
    pub fence_reset: bool,
    pub listing: Differences,
    pub cache: Differences,
}
