//! Purges erased people, and clears an object that is closed.
//!
//! Invariants:
//!
//! - Each step is a bounded transaction, and callers have their turn between two steps.
//! - An object that is closed and not yet emptied has an alarm set.

use std::rc::Rc;

use super::platform::ObjectPlatform;
use super::shared_work::JoinedWork;
use super::state::ObjectState;
use crate::organization::closing::{self, Closing, KnownCopy};
use crate::organization::erasure;
use crate::projection::{StoreError, closing as removal, flush};

/// When a closed and emptied object clears KV once more, in milliseconds. A put that timed out may have
/// landed after the first clearing, or the list may not have shown it yet.
pub const LAST_LOOK_MS: i64 = 300_000;
/// Pause between two transactions that complete erasures, in milliseconds. The object does one thing at
/// a time, and callers go before a purge of thousands.
const PURGE_PAUSE_MS: u32 = 10;

impl<P: ObjectPlatform> ObjectState<P> {
    /// Completes erasures that are due, in bounded transactions with pauses for callers. Joins the purge that is
    /// under way, if there is one.
    pub(super) fn purge(state: &Rc<Self>) -> JoinedWork {
        let purging = Rc::clone(state);
        state.share(&state.purge, async move {
            let step = || purging.transaction(|core| core.purge(purging.platform.sql(), purging.platform.now()));
            let pause = async || purging.platform.pause(PURGE_PAUSE_MS).await;
            if let Err(error) = erasure::purge_in_steps(step, pause).await {
                purging.log_failure("Purge", &error.into());
                return false;
            }
            // The purge of an agent makes changes. Flushing them completes the agent's erasure.
            if purging.core.borrow().is_behind() {
                drop(Self::flush_listing(&purging));
            }
            true
        })
    }

    /// Removes what a closed object had in the stores: one bounded part of it. Only the alarm calls this, so
    /// it never runs twice at once.
    pub(super) async fn clear(self: &Rc<Self>, closing: Closing) -> Result<(), StoreError> {
        // A closed object starts no flush, but one that is under way may still write.
        Self::flush_listing(self).await;
        Self::flush_copies(self).await;
        let (database, cache) = (self.platform.database()?, self.platform.cache()?);
        let is_all = removal::clear(&**self, closing.tenant, &database, &cache).await?;
        if !is_all {
            // The platform limits the calls of one invocation. The next alarm is another invocation.
            Ok(self.set_alarm(self.platform.now().millis())?)
        } else if closing.completed_at.is_none() {
            self.complete(closing)
        } else {
            Ok(())
        }
    }

    /// Empties the object's own storage and writes the mark again, without a wait between them.
    fn complete(&self, closing: Closing) -> Result<(), StoreError> {
        let now = self.platform.now();
        self.platform.delete_all()?;
        Ok(self.transaction(|_| {
            closing.complete(self.platform.sql(), now)?;
            self.set_alarm(now.millis().saturating_add(LAST_LOOK_MS))
        })?)
    }
}

impl<P: ObjectPlatform> removal::ClosedObject for ObjectState<P> {
    fn copies(&self) -> Result<Vec<KnownCopy>, StoreError> {
        let Some(closing) = self.closing()? else { return Ok(Vec::new()) };
        Ok(closing.copies(self.platform.sql())?)
    }

    fn advance(&self, number: i64) -> Result<(), StoreError> {
        Ok(closing::advance(self.platform.sql(), number)?)
    }

    async fn pause(&self) {
        flush::Source::pause(self).await;
    }
}
