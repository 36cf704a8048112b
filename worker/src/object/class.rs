//! The object as `entry.mjs` calls it.

use std::rc::Rc;

use wasm_bindgen::prelude::*;
use worker::Env;

use super::surroundings::Surroundings;
use crate::{executor, platform};
use rollcall::object::ObjectState;
use rollcall::organization::core::OrganizationCore;
use rollcall::projection::StoreError;

/// The object. `entry.mjs` wraps it in a class that RPC reaches.
#[wasm_bindgen]
pub struct OrganizationObject {
    state: Rc<ObjectState<Surroundings>>,
}

#[wasm_bindgen]
impl OrganizationObject {
    #[wasm_bindgen(constructor)]
    pub fn new(state: &JsValue, env: Env) -> Result<OrganizationObject, JsValue> {
        // While the configuration is not usable, the edge calls no object.
        let configuration = platform::configuration(&env);
        let core = configuration
            .map_or_else(|_| OrganizationCore::default(), |set| OrganizationCore::new(set.mood_half_life_ms));
        Ok(Self { state: Rc::new(ObjectState::new(Surroundings::new(state, env)?, core)) })
    }

    /// Executes a call: see [`ObjectState::handle`].
    pub fn handle(&self, call: &[u8]) -> Result<Vec<u8>, JsValue> {
        ObjectState::handle(&self.state, call).map_err(js_error)
    }

    /// Holds a reply back: see [`ObjectState::listed`].
    pub fn listed(&self, reply: Vec<u8>) -> js_sys::Promise {
        let listed = ObjectState::listed(Rc::clone(&self.state), reply);
        executor::promise(async move { listed.await.map(JsValue::from).map_err(js_error) })
    }

    /// Continues an audit: see [`ObjectState::audited`].
    pub fn audited(&self, reply: Vec<u8>) -> js_sys::Promise {
        let audited = ObjectState::audited(Rc::clone(&self.state), reply);
        executor::promise(async move { audited.await.map(JsValue::from).map_err(js_error) })
    }

    /// The alarm: see [`ObjectState::wake`].
    pub fn alarm(&self) -> js_sys::Promise {
        let state = Rc::clone(&self.state);
        executor::promise(async move { ObjectState::wake(&state).await.map(|()| JsValue::UNDEFINED).map_err(js_error) })
    }
}

fn js_error(error: StoreError) -> JsValue {
    js_sys::Error::new(&error.0).into()
}
