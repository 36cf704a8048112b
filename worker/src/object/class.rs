//! The object as `entry.mjs` calls it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use worker::Env;

use super::flushes::Flushes;
use super::state::{ObjectState, js_error, log_failure};
use crate::executor::{self, SharedWork};
use crate::platform;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{self, Answer, Rejection, Reply};

/// The object. `entry.mjs` wraps it in a class that RPC reaches.
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
        // While the configuration is not usable, the edge calls no object.
        let configuration = platform::configuration(&env);
        let core = configuration
            .map_or_else(|_| OrganizationCore::default(), |set| OrganizationCore::new(set.mood_half_life_ms));
        let state = ObjectState {
            storage,
            env,
            sql,
            core: RefCell::new(core),
            alarm_at_ms: Cell::new(None),
            alarm_was_looked_at: Cell::new(false),
            alarm_failures: Cell::new(0),
            audited_until_ms: Cell::new(0),
            flushes: Flushes::default(),
            purge: SharedWork::default(),
        };
        Ok(Self { state: Rc::new(state) })
    }

    /// Executes a call and answers as soon as it is committed. It is synchronous, so that even a trap
    /// is an exception for the caller.
    pub fn handle(&self, call: &[u8]) -> Result<Vec<u8>, JsValue> {
        let reply = ObjectState::commit(&self.state, call)?;
        write(&reply)
    }

    /// Holds a reply back until the listing has every change up to the call, and notes in the reply
    /// whether it has.
    pub fn listed(&self, reply: Vec<u8>) -> js_sys::Promise {
        let state = Rc::clone(&self.state);
        executor::promise(async move {
            let mut reply: Reply = protocol::decode(&reply).map_err(js_error)?;
            if !matches!(reply.outcome, Err(Rejection::Denied(_))) {
                reply.listed = Some(ObjectState::list_everything(&state).await);
            }
            write(&reply).map(JsValue::from)
        })
    }

    /// Continues the audit that a call has begun, as long as a caller may wait, and answers with what it
    /// has found so far.
    pub fn audited(&self, reply: Vec<u8>) -> js_sys::Promise {
        let state = Rc::clone(&self.state);
        executor::promise(async move {
            let mut reply: Reply = protocol::decode(&reply).map_err(js_error)?;
            // The alarm tries again what cannot be reached now.
            if let Err(error) = state.audit().await {
                log_failure("Audit", &error);
            }
            // The object may have been closed meanwhile, or before.
            let report = state.transaction(|core| core.report(&state.sql, platform::now())).map_err(js_error)?;
            reply.outcome = match state.closing().map_err(js_error)? {
                Some(_) => Err(Rejection::Closed),
                None => Ok(Answer::StartAudit(report)),
            };
            write(&reply).map(JsValue::from)
        })
    }

    /// The alarm: see [`super::alarm`].
    pub fn alarm(&self) -> js_sys::Promise {
        let state = Rc::clone(&self.state);
        executor::promise(async move { ObjectState::wake(&state).await.map(|()| JsValue::UNDEFINED) })
    }
}

fn write(reply: &Reply) -> Result<Vec<u8>, JsValue> {
    protocol::encode(reply).map_err(js_error)
}
