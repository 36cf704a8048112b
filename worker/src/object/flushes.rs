//! The flushes of one object, as far as they are under way or wait for their time.

use std::cell::Cell;

use crate::executor::SharedWork;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::change_log::Projection;

/// The flushes of one object.
#[derive(Default)]
pub struct Flushes {
    pub listing: SharedFlush,
    pub cache: SharedFlush,
    /// Waiting for more to flush.
    pub gathering: SharedWork,
    /// When a flush last had its turn again.
    pub resumed_at_ms: Cell<i64>,
}

/// The flush of one projection.
#[derive(Default)]
pub struct SharedFlush {
    pub under_way: SharedWork,
    /// After a failure writers leave the store alone until then; the alarm and
    /// readers do not wait.
    pub not_before: Cell<Timestamp>,
}

impl Flushes {
    pub const fn of(&self, projection: Projection) -> &SharedFlush {
        match projection {
            Projection::Listing => &self.listing,
            Projection::Cache => &self.cache,
        }
    }
}
