//! How many requests wait for the turn of another request with the same `Idempotency-Key`.
//!
//! Invariant: at most [`WAITERS_MAX`] requests of an organization wait in an isolate. Any further one is told at once
//! that the turn is in progress.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::directory::identifiers::OrganizationId;

/// Each waiter asks the object about once a second.
pub const WAITERS_MAX: u32 = 16;

/// How many requests of each organization wait in this isolate.
pub type TurnWaiters = RefCell<BTreeMap<OrganizationId, u32>>;

/// A request that waits, until it is dropped.
pub struct Waiter<'a> {
    waiters: &'a TurnWaiters,
    organization: OrganizationId,
}

impl<'a> Waiter<'a> {
    /// `None` if as many wait as may.
    pub fn begin(waiters: &'a TurnWaiters, organization: OrganizationId) -> Option<Self> {
        let mut counts = waiters.borrow_mut();
        let count = counts.entry(organization).or_default();
        if *count >= WAITERS_MAX {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Self { waiters, organization })
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut counts = self.waiters.borrow_mut();
        if let Some(count) = counts.get_mut(&self.organization) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.organization);
            }
        }
    }
}
