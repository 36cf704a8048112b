//! How many requests of each organization wait in this isolate, for something that another request does.
//!
//! Invariant: no more than so many of an organization wait. A further one is answered at once, as things are.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::directory::identifiers::OrganizationId;

/// Most requests that wait for the turn of another request with the same `Idempotency-Key`. Each asks the object about
/// once a second.
pub const OF_TURNS_MAX: u32 = 16;

/// Most readers that wait for events. Each has a connection to the object.
pub const OF_EVENTS_MAX: u32 = 64;

#[derive(Debug, Clone, Default)]
pub struct Waiters(Rc<RefCell<BTreeMap<OrganizationId, u32>>>);

impl Waiters {
    /// `None` if as many wait as may.
    pub fn begin(&self, organization: OrganizationId, max: u32) -> Option<Waiter> {
        let mut counts = self.0.borrow_mut();
        let count = counts.entry(organization).or_default();
        if *count >= max {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Waiter { waiters: self.clone(), organization })
    }
}

/// A request that waits, until it is dropped.
#[derive(Debug)]
pub struct Waiter {
    waiters: Waiters,
    organization: OrganizationId,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut counts = self.waiters.0.borrow_mut();
        if let Some(count) = counts.get_mut(&self.organization) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.organization);
            }
        }
    }
}
