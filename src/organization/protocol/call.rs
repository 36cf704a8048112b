//! One request to the object.

use super::command::Command;
use super::idempotency::IdempotencyKey;
use crate::directory::api_key::{KeyDigest, KeyKind, Scope};
use crate::directory::identifiers::RequestId;
use serde::{Deserialize, Serialize};

/// One request to the object.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// The HTTP request on whose behalf this is. A call that is repeated because
    /// its answer was lost keeps it, and so gets the answer it would have had.
    pub request_id: RequestId,
    /// Whether this is such a repetition.
    pub repeated: bool,
    pub caller: Caller,
    /// When the caller wants one answer however often it asks.
    pub idempotency: Option<IdempotencyKey>,
    pub command: Command,
}

/// On whose authority.
#[derive(Debug, Serialize, Deserialize)]
pub enum Caller {
    /// The bearer of a key, to be checked by the object.
    Key {
        digest: KeyDigest,
        kind: KeyKind,
        /// What the route needs.
        scope: Scope,
        /// Tokens the route takes.
        cost: u32,
    },
    /// The operator, whom the edge has checked.
    Operator,
}
