//! A reply: what the object answers to the edge.

use super::admission::Admission;
use super::command::Answer;
use super::edge_reads::Lease;
use super::rejection::Rejection;
use serde::{Deserialize, Serialize};

/// The object's answer to a call.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    /// Present when the object asked the bucket.
    pub admission: Option<Admission>,
    pub outcome: Outcome,
    /// Whether the listing holds every change up to this call; present when the edge asked for that.
    pub listed: Option<bool>,
    /// Whether the outcome is the kept answer to an earlier request.
    pub replayed: bool,
    /// Present when the edge asked for a lease and gets one.
    pub lease: Option<Lease>,
}

impl Reply {
    pub const fn new(admission: Option<Admission>, outcome: Outcome) -> Self {
        Self { admission, outcome, listed: None, replayed: false, lease: None }
    }
}

/// What came of a call.
pub type Outcome = Result<Answer, Rejection>;
