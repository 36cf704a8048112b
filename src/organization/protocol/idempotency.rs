//! The idempotency key of a call.

use serde::{Deserialize, Serialize};

/// Digests of a caller's key and of the request that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    pub digest: String,
    pub fingerprint: String,
}
