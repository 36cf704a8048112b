//! A call: what the edge sends to the object.

use super::command::Command;
use super::edge_reads::EdgeCall;
use super::idempotency::IdempotencyKey;
use crate::directory::api_key::{KeyDigest, KeyKind, Scope};
use crate::directory::identifiers::{OperatorId, RequestId};
use serde::{Deserialize, Serialize};

/// One request to the object.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    /// The id of the caller's HTTP request. When the edge loses a reply, it repeats the call under the same id,
    /// and the object gives the same answer.
    pub request_id: RequestId,
    /// Whether the edge repeats the call.
    pub repeated: bool,
    pub caller: Caller,
    /// Present when the caller sent an `Idempotency-Key`.
    pub idempotency: Option<IdempotencyKey>,
    /// Present when the caller takes an answer from nearby.
    pub edge: Option<EdgeCall>,
    pub command: Command,
}

/// The authority of a call.
#[derive(Debug, Serialize, Deserialize)]
pub enum Caller {
    /// The bearer of an API key. The object checks the key.
    Key {
        digest: KeyDigest,
        kind: KeyKind,
        /// The scope that the route needs.
        scope: Scope,
        /// Tokens that the route takes.
        cost: u32,
    },
    /// A named operator, or the one who has `ADMIN_TOKEN`. The edge has checked the token.
    Operator(Option<OperatorId>),
}
