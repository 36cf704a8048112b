//! One object: its storage, its core, and what is known of its alarm.
//!
//! Invariant: an alarm belongs into the transaction whose work it is for, so that no crash comes between.

use std::cell::{Cell, RefCell};

use serde::Serialize;
use wasm_bindgen::prelude::*;
use worker::Env;

use super::flushes::Flushes;
use crate::executor::{self, SharedWork};
use crate::platform::{self, ObjectSql};
use rollcall::organization::closing::Closing;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::sql::SqlError;
use rollcall::projection::StoreError;

pub struct ObjectState {
    pub(super) storage: JsValue,
    pub(super) env: Env,
    pub(super) sql: ObjectSql,
    pub(super) core: RefCell<OrganizationCore>,
    /// When the alarm is set for, in milliseconds since the epoch; `None` when that is not known.
    pub(super) alarm_at_ms: Cell<Option<i64>>,
    pub(super) alarm_was_looked_at: Cell<bool>,
    pub(super) alarm_failures: Cell<i64>,
    /// Until when the audit that runs now may run, in milliseconds since the epoch; 0 when none runs.
    pub(super) audited_until_ms: Cell<i64>,
    pub(super) flushes: Flushes,
    pub(super) purge: SharedWork,
}

impl ObjectState {
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
        platform::transaction(&self.storage, &mut run).inspect_err(|_| {
            if let Ok(mut core) = self.core.try_borrow_mut() {
                core.forget();
            }
        })?;
        result.ok_or_else(|| SqlError("a transaction ended without a result".to_owned()))
    }

    /// The mark of a closed object.
    pub(super) fn closing(&self) -> Result<Option<Closing>, SqlError> {
        self.core.borrow().closing(&self.sql)
    }

    /// Sets the alarm. This belongs into the transaction whose work the alarm is for.
    pub(super) fn set_alarm(&self, at_ms: i64) -> Result<(), SqlError> {
        platform::set_alarm(&self.storage, at_ms).map_err(|error| SqlError(platform::describe(&error)))?;
        self.alarm_at_ms.set(Some(at_ms));
        Ok(())
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

/// Tells the operator that a store can be reached again.
pub fn log_recovery(what: &str) {
    let line = FlushLine { flush: what, reason: "it takes writes again" };
    worker::console_log!("{}", serde_json::to_string(&line).unwrap_or_default());
}

/// Tells the operator that a store could not be reached. The alarm tries again.
pub fn log_failure(what: &str, error: &StoreError) {
    let line = FlushLine { flush: what, reason: &error.0 };
    worker::console_error!("{}", serde_json::to_string(&line).unwrap_or_default());
}

pub async fn succeeded(flush: js_sys::Promise) -> bool {
    executor::fulfilled(&flush).await.is_ok_and(|success| success.is_truthy())
}

pub fn js_error(error: impl std::fmt::Display) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}
