//! The Durable Object around the core: storage, the alarm, erasures, audits. What it brings to the
//! projections, and when, is in [`flushing`].
//!
//! Invariants:
//!
//! - Everything that decides is synchronous and in one transaction; the output
//!   gate holds the reply back until it is durable.
//! - While the outbox holds a row, or an answer is kept, an alarm is set. It is
//!   set in the transaction that writes them, so no crash can come between.
//! - An object that is closed and not yet emptied has an alarm set.

mod flushing;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use worker::Env;

use crate::executor::{self, SharedWork};
use crate::platform::{self, D1, Kv, ObjectSql};
use flushing::Flushes;
use rollcall::directory::identifiers::Tenant;
use rollcall::directory::timestamp::Timestamp;
use rollcall::json::quote;
use rollcall::organization::audit::{AuditFinding, AuditStep, PendingUsers};
use rollcall::organization::closing::{self, Closing};
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::outbox::Projection;
use rollcall::organization::protocol::{self, Call, Outcome, Reply};
use rollcall::organization::sql::SqlError;
use rollcall::projection::{StoreError, audit, closing as removal, flush};

/// From the first change to the alarm that takes over if the flush at once did
/// not get through, in milliseconds.
const ALARM_FIRST_MS: i64 = 5_000;
/// Longest pause between two attempts of the alarm, in milliseconds.
const ALARM_LAST_MS: i64 = 60_000;
/// How long an audit goes on while a caller waits, in milliseconds.
const AUDIT_WAIT_MS: i64 = 5_000;
/// How long it goes on in one alarm, in milliseconds. Then the alarm comes again: a
/// call to another service counts against the invocation it is made in.
const AUDIT_ALARM_MS: i64 = 5_000;
/// How long a step may take beyond that, in milliseconds.
const AUDIT_GRACE_MS: i64 = 60_000;
/// When a closed and emptied object looks once more for what came late, in milliseconds:
/// a write to KV that nobody waits for any more, and that its list did not show yet.
const LAST_LOOK_MS: i64 = 300_000;
/// Between two transactions that complete erasures, in milliseconds: an object does
/// one thing at a time, and a purge of thousands is in no hurry.
const PURGE_PAUSE_MS: u32 = 10;

/// What `entry.mjs` wraps in a class that has RPC.
#[wasm_bindgen]
pub struct OrganizationObject {
    inner: Rc<Inner>,
}

struct Inner {
    storage: JsValue,
    env: Env,
    sql: ObjectSql,
    core: RefCell<OrganizationCore>,
    /// When the alarm is known to come, in milliseconds since the epoch.
    alarm_at_ms: Cell<Option<i64>>,
    alarm_failures: Cell<u32>,
    /// Until when whoever audits now may be at it: two at once would count twice.
    audited_until_ms: Cell<i64>,
    flushes: Flushes,
    purge: SharedWork,
}

