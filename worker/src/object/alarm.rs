//! The alarm: it flushes what no request has flushed, sweeps what has expired, and continues audits,
//! erasures and the clearing of a closed object.
//!
//! Invariant: the alarm sets itself again as long as work is left, after a failure too.

use std::rc::Rc;

use wasm_bindgen::prelude::*;

use super::state::{ObjectState, js_error, log_failure, succeeded};
use crate::platform;
use rollcall::backoff;
use rollcall::directory::timestamp::Timestamp;

/// Longest pause between two attempts, in milliseconds.
const PAUSE_MAX_MS: i64 = 60_000;
/// How long an audit runs in one alarm, in milliseconds. The platform limits the calls of one
/// invocation, so the next alarm continues the audit.
const AUDIT_ALARM_MS: i64 = 5_000;

impl ObjectState {
    pub(super) async fn wake(state: &Rc<Self>) -> Result<(), JsValue> {
        state.alarm_at_ms.set(None);
        if let Some(closing) = state.closing().map_err(js_error)? {
            if let Err(error) = state.clear(closing).await {
                log_failure("Clearing", &error);
                let failures = state.alarm_failures.get().saturating_add(1);
                state.alarm_failures.set(failures);
                let again = platform::now().plus_ms(backoff::pause_ms(failures, PAUSE_MAX_MS));
                state.set_alarm(again.millis()).map_err(js_error)?;
            }
            return Ok(());
        }
        let flushed = succeeded(Self::flush_listing(state)).await;
        // KV holds nothing up: the core says when it is tried again.
        let copies = Self::flush_copies(state);
        let audited = state.audit(AUDIT_ALARM_MS).await;
        let flushed = flushed & audited.inspect_err(|error| log_failure("Audit", error)).is_ok();
        let failures = if flushed { 0 } else { state.alarm_failures.get().saturating_add(1) };
        state.alarm_failures.set(failures);
        succeeded(copies).await;
        let expiry = state.transaction(|core| core.sweep(&state.sql, platform::now())).map_err(js_error)?;
        succeeded(Self::purge(state)).await;
        let again = state.transaction(|core| {
            let now = platform::now();
            let earliest = now.plus_ms(backoff::pause_ms(failures, PAUSE_MAX_MS));
            let work = core.work_left_at(&state.sql)?.map(|at| at.max(earliest).millis());
            let next = expiry.map(Timestamp::millis).into_iter().chain(work).min();
            next.map_or(Ok(()), |at_ms| state.set_alarm(at_ms.max(now.millis())))
        });
        again.map_err(js_error)
    }
}
