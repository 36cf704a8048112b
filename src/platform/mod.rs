//! The platform at the rim: the only place, with `lib.rs` and the object, where
//! types of `worker`, `js-sys`, `web-sys` and `wasm-bindgen` appear.

mod ai;
mod clock;
mod crypto;
mod d1;
mod entropy;
mod fetch;
mod http;
mod kv;
mod rpc;
mod runtime;
mod sql;
mod task;
mod under_way;

pub use clock::now;
pub use d1::D1;
pub use entropy::random;
pub use http::{Context, HttpRequest, into_response};
pub use kv::Kv;
pub use runtime::{WorkerRuntime, configuration};
pub use sql::{ObjectSql, delete_all, set_alarm, transaction};
pub use task::{Unsettled, fulfilled, pause, prepare, promise, settle};
pub use under_way::UnderWay;

use wasm_bindgen::prelude::*;
use wasm_bindgen::{JsCast, JsValue};

use crate::organization::sql::Parameter;
use crate::projection::StoreError;

/// What a JavaScript error says, for the log.
pub fn describe(error: &JsValue) -> String {
    let message = js_sys::Reflect::get(error, &JsValue::from_str("message")).ok().and_then(|text| text.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| "an error that says nothing".to_owned())
}

fn describe_unsettled(store: &str, error: &Unsettled) -> StoreError {
    StoreError(match error {
        Unsettled::Rejected(error) => format!("{store}: {}", describe(error)),
        Unsettled::TimedOut => format!("{store}: no answer in time"),
    })
}

#[wasm_bindgen]
extern "C" {
    /// What `wrangler.toml` binds.
    type Bindings;

    #[wasm_bindgen(method, getter, js_name = ORGANIZATIONS)]
    fn organizations(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = RECORDS)]
    fn records(this: &Bindings) -> JsValue;

    #[wasm_bindgen(method, getter, js_name = LISTING)]
    fn listing(this: &Bindings) -> JsValue;

    /// Need not be there.
    #[wasm_bindgen(method, getter, js_name = AI)]
    fn ai(this: &Bindings) -> JsValue;
}

fn binding<T: JsCast>(env: &worker::Env, name: &str, get: fn(&Bindings) -> JsValue) -> Result<T, StoreError> {
    let binding = get(env.unchecked_ref());
    if binding.is_object() {
        Ok(binding.unchecked_into())
    } else {
        Err(StoreError(format!("the binding {name} is missing")))
    }
}

/// A parameter as both databases take it.
fn bind(parameter: &Parameter<'_>) -> JsValue {
    match parameter {
        Parameter::Null => JsValue::NULL,
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which `Parameter` promises")]
        Parameter::Integer(number) => JsValue::from_f64(*number as f64),
        Parameter::Text(text) => JsValue::from_str(text),
    }
}