#[wasm_bindgen]
impl OrganizationObject {
    #[wasm_bindgen(constructor)]
    pub fn new(state: &JsValue, env: Env) -> Result<OrganizationObject, JsValue> {
        let storage = js_sys::Reflect::get(state, &JsValue::from_str("storage"))?;
        let sql = js_sys::Reflect::get(&storage, &JsValue::from_str("sql"))?.unchecked_into();
        // Nobody gets an answer while the configuration is not usable.
        let configuration = platform::configuration(&env);
        let core = configuration
            .map_or_else(|_| OrganizationCore::default(), |set| OrganizationCore::new(set.mood_half_life_ms));
        let inner = Inner {
            storage,
            env,
            sql,
            core: RefCell::new(core),
            alarm_at_ms: Cell::new(None),
            alarm_failures: Cell::new(0),
            audited_until_ms: Cell::new(0),
            flushes: Flushes::new(),
            purge: SharedWork::default(),
        };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// Executes a call and answers as soon as it is committed. Synchronous, so
    /// that even a trap is an exception at the caller.
    pub fn handle(&self, call: &[u8]) -> Result<Vec<u8>, JsValue> {
        let reply = Inner::commit(&self.inner, call)?;
        write(&reply)
    }

    /// Holds the reply to a call back until the listing has everything up to it,
    /// or notes in it that it has not.
    pub fn listed(&self, reply: Vec<u8>) -> js_sys::Promise {
        let inner = Rc::clone(&self.inner);
        executor::promise(async move {
            let mut reply: Reply = protocol::decode(&reply).map_err(|error| js_error(&error))?;
            if !matches!(reply.outcome, Outcome::Denied(_)) {
                reply.listed = Some(Inner::list_everything(&inner).await);
            }
            write(&reply).map(JsValue::from)
        })
    }

    /// Takes steps of an audit that a call has begun, for as long as a caller may be
    /// kept waiting, and answers with what was found so far.
    pub fn audited(&self, reply: Vec<u8>) -> js_sys::Promise {
        let inner = Rc::clone(&self.inner);
        executor::promise(async move {
            let mut reply: Reply = protocol::decode(&reply).map_err(|error| js_error(&error))?;
            // What can't be reached now, the alarm tries again.
            if let Err(error) = inner.audit(AUDIT_WAIT_MS).await {
                log_failure("Audit", &error);
            }
            // It may have been closed meanwhile, or have been so already.
            let report = inner.transaction(|core| core.report(&inner.sql, platform::now()))?;
            reply.outcome = match inner.closing().map_err(|error| js_error(&error))? {
                Some(_) => Outcome::Closed,
                None => Outcome::Audit(report),
            };
            write(&reply).map(JsValue::from)
        })
    }

    /// The backstop: flushes what no request has flushed, sweeps what has expired,
    /// and comes again as long as there is something to come for.
    pub fn alarm(&self) -> js_sys::Promise {
        let inner = Rc::clone(&self.inner);
        executor::promise(async move { Inner::wake(&inner).await.map(|()| JsValue::UNDEFINED) })
    }
}

impl Inner {
    async fn wake(inner: &Rc<Self>) -> Result<(), JsValue> {
        inner.alarm_at_ms.set(None);
        if let Some(closing) = inner.closing().map_err(|error| js_error(&error))? {
            if let Err(error) = inner.clear(closing).await {
                log_failure("Clearing", &error);
                let failures = inner.alarm_failures.get().saturating_add(1);
                inner.alarm_failures.set(failures);
                let again_ms = platform::now().millis().saturating_add(backoff_ms(failures));
                inner.set_alarm(again_ms).map_err(|error| js_error(&error))?;
            }
            return Ok(());
        }
        let listing = Self::flush(inner, Projection::Listing);
        let cache = Self::flush(inner, Projection::Cache);
        let flushed = succeeded(listing).await & succeeded(cache).await;
        let audited = inner.audit(AUDIT_ALARM_MS).await;
        let flushed = flushed & audited.inspect_err(|error| log_failure("Audit", error)).is_ok();
        let failures = if flushed { 0 } else { inner.alarm_failures.get().saturating_add(1) };
        inner.alarm_failures.set(failures);
        succeeded(Self::purge(inner)).await;
        let now = platform::now();
        inner.transaction(|core| {
            let expiry = core.sweep(&inner.sql, now)?;
            let again = core.needs_alarm().then(|| now.millis().saturating_add(backoff_ms(failures)));
            let next = expiry.map(Timestamp::millis).into_iter().chain(again).min();
            next.map_or(Ok(()), |at_ms| inner.set_alarm(at_ms.max(now.millis())))
        })
    }

    /// One call, one transaction, the alarm included, unless it only reads. Starts the flush of
    /// what it changed.
    fn commit(inner: &Rc<Self>, call: &[u8]) -> Result<Reply, JsValue> {
        let call: Call = protocol::decode(call).map_err(|error| js_error(&error))?;
        let now = platform::now();
        // A transaction takes longer than all else that a read does here.
        let reply = if inner.core.borrow().needs_transaction(&call) {
            let reply = inner.transaction(|core| {
                let reply = core.handle(&inner.sql, call, now)?;
                inner.set_alarm_for(core, &reply, now)?;
                Ok(reply)
            });
            reply.inspect_err(|_| inner.alarm_at_ms.set(None))?
        } else {
            inner.core.borrow_mut().handle(&inner.sql, call, now).map_err(|error| js_error(&error))?
        };
        if matches!(reply.outcome, Outcome::Deletion(_)) {
            drop(Self::purge(inner));
        }
        Self::flush_soon(inner, now);
        Ok(reply)
    }

