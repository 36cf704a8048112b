//! The class that `entry.mjs` makes an RPC target of.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use worker::Env;

use super::flushes::Flushes;
use super::state::{ObjectState, js_error, log_failure};
use crate::executor::{self, SharedWork};
use crate::platform;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{self, Outcome, Reply};

/// How long an audit goes on while a caller waits, in milliseconds.
const AUDIT_WAIT_MS: i64 = 5_000;

/// What `entry.mjs` wraps in a class that has RPC.
#[wasm_bindgen]
pub struct OrganizationObject {
    state: Rc<ObjectState>,
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
        let state = ObjectState {
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
        Ok(Self { state: Rc::new(state) })
    }

    /// Executes a call and answers as soon as it is committed. Synchronous, so
    /// that even a trap is an exception at the caller.
    pub fn handle(&self, call: &[u8]) -> Result<Vec<u8>, JsValue> {
        let reply = ObjectState::commit(&self.state, call)?;
        write(&reply)
    }

    /// Holds the reply to a call back until the listing has everything up to it,
    /// or notes in it that it has not.
    pub fn listed(&self, reply: Vec<u8>) -> js_sys::Promise {
        let state = Rc::clone(&self.state);
        executor::promise(async move {
            let mut reply: Reply = protocol::decode(&reply).map_err(|error| js_error(&error))?;
            if !matches!(reply.outcome, Outcome::Denied(_)) {
                reply.listed = Some(ObjectState::list_everything(&state).await);
            }
            write(&reply).map(JsValue::from)
        })
    }

    /// Takes steps of an audit that a call has begun, for as long as a caller may be
    /// kept waiting, and answers with what was found so far.
    pub fn audited(&self, reply: Vec<u8>) -> js_sys::Promise {
        let state = Rc::clone(&self.state);
        executor::promise(async move {
            let mut reply: Reply = protocol::decode(&reply).map_err(|error| js_error(&error))?;
            // What can't be reached now, the alarm tries again.
            if let Err(error) = state.audit(AUDIT_WAIT_MS).await {
                log_failure("Audit", &error);
            }
            // It may have been closed meanwhile, or have been so already.
            let report = state.transaction(|core| core.report(&state.sql, platform::now()))?;
            reply.outcome = match state.closing().map_err(|error| js_error(&error))? {
                Some(_) => Outcome::Closed,
                None => Outcome::Audit(report),
            };
            write(&reply).map(JsValue::from)
        })
    }

    /// The backstop: flushes what no request has flushed, sweeps what has expired,
    /// and comes again as long as there is something to come for.
    pub fn alarm(&self) -> js_sys::Promise {
        let state = Rc::clone(&self.state);
        executor::promise(async move { ObjectState::wake(&state).await.map(|()| JsValue::UNDEFINED) })
    }
}

fn write(reply: &Reply) -> Result<Vec<u8>, JsValue> {
    protocol::encode(reply).map_err(|error| js_error(&error))
}
