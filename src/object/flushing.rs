//! Brings the listing and the copies up to date: soon after a change, at once for a reader of a list, and by the alarm
//! after a failure.
//!
//! Invariants:
//!
//! - At most one flush of each runs. Everything that needs a flush joins it.
//! - After a commit or a flush that leaves the listing behind or a copy due, another flush is under way or waits for
//!   its time. Only after a failure, and for a copy that was written a moment ago, the alarm takes over.
//! - Nothing but the erasure of a person with a copy waits for KV.

use std::rc::Rc;

use super::platform::ObjectPlatform;
use super::shared_work::JoinedWork;
use super::state::{ObjectState, begun_again};
use crate::directory::identifiers::{BatchId, Tenant};
use crate::directory::timestamp::Timestamp;
use crate::organization::batches::Batch;
use crate::organization::change_log::{ChangeLog, ListingPosition};
use crate::organization::copies::Copy;
use crate::projection::{StoreError, audit, flush};

/// How long a flush gathers changes, in milliseconds, unless a batch is full or a reader waits. A batch
/// of many changes is one transaction of the store, as a batch of one is.
const GATHER_MS: u32 = 1_000;
/// How long writes start no flush after the listing has failed, in milliseconds.
const FLUSH_PAUSE_MS: i64 = 1_000;
/// A flush pauses as long as it has just worked, within these bounds, in milliseconds. So callers get
/// half of the object's time, however slow the machine or the store is.
const PAUSE_MIN_MS: u32 = 1;
const PAUSE_MAX_MS: u32 = 50;
/// Most flushes that a reader waits for: the one under way, which may have begun before the reader's own
/// change, and two more, because each is bounded.
const FLUSHES_AWAITED: usize = 3;

impl<P: ObjectPlatform> ObjectState<P> {
    /// Waits until the listing holds every change up to now.
    pub(super) async fn list_everything(state: &Rc<Self>) -> bool {
        let goal = state.core.borrow().last_sequence();
        let reached = || state.core.borrow().acknowledged() >= goal;
        for _ in 0..FLUSHES_AWAITED {
            if reached() || !Self::flush_listing(state).await {
                break;
            }
        }
        reached()
    }

    /// Flushes at once when a batch is full, and a moment later what has been gathered by then.
    pub(super) fn flush_soon(state: &Rc<Self>, now: Timestamp) {
        if !state.listing_is_due(now) && !state.copies_are_due(now) {
            return;
        }
        let has_batch = state.listing_is_due(now) && state.core.borrow().has_batch();
        if has_batch {
            drop(Self::flush_listing(state));
        }
        let waiting = Rc::clone(state);
        drop(state.share(&state.flushes.gathering, async move {
            // Changes that came during a flush have waited already.
            waiting.platform.pause(if has_batch { PAUSE_MAX_MS } else { waiting.gather_ms() }).await;
            let now = waiting.platform.now();
            if waiting.listing_is_due(now) {
                drop(Self::flush_listing(&waiting));
            }
            if waiting.copies_are_due(now) {
                drop(Self::flush_copies(&waiting));
            }
            true
        }));
    }

    /// A time between half of [`GATHER_MS`] and all of it. It is random, so that objects that begin to write
    /// at the same moment do not all call the stores at the same moment.
    fn gather_ms(&self) -> u32 {
        const HALF_MS: u32 = GATHER_MS / 2;
        let [random] = self.platform.random().unwrap_or_default();
        HALF_MS.saturating_add(HALF_MS.saturating_mul(u32::from(random)) / 256)
    }

    /// Whether the listing is behind, and has not just failed.
    fn listing_is_due(&self, now: Timestamp) -> bool {
        self.core.borrow().is_behind() && now >= self.flushes.listing_not_before.get()
    }

    fn copies_are_due(&self, now: Timestamp) -> bool {
        self.core.borrow().copies_due_at().is_some_and(|due_at| due_at <= now)
    }

    /// Starts a flush of the listing, or joins the one under way.
    pub(super) fn flush_listing(state: &Rc<Self>) -> JoinedWork {
        let flushing = Rc::clone(state);
        state.share(&state.flushes.listing, async move {
            let result = flushing.write_listing().await;
            match &result {
                Ok(()) => Self::go_on(&flushing),
                Err(error) => flushing.listing_failed(error),
            }
            result.is_ok()
        })
    }

    /// Leaves the listing alone for a moment.
    fn listing_failed(&self, error: &StoreError) {
        self.flushes.listing_not_before.set(self.platform.now().plus_ms(FLUSH_PAUSE_MS));
        self.log_failure("Listing", error);
    }

