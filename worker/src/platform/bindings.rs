//! The bindings of `wrangler.toml`, and the messages of platform errors.

use crate::executor::PromiseError;
use wasm_bindgen::prelude::*;
use wasm_bindgen::{JsCast, JsValue};

use rollcall::projection::StoreError;

/// The message of a JavaScript error, for the log.
pub fn describe(error: &JsValue) -> String {
    let message = js_sys::Reflect::get(error, &JsValue::from_str("message")).ok().and_then(|text| text.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| "an error that says nothing".to_owned())
}

/// The error of a store that rejected a promise or gave no answer in time.
pub fn describe_unsettled(store: &str, error: &PromiseError) -> StoreError {
    StoreError(match error {
        PromiseError::Rejected(error) => format!("{store}: {}", describe(error)),
        PromiseError::TimedOut => format!("{store}: no answer in time"),
    })
}

#[wasm_bindgen]
extern "C" {
    /// The bindings of `wrangler.toml`.
    pub type Bindings;

    #[wasm_bindgen(method, getter, js_name = ORGANIZATIONS)]
    pub fn organizations(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = RECORDS)]
    pub fn records(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = LISTING)]
    pub fn listing(this: &Bindings) -> JsValue;

    /// This binding is optional.
    #[wasm_bindgen(method, getter, js_name = AI)]
    pub fn ai(this: &Bindings) -> JsValue;

    /// This binding is optional.
    #[wasm_bindgen(method, getter, js_name = METRICS)]
    pub fn metrics(this: &Bindings) -> JsValue;
}

/// A binding, or the error that it is missing.
pub fn binding<T: JsCast>(env: &worker::Env, name: &str, get: fn(&Bindings) -> JsValue) -> Result<T, StoreError> {
    let binding = get(env.unchecked_ref());
    if binding.is_object() {
        Ok(binding.unchecked_into())
    } else {
        Err(StoreError(format!("the binding {name} is missing")))
    }
}
