//! The closing of an object in calls and replies.

use crate::directory::deletion::Erased;
use crate::directory::identifiers::{DeletionId, Tenant};
use crate::directory::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct Close {
    pub tenant: Tenant,
    pub deletion: OrganizationDeletion,
}

/// What the operator asked for when an organization was deleted. Its closed objects keep this, so that a D1 which was
/// restored gets its receipt back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationDeletion {
    pub deletion_id: DeletionId,
    pub requested_at: Timestamp,
    pub reason: Option<String>,
}

/// The arguments of [`super::Command::CloseAgain`].
#[derive(Debug, Serialize, Deserialize)]
pub struct CloseAgain;

/// How far the removal of a closed object's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosingProgress {
    pub completed_at: Option<Timestamp>,
    /// What the object held when it was closed.
    pub erased: Erased,
}
