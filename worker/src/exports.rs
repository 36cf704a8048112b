//! The functions that `entry.mjs` calls for requests and cron triggers.

use js_sys::Promise;
use rollcall::edge;
use wasm_bindgen::prelude::*;
use web_sys::Request;
use worker::Env;

use crate::executor;
use crate::platform::{Context, HttpRequest, WorkerRuntime, into_response};

/// Answers a request. The promise is rejected only if the platform refuses the response.
#[wasm_bindgen]
pub fn fetch(request: Request, env: Env, context: Context) -> Promise {
    let runtime = WorkerRuntime::new(env, Some(Clone::clone(&request)));
    executor::promise(async move {
        let response = edge::pipeline::serve(&runtime, &HttpRequest::new(request)).await;
        into_response(response, &context).map(JsValue::from)
    })
}

/// Runs the cron trigger of `wrangler.toml`.
#[wasm_bindgen]
pub fn scheduled(env: Env) -> Promise {
    let runtime = WorkerRuntime::new(env, None);
    executor::promise(async move {
        edge::scheduled::tick(&runtime).await;
        Ok(JsValue::UNDEFINED)
    })
}