    /// Sets the alarm for what a call has left to be done.
    fn set_alarm_for(&self, core: &OrganizationCore, reply: &Reply, now: Timestamp) -> Result<(), SqlError> {
        if let Outcome::Closing { completed_at, .. } = reply.outcome {
            let wait_ms = if completed_at.is_some() { LAST_LOOK_MS } else { 0 };
            self.set_alarm(now.millis().saturating_add(wait_ms))?;
        }
        // One that is set may be for an expiry, a day from now.
        let wanted_ms = now.millis().saturating_add(ALARM_FIRST_MS);
        if core.needs_alarm() && self.alarm_at_ms.get().is_none_or(|at_ms| at_ms > wanted_ms) {
            self.set_alarm(wanted_ms)?;
        }
        Ok(())
    }

    fn transaction<T>(&self, body: impl FnOnce(&mut OrganizationCore) -> Result<T, SqlError>) -> Result<T, JsValue> {
        let (mut body, mut result) = (Some(body), None);
        self.run(&mut |core| {
            result = body.take().map(|body| body(core)).transpose()?;
            Ok(())
        })?;
        result.ok_or_else(|| js_error(&"a transaction ended without a result"))
    }

    /// The part of every transaction that is the same, compiled once.
    fn run(&self, body: &mut dyn FnMut(&mut OrganizationCore) -> Result<(), SqlError>) -> Result<(), JsValue> {
        let mut run = || {
            let mut core = self.core.try_borrow_mut().map_err(|error| SqlError(error.to_string()))?;
            body(&mut core)
        };
        platform::transaction(&self.storage, &mut run).map_err(|error| {
            // The body may have succeeded, and remembers what was rolled back after it.
            if let Ok(mut core) = self.core.try_borrow_mut() {
                core.forget();
            }
            js_error(&error)
        })
    }

    /// Takes steps of the audit under way, for some time. Each begins with nothing on
    /// its way, as far as that can be had.
    async fn audit(self: &Rc<Self>, limit_ms: i64) -> Result<(), StoreError> {
        if platform::now().millis() < self.audited_until_ms.get() {
            return Ok(());
        }
        let until_ms = platform::now().millis().saturating_add(limit_ms);
        self.audited_until_ms.set(until_ms.saturating_add(AUDIT_GRACE_MS));
        let result = self.audit_until(until_ms).await;
        self.audited_until_ms.set(0);
        result
    }

    async fn audit_until(self: &Rc<Self>, until_ms: i64) -> Result<(), StoreError> {
        while self.core.borrow().is_audited() && platform::now().millis() < until_ms {
            // A fence that is lost makes flushes fail until the audit has mended it.
            succeeded(Self::flush(self, Projection::Listing)).await;
            succeeded(Self::flush(self, Projection::Cache)).await;
            let database = D1::of(&self.env)?;
            let cache = Kv::of(&self.env)?;
            if !audit::step(&**self, &database, &cache).await? {
                break;
            }
        }
        Ok(())
    }

    /// Completes every erasure that is due, in bounded transactions, between which
    /// others have their turn. Joins the purge under way, if one is.
    fn purge(inner: &Rc<Self>) -> js_sys::Promise {
        let purging = Rc::clone(inner);
        inner.purge.share(async move {
            loop {
                match purging.transaction(|core| core.purge(&purging.sql, platform::now())) {
                    Ok(true) => executor::pause(PURGE_PAUSE_MS).await,
                    Ok(false) => break,
                    Err(error) => {
                        log_failure("Purge", &StoreError(platform::describe(&error)));
                        return false;
                    }
                }
            }
            // Deleted agents leave changes behind, which complete their erasure.
            for projection in Projection::ALL {
                if purging.core.borrow().is_behind(projection) {
                    drop(Self::flush(&purging, projection));
                }
            }
            true
        })
    }

