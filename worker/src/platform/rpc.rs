//! Calls to an organization's object, by RPC. Call and reply are bytes.
//!
//! Measured on workerd, a request with one call to an object takes 245 to 255 µs of CPU this way, and 370 to
//! 560 µs by `stub.fetch` to a `#[durable_object]` class.

use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use super::bindings::describe;
use super::listener::{self, Listener};
use crate::executor::{PromiseError, settle};
use rollcall::directory::identifiers::Tenant;
use rollcall::directory::placement::{Jurisdiction, LocationHint};
use rollcall::edge::runtime::{CallError, ObjectMethod};

/// The longest wait for an object, in milliseconds.
const LIMIT_MS: u32 = 15_000;

#[wasm_bindgen]
extern "C" {
    pub type Namespace;

    type Stub;

    #[wasm_bindgen(method, catch, js_name = getByName)]
    fn get_by_name(this: &Namespace, name: &str) -> Result<Stub, JsValue>;

    #[wasm_bindgen(method, catch, js_name = getByName)]
    fn get_by_name_at(this: &Namespace, name: &str, options: &JsValue) -> Result<Stub, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn jurisdiction(this: &Namespace, name: &str) -> Result<Namespace, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn handle(this: &Stub, call: &Uint8Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = handleListed)]
    fn handle_listed(this: &Stub, call: &Uint8Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = handleAudited)]
    fn handle_audited(this: &Stub, call: &Uint8Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn ping(this: &Stub) -> Result<JsValue, JsValue>;
}

impl Namespace {
    /// The objects that are bound to a jurisdiction.
    pub fn within(self, jurisdiction: Option<Jurisdiction>) -> Result<Self, CallError> {
        match jurisdiction {
            Some(jurisdiction) => {
                Self::jurisdiction(&self, jurisdiction.into_str()).map_err(|error| failed(&describe(&error)))
            }
            None => Ok(self),
        }
    }

    fn stub(&self, tenant: Tenant, location: Option<LocationHint>) -> Result<Stub, JsValue> {
        let name = tenant.to_string();
        let Some(location) = location else { return self.get_by_name(&name) };
        let options = js_sys::Object::new();
        js_sys::Reflect::set(&options, &"locationHint".into(), &location.into_str().into())?;
        self.get_by_name_at(&name, &options)
    }

    /// Calls an object by a new stub, as a stub may be broken for good after an error.
    pub async fn call(
        &self,
        tenant: Tenant,
        location: Option<LocationHint>,
        method: ObjectMethod,
        call: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        // A copy. A call with a view carries the whole buffer behind it, which is the memory of the module.
        let call = Uint8Array::from(call);
        let answer = self.stub(tenant, location).and_then(|stub| match method {
            ObjectMethod::Handle => stub.handle(&call),
            ObjectMethod::HandleListed => stub.handle_listed(&call),
            ObjectMethod::HandleAudited => stub.handle_audited(&call),
        });
        let reply = settle(LIMIT_MS, answer).await.map_err(call_error)?;
        let reply = reply.dyn_into::<Uint8Array>();
        reply.map(|bytes| bytes.to_vec()).map_err(|_| failed("the object answered with something that is no bytes"))
    }

    /// Connects to an object, to hear of its events.
    pub async fn listen(&self, tenant: Tenant) -> Result<Listener, CallError> {
        let connected = self.stub(tenant, None).map(|stub| listener::listen(&stub).into());
        let connection = settle(LIMIT_MS, connected).await.map_err(call_error)?;
        Ok(Listener(connection.unchecked_into()))
    }

    pub async fn ping_object(&self) -> Result<(), CallError> {
        let answer = self.get_by_name("readiness").and_then(|stub| stub.ping());
        settle(LIMIT_MS, answer).await.map(drop).map_err(call_error)
    }
}

/// <https://developers.cloudflare.com/durable-objects/best-practices/error-handling/>
fn call_error(error: PromiseError) -> CallError {
    let PromiseError::Rejected(error) = error else { return failed("the object did not answer in time") };
    let flag = |name: &str| {
        js_sys::Reflect::get(&error, &JsValue::from_str(name)).ok().and_then(|flag| flag.as_bool()).unwrap_or(false)
    };
    CallError { overloaded: flag("overloaded"), retryable: flag("retryable"), message: describe(&error) }
}

/// A call that failed on the way, for a reason that another attempt does not change.
pub fn failed(message: &str) -> CallError {
    CallError { overloaded: false, retryable: false, message: message.to_owned() }
}
