//! The flushes of one object, as far as they are under way or wait for their time.

use std::cell::Cell;

use super::shared_work::SharedWork;
use crate::directory::timestamp::Timestamp;

/// The flushes of one object.
#[derive(Default)]
pub struct Flushes {
    pub listing: SharedWork,
    /// After a failure of the listing, writers leave it alone until then; the alarm and readers do not wait. The core
    /// knows when KV is to be tried again.
    pub listing_not_before: Cell<Timestamp>,
    pub copies: SharedWork,
    /// Waiting for more to flush.
    pub gathering: SharedWork,
    /// When a flush last had its turn again.
    pub resumed_at_ms: Cell<i64>,
    /// Looking where the listing stands.
    pub look: SharedWork,
}
