//! Reads at the edge, in calls and replies.

use crate::directory::end_user::Version;
use crate::directory::epoch::Epoch;
use crate::directory::names::UserId;
use serde::{Deserialize, Serialize};

/// What a call says besides its command, when its caller takes an answer from nearby.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeCall {
    /// The user of whom KV has no copy.
    pub missed: Option<UserId>,
    /// Asks for a lease. The number is how many tokens of leases the edge has used since it last asked.
    pub used: Option<u32>,
}

/// The object lets an edge answer the reads of one key from KV for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Under which epoch the copies lie.
    pub epoch: Epoch,
    /// How long the lease lasts, in milliseconds, from the moment when the edge asked for it.
    pub lasts_ms: i64,
    /// How many reads the edge may answer.
    pub tokens: u32,
    /// The digests of users who have changed: a copy counts only if it has this version or a later one.
    pub changed: Vec<(String, Version)>,
}
