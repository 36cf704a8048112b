//! Brings the projections up to date: soon after a change, at once for a reader, and by the alarm after
//! a failure.
//!
//! Invariants:
//!
//! - At most one flush per projection runs. Everything that needs a flush joins it.
//! - After a commit or a flush that leaves a projection behind, another flush is under way or
//!   waits for its time. Only after a failure the alarm takes over.

use std::rc::Rc;

use super::state::{ObjectState, begun_again, log_failure, succeeded};
use crate::executor;
use crate::platform::{self, D1, Kv};
use rollcall::directory::identifiers::BatchId;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::batches::Batch;
use rollcall::organization::change_log::Projection;
use rollcall::projection::{StoreError, flush};

/// How long a flush gathers changes, in milliseconds, unless a batch is full or a reader waits. A batch
/// of many changes is one transaction of the store, as a batch of one is. KV takes one write a second
/// for a key
/// (<https://developers.cloudflare.com/kv/platform/limits/>).
const GATHER_MS: u32 = 1_000;
/// How long writes start no flush after a store has failed, in milliseconds.
const FLUSH_PAUSE_MS: i64 = 1_000;
/// A flush pauses as long as it has just worked, within these bounds, in milliseconds. So callers get
/// half of the object's time, however slow the machine or the store is.
const PAUSE_MIN_MS: u32 = 1;
const PAUSE_MAX_MS: u32 = 50;
/// Most flushes that a reader waits for: the one under way, which may have begun before the reader's own
/// change, and two more, because each is bounded.
const FLUSHES_AWAITED: usize = 3;

impl ObjectState {
    /// Waits until the listing holds every change up to now.
    pub(super) async fn list_everything(state: &Rc<Self>) -> bool {
        let goal = state.core.borrow().last_sequence();
        let reached = || state.core.borrow().acknowledged(Projection::Listing) >= goal;
        for _ in 0..FLUSHES_AWAITED {
            if reached() || !succeeded(Self::flush(state, Projection::Listing)).await {
                break;
            }
        }
        reached()
    }

    /// Flushes at once where a batch is full, and a moment later what has been gathered by then.
    pub(super) fn flush_soon(state: &Rc<Self>, now: Timestamp) {
        let (mut is_due, mut has_batch) = (false, false);
        for projection in state.due(now) {
            is_due = true;
            if state.core.borrow().has_batch(projection) {
                has_batch = true;
                drop(Self::flush(state, projection));
            }
        }
        if !is_due {
            return;
        }
        let waiting = Rc::clone(state);
        drop(state.flushes.gathering.share(async move {
            // Changes that came during a flush have waited already.
            executor::pause(if has_batch { PAUSE_MAX_MS } else { gather_ms() }).await;
            for projection in waiting.due(platform::now()) {
                drop(Self::flush(&waiting, projection));
            }
            true
        }));
    }

    /// The projections that are behind, and whose store has not just failed.
    fn due(&self, now: Timestamp) -> impl Iterator<Item = Projection> {
        Projection::ALL.into_iter().filter(move |projection| {
            self.core.borrow().is_behind(*projection) && now >= self.flushes.of(*projection).not_before.get()
        })
    }

    /// Starts a flush, or joins the one under way.
    pub(super) fn flush(state: &Rc<Self>, projection: Projection) -> js_sys::Promise {
        let flushing = Rc::clone(state);
        state.flushes.of(projection).under_way.share(async move {
            let result = flushing.flush_now(projection).await;
            match &result {
                // Erasures wait for the projections. No caller waits for erasures.
                Ok(()) => {
                    if flushing.core.borrow().may_purge() {
                        drop(Self::purge(&flushing));
                    }
                    Self::flush_soon(&flushing, platform::now());
                }
                Err(error) => {
                    let pause = Timestamp::from_millis(platform::now().millis().saturating_add(FLUSH_PAUSE_MS));
                    flushing.flushes.of(projection).not_before.set(pause);
                    log_failure(&format!("{projection:?}"), error);
                }
            }
            result.is_ok()
        })
    }

    async fn flush_now(&self, projection: Projection) -> Result<(), StoreError> {
        match projection {
            Projection::Listing => flush::listing(self, &D1::of(&self.env)?).await,
            Projection::Cache => flush::cache(self, &Kv::of(&self.env)?).await,
        }
    }
}

impl flush::Source for ObjectState {
    fn next_batch(&self, projection: Projection) -> Result<Option<Batch>, StoreError> {
        let now = platform::now();
        let random = platform::random().map_err(|refusal| StoreError(refusal.0))?;
        Ok(self.transaction(|core| core.next_batch(&self.sql, projection, BatchId::new(now, random), now))?)
    }

    fn acknowledge(&self, projection: Projection, sequence: i64) -> Result<(), StoreError> {
        Ok(self.transaction(|core| core.acknowledge(&self.sql, projection, sequence, platform::now()))?)
    }

    fn last_sequence(&self) -> Result<i64, StoreError> {
        self.core.borrow().last_sequence().ok_or_else(begun_again)
    }

    async fn pause(&self) {
        let busy_ms = platform::now().millis().saturating_sub(self.flushes.resumed_at_ms.get());
        executor::pause(u32::try_from(busy_ms).unwrap_or_default().clamp(PAUSE_MIN_MS, PAUSE_MAX_MS)).await;
        self.flushes.resumed_at_ms.set(platform::now().millis());
    }

    fn diverged(&self) -> Result<(), StoreError> {
        Ok(self.transaction(|core| {
            core.start_audit(&self.sql, platform::now())?;
            self.set_alarm(platform::now().millis())
        })?)
    }
}

/// A time between half of [`GATHER_MS`] and all of it. It is random, so that objects that begin to write
/// at the same moment do not all call the stores at the same moment.
fn gather_ms() -> u32 {
    const HALF_MS: u32 = GATHER_MS / 2;
    let [random] = platform::random().unwrap_or_default();
    HALF_MS.saturating_add(HALF_MS.saturating_mul(u32::from(random)) / 256)
}