    /// Removes what a closed object had, for one go. Only the alarm does, so that nobody else is at it.
    async fn clear(self: &Rc<Self>, closing: Closing) -> Result<(), StoreError> {
        // A closed object flushes nothing, but a flush that is under way may be writing still.
        for projection in Projection::ALL {
            succeeded(Self::flush(self, projection)).await;
        }
        let (database, cache) = (D1::of(&self.env)?, Kv::of(&self.env)?);
        let is_all = removal::clear(&**self, closing.tenant, &database, &cache).await?;
        if !is_all {
            // The next go is an invocation of its own, whose calls are counted anew.
            self.set_alarm(platform::now().millis()).map_err(|error| StoreError(error.0))
        } else if closing.completed_at.is_none() {
            self.complete(closing).map_err(|error| StoreError(platform::describe(&error)))
        } else {
            Ok(())
        }
    }

    /// The mark of a closed object.
    fn closing(&self) -> Result<Option<Closing>, StoreError> {
        self.core.borrow().closing(&self.sql).map_err(|error| StoreError(error.0))
    }

    /// Empties the object's own storage, and writes the mark again, in one turn.
    fn complete(&self, closing: Closing) -> Result<(), JsValue> {
        let now = platform::now();
        platform::delete_all(&self.storage)?;
        self.transaction(|_| {
            closing.complete(&self.sql, now)?;
            self.set_alarm(now.millis().saturating_add(LAST_LOOK_MS))
        })
    }

    /// Belongs into the transaction whose work the alarm is for.
    fn set_alarm(&self, at_ms: i64) -> Result<(), SqlError> {
        platform::set_alarm(&self.storage, at_ms).map_err(|error| SqlError(platform::describe(&error)))?;
        self.alarm_at_ms.set(Some(at_ms));
        Ok(())
    }
}

impl audit::AuditSource for Inner {
    fn tenant(&self) -> Result<Tenant, StoreError> {
        self.core.borrow().tenant().ok_or_else(begun_again)
    }

    fn next_step(&self) -> Result<Option<(AuditStep, PendingUsers)>, StoreError> {
        let step = self.transaction(|core| core.next_audit_step(&self.sql, platform::now()));
        step.map_err(|error| StoreError(platform::describe(&error)))
    }

    fn foreign_digests(&self, digests: &[String]) -> Result<(Vec<String>, i64), StoreError> {
        let foreign_digests = self.transaction(|core| core.foreign_digests(&self.sql, digests, platform::now()));
        foreign_digests.map_err(|error| StoreError(platform::describe(&error)))
    }

    fn record(&self, before: &PendingUsers, finding: AuditFinding) -> Result<(), StoreError> {
        let recorded = self.transaction(|core| core.record_audit(&self.sql, before, finding, platform::now()));
        recorded.map_err(|error| StoreError(platform::describe(&error)))
    }
}

impl removal::ClosedObject for Inner {
    fn keys(&self, prefix: &str) -> Result<Option<(Vec<String>, i64)>, StoreError> {
        let Some(closing) = self.closing()? else { return Ok(None) };
        closing.keys(&self.sql, prefix).map_err(|error| StoreError(error.0))
    }

    fn advance(&self, number: i64) -> Result<(), StoreError> {
        closing::advance(&self.sql, number).map_err(|error| StoreError(error.0))
    }

    async fn pause(&self) {
        flush::Source::pause(self).await;
    }
}

fn begun_again() -> StoreError {
    StoreError("the object has begun again".to_owned())
}

/// A store that is out of reach is tried again by the alarm; the operator may want to know.
fn log_failure(what: &str, error: &StoreError) {
    worker::console_error!("{{\"flush\":\"{what}\",\"reason\":{}}}", quote(&error.0));
}

async fn succeeded(flush: js_sys::Promise) -> bool {
    executor::fulfilled(&flush).await.is_ok_and(|success| success.is_truthy())
}

/// At once after a success that left something over, then 1 s, 2 s, 4 s … up to
/// [`ALARM_LAST_MS`].
fn backoff_ms(failures: u32) -> i64 {
    match failures.checked_sub(1) {
        None => 0,
        Some(doublings) => 1_000_i64.saturating_mul(1_i64 << doublings.min(16)).min(ALARM_LAST_MS),
    }
}

fn write(reply: &Reply) -> Result<Vec<u8>, JsValue> {
    protocol::encode(reply).map_err(|error| js_error(&error))
}

fn js_error(error: &dyn std::fmt::Display) -> JsValue {
    js_sys::Error::new(&error.to_string()).into()
}
