//! The alarm: it flushes what no request has flushed, sweeps what has expired, and continues audits,
//! erasures and the clearing of a closed object.
//!
//! Invariant: the alarm sets itself again as long as work is left, after a failure too.

use std::rc::Rc;

use wasm_bindgen::prelude::*;

use super::state::{ObjectState, js_error, log_failure, succeeded};
use crate::platform;
use rollcall::directory::timestamp::Timestamp;

/// Longest pause between two attempts, in milliseconds.
const ALARM_LAST_MS: i64 = 60_000;
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
                let again_ms = platform::now().millis().saturating_add(backoff_ms(failures));
                state.set_alarm(again_ms).map_err(js_error)?;
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
            let earliest = now.millis().saturating_add(backoff_ms(failures));
            let work = core.work_left_at(&state.sql)?.map(|at| at.millis().max(earliest));
            let next = expiry.map(Timestamp::millis).into_iter().chain(work).min();
            next.map_or(Ok(()), |at_ms| state.set_alarm(at_ms.max(now.millis())))
        });
        again.map_err(js_error)
    }
}

/// The pause until the next attempt, in milliseconds: 0 after a success that left work over; after
/// failures 1 s, 2 s, 4 s … up to [`ALARM_LAST_MS`].
fn backoff_ms(failures: u32) -> i64 {
    match failures.checked_sub(1) {
        None => 0,
        Some(doublings) => 1_000_i64.saturating_mul(1_i64 << doublings.min(16)).min(ALARM_LAST_MS),
    }
}