    /// Starts a flush of the copies, or joins the one under way. The core notes a failure, and when to try again.
    pub(super) fn flush_copies(state: &Rc<Self>) -> JoinedWork {
        let flushing = Rc::clone(state);
        state.share(&state.flushes.copies, async move {
            let is_written = flushing.write_copies().await.is_ok();
            if is_written {
                Self::go_on(&flushing);
            }
            is_written
        })
    }

    async fn write_listing(&self) -> Result<(), StoreError> {
        flush::listing(self, &self.platform.database()?).await
    }

    async fn write_copies(&self) -> Result<(), StoreError> {
        flush::copies(self, &self.platform.cache()?).await
    }

    async fn finds_own_listing(&self) -> Result<bool, StoreError> {
        audit::look(self, &self.platform.database()?).await
    }

    /// Goes on after a flush: with erasures, which wait for it and for which no caller waits, and with what has changed
    /// meanwhile.
    fn go_on(state: &Rc<Self>) {
        if state.core.borrow().may_purge() {
            drop(Self::purge(state));
        }
        Self::flush_soon(state, state.platform.now());
    }

    /// Looks once where the listing stands, unless that is known, so that the object may give leases.
    pub(super) fn look_at_listing(state: &Rc<Self>, now: Timestamp) {
        if !state.core.borrow().wants_listing_checked() || now < state.flushes.listing_not_before.get() {
            return;
        }
        let looking = Rc::clone(state);
        drop(state.share(&state.flushes.look, async move {
            let result = looking.finds_own_listing().await;
            match &result {
                Ok(true) => looking.core.borrow_mut().listing_is_ours(),
                Ok(false) => {}
                Err(error) => looking.listing_failed(error),
            }
            result.is_ok()
        }));
    }
}

impl<P: ObjectPlatform> flush::Source for ObjectState<P> {
    fn next_batch(&self) -> Result<Option<Batch>, StoreError> {
        let now = self.platform.now();
        let random = self.platform.random().map_err(|refusal| StoreError(refusal.0))?;
        Ok(self.transaction(|core| core.next_batch(self.platform.sql(), BatchId::new(now, random), now))?)
    }

    fn acknowledge(&self, position: ListingPosition) -> Result<(), StoreError> {
        Ok(self.transaction(|core| core.acknowledge(self.platform.sql(), position, self.platform.now()))?)
    }

    fn last_sequence(&self) -> Result<i64, StoreError> {
        self.core.borrow().last_sequence().ok_or_else(begun_again)
    }

    fn owns(&self, found: Option<&ListingPosition>, since: &ListingPosition) -> Result<bool, StoreError> {
        Ok(ChangeLog::owns(self.platform.sql(), found, since)?)
    }

    async fn pause(&self) {
        let busy_ms = self.platform.now().millis().saturating_sub(self.flushes.resumed_at_ms.get());
        self.platform.pause(u32::try_from(busy_ms).unwrap_or_default().clamp(PAUSE_MIN_MS, PAUSE_MAX_MS)).await;
        self.flushes.resumed_at_ms.set(self.platform.now().millis());
    }

    fn suspect_listing(&self) -> Result<(), StoreError> {
        Ok(self.transaction(|core| {
            core.suspect_listing(self.platform.sql(), self.platform.now())?;
            self.set_alarm(self.platform.now().millis())
        })?)
    }
}

impl<P: ObjectPlatform> flush::CopySource for ObjectState<P> {
    fn tenant(&self) -> Result<Tenant, StoreError> {
        self.core.borrow().tenant().ok_or_else(begun_again)
    }

    fn now(&self) -> Timestamp {
        self.platform.now()
    }

    fn due_copies(&self) -> Result<Vec<Copy>, StoreError> {
        Ok(self.transaction(|core| core.due_copies(self.platform.sql(), self.platform.now()))?)
    }

    fn confirm_copies(&self, written: &[Copy], began_at: Timestamp) -> Result<(), StoreError> {
        let ends =
            self.transaction(|core| core.confirm_copies(self.platform.sql(), written, began_at, self.platform.now()))?;
        if ends.is_some() {
            self.log_recovery("Copies");
        }
        Ok(())
    }

    fn fail_copies(&self, written: &[Copy], error: &StoreError) -> Result<(), StoreError> {
        let begins = self.transaction(|core| core.fail_copies(self.platform.sql(), written, self.platform.now()))?;
        if begins.is_some() {
            self.log_failure("Copies", error);
        }
        Ok(())
    }
}
