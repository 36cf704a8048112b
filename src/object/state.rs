//! One object: its storage, its core, and what is known of its alarm.
//!
//! Invariant: an alarm belongs into the transaction whose work it is for, so that no crash comes between.

use std::cell::{Cell, RefCell};

use serde::Serialize;

use super::flushes::Flushes;
use super::platform::ObjectPlatform;
use super::shared_work::{JoinedWork, SharedWork};
use crate::organization::closing::Closing;
use crate::organization::core::OrganizationCore;
use crate::organization::sql::SqlError;
use crate::projection::StoreError;

pub struct ObjectState<P> {
    pub(super) platform: P,
    pub(super) core: RefCell<OrganizationCore>,
    /// When the alarm is set for, in milliseconds since the epoch; `None` when that is not known.
    pub(super) alarm_at_ms: Cell<Option<i64>>,
    pub(super) alarm_was_looked_at: Cell<bool>,
    pub(super) alarm_failures: Cell<i64>,
    /// Until when the audit that runs now may run, in milliseconds since the epoch; 0 when none runs.
    pub(super) audited_until_ms: Cell<i64>,
    /// The last event that readers were told of.
    announced: Cell<i64>,
    pub(super) flushes: Flushes,
    pub(super) purge: SharedWork,
}

impl<P: ObjectPlatform> ObjectState<P> {
    /// The object as it starts.
    pub fn new(platform: P, core: OrganizationCore) -> Self {
        Self {
            platform,
            core: RefCell::new(core),
            alarm_at_ms: Cell::new(None),
            alarm_was_looked_at: Cell::new(false),
            alarm_failures: Cell::new(0),
            audited_until_ms: Cell::new(0),
            announced: Cell::new(0),
            flushes: Flushes::default(),
            purge: SharedWork::default(),
        }
    }

    /// Runs a body in a transaction, which is rolled back when the body fails. What the core remembers
    /// is dropped then too: the body may have succeeded before the transaction failed.
    pub(super) fn transaction<T>(
        &self,
        body: impl FnOnce(&mut OrganizationCore) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let (mut body, mut result) = (Some(body), None);
        let mut run = || {
            let mut core = self.core.try_borrow_mut().map_err(|error| SqlError(error.to_string()))?;
            result = body.take().map(|body| body(&mut core)).transpose()?;
            Ok(())
        };
        self.platform.transaction(&mut run).inspect_err(|_| {
            if let Ok(mut core) = self.core.try_borrow_mut() {
                core.forget();
            }
        })?;
        self.announce_events();
        result.ok_or_else(|| SqlError("a transaction ended without a result".to_owned()))
    }

    /// Tells the readers who wait of an event that was committed.
    fn announce_events(&self) {
        let last = self.core.borrow().last_event();
        if last > self.announced.get() {
            self.announced.set(last);
            self.platform.announce();
        }
    }

    /// The mark of a closed object.
    pub(super) fn closing(&self) -> Result<Option<Closing>, SqlError> {
        self.core.borrow().closing(self.platform.sql())
    }

    /// Sets the alarm. This belongs into the transaction whose work the alarm is for.
    pub(super) fn set_alarm(&self, at_ms: i64) -> Result<(), SqlError> {
        self.platform.set_alarm(at_ms)?;
        self.alarm_at_ms.set(Some(at_ms));
        Ok(())
    }

    /// Starts work of the object, or joins it while it runs.
    pub(super) fn share(&self, shared: &SharedWork, work: impl Future<Output = bool> + 'static) -> JoinedWork {
        let (joined, run) = shared.join_or_begin(work);
        if let Some(run) = run {
            self.platform.spawn(run);
        }
        joined
    }

    /// Tells the operator that a store can be reached again.
    pub(super) fn log_recovery(&self, what: &str) {
        let line = FlushLine { flush: what, reason: "it takes writes again" };
        self.platform.log(&serde_json::to_string(&line).unwrap_or_default());
    }

    /// Tells the operator that a store could not be reached. The alarm tries again.
    pub(super) fn log_failure(&self, what: &str, error: &StoreError) {
        let line = FlushLine { flush: what, reason: &error.0 };
        self.platform.log_error(&serde_json::to_string(&line).unwrap_or_default());
    }
}

pub fn begun_again() -> StoreError {
    StoreError("the object has begun again".to_owned())
}

/// The log line of a failure.
#[derive(Serialize)]
struct FlushLine<'a> {
    flush: &'a str,
    reason: &'a str,
}
