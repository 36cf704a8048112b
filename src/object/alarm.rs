//! The alarm: it flushes what no request has flushed, sweeps what has expired, and continues audits,
//! erasures and the clearing of a closed object.
//!
//! Invariants:
//!
//! - The alarm sets itself again as long as work is left, after a failure too.
//! - An object that belongs to an organization always has a next alarm, as it audits itself once a day. The platform tries
//!   an alarm that fails six times and then forgets it. So an object that is started looks whether one is set.

use std::rc::Rc;

use super::platform::ObjectPlatform;
use super::state::ObjectState;
use crate::backoff;
use crate::directory::timestamp::Timestamp;
use crate::projection::StoreError;

/// From the first change to the alarm, in milliseconds. The alarm takes over if the flush has failed by
/// then.
pub const ALARM_FIRST_MS: i64 = 5_000;
/// While a caller's request audits the object, the alarm looks again after this, in milliseconds.
const AUDIT_PAUSE_MS: i64 = 1_000;
/// Longest pause between two attempts, in milliseconds.
const PAUSE_MAX_MS: i64 = 60_000;

/// How late an alarm comes at most, in milliseconds. The platform tries six times in about a minute, and then forgets it.
const LATE_MAX_MS: i64 = 60_000;

/// Whether an alarm was dropped that is still noted as set.
pub fn is_dropped(alarm_at_ms: i64, now: Timestamp) -> bool {
    alarm_at_ms.saturating_add(LATE_MAX_MS) < now.millis()
}

impl<P: ObjectPlatform> ObjectState<P> {
    /// Sets the alarm if none is set. Looks once after each start of the object.
    pub(super) fn look_at_alarm(state: &Rc<Self>) {
        if state.alarm_was_looked_at.replace(true) {
            return;
        }
        let looking = Rc::clone(state);
        state.platform.spawn(async move {
            if let Err(error) = looking.set_missing_alarm().await {
                looking.log_failure("Alarm", &error);
                looking.alarm_was_looked_at.set(false);
            }
        });
    }

    /// Whether the last alarm has failed, and the next one comes after a pause.
    pub(super) fn is_waiting_after_failure(&self, now: Timestamp) -> bool {
        let is_soon = |at_ms: i64| !is_dropped(at_ms, now) && at_ms <= now.plus_ms(PAUSE_MAX_MS).millis();
        self.alarm_failures.get() > 0 && self.alarm_at_ms.get().is_some_and(is_soon)
    }

    async fn set_missing_alarm(&self) -> Result<(), StoreError> {
        let stored_ms = self.platform.alarm_at_ms().await?;
        let is_set = stored_ms.or(self.alarm_at_ms.get()).is_some_and(|at_ms| !is_dropped(at_ms, self.platform.now()));
        let is_closing = self.closing()?.is_some_and(|closing| closing.completed_at.is_none());
        let is_used = self.core.borrow().tenant().is_some() || is_closing;
        if is_used && !is_set {
            self.set_alarm(self.platform.now().plus_ms(ALARM_FIRST_MS).millis())?;
        }
        Ok(())
    }

    /// Does what is due, as the alarm.
    pub async fn wake(state: &Rc<Self>) -> Result<(), StoreError> {
        state.alarm_at_ms.set(None);
        if let Some(closing) = state.closing()? {
            if let Err(error) = state.clear(closing).await {
                state.log_failure("Clearing", &error);
                let failures = state.alarm_failures.get().saturating_add(1);
                state.alarm_failures.set(failures);
                let again = state.platform.now().plus_ms(backoff::pause_ms(failures, PAUSE_MAX_MS));
                state.set_alarm(again.millis())?;
            }
            return Ok(());
        }
        let flushed = Self::flush_listing(state).await;
        // KV holds nothing up: the core says when it is tried again.
        let copies = Self::flush_copies(state);
        let audited = state.audit().await;
        let flushed = flushed & audited.inspect_err(|error| state.log_failure("Audit", error)).is_ok();
        let failures = if flushed { 0 } else { state.alarm_failures.get().saturating_add(1) };
        state.alarm_failures.set(failures);
        copies.await;
        let expiry = state.transaction(|core| core.sweep(state.platform.sql(), state.platform.now()))?;
        Self::purge(state).await;
        Ok(state.transaction(|core| {
            let now = state.platform.now();
            let pause_ms = backoff::pause_ms(failures, PAUSE_MAX_MS);
            let pause_ms = if state.is_being_audited(now) { pause_ms.max(AUDIT_PAUSE_MS) } else { pause_ms };
            let earliest = now.plus_ms(pause_ms);
            let work = core.work_left_at(state.platform.sql())?.map(|at| at.max(earliest).millis());
            let next = expiry.map(Timestamp::millis).into_iter().chain(work).min();
            next.map_or(Ok(()), |at_ms| state.set_alarm(at_ms.max(now.millis())))
        })?)
    }
}
