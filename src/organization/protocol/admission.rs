//! Admission: why the object refuses a caller, and the state of its bucket.

use crate::directory::quota::Quota;
use crate::directory::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// Why the object refuses a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Denial {
    InvalidKey,
    ExpiredKey,
    ScopeTooSmall { quota: Quota },
    RateLimited { retry_after_ms: i64, quota: Quota },
}

/// The state of a bucket after a request, for the rate-limit headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// Sustained rate, in requests per second.
    pub per_second: u32,
    /// Size of the bucket, in requests.
    pub burst: u32,
    /// Seconds in which an empty bucket fills.
    pub window_s: u32,
    /// Whole tokens that are left.
    pub remaining: u32,
    /// When the bucket is full again.
    pub full_at: Timestamp,
    /// Milliseconds from the object's clock to [`Self::full_at`].
    pub full_in_ms: i64,
}
