//! Erasures of end users in calls.

use super::precondition::Precondition;
use crate::directory::deletion::Cascade;
use crate::directory::identifiers::DeletionId;
use crate::directory::names::UserId;
use serde::{Deserialize, Serialize};

/// A request to erase a user, or a part of what the object holds about them.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteEndUser {
    pub user_id: UserId,
    pub deletion_id: DeletionId,
    pub cascade: Cascade,
    pub reason: Option<String>,
    /// `If-Match`: the object erases only these versions.
    pub if_match: Option<Precondition>,
}

/// A request to erase several users with everything that the object holds about them.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeleteEndUsers {
    pub user_ids: Vec<UserId>,
    /// The erasure of the first user. The others have the ids that follow it.
    pub first_deletion_id: DeletionId,
    pub reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ReadDeletion {
    pub deletion_id: DeletionId,
}
