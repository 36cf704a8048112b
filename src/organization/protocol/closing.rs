//! The closing of an object in calls and replies.

use crate::directory::deletion::Erased;
use crate::directory::identifiers::Tenant;
use crate::directory::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub struct Close {
    pub tenant: Tenant,
}

/// How far the removal of a closed object's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosingProgress {
    pub completed_at: Option<Timestamp>,
    /// What the object held when it was closed.
    pub erased: Erased,
}
