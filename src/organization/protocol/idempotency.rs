//! The idempotency key of a call.

use serde::{Deserialize, Serialize};

/// The digest of a caller's `Idempotency-Key`, and the digest of the request that the caller sent with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    pub digest: String,
    pub fingerprint: String,
}
