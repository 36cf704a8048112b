//! What Cloudflare runs: the exports of the Worker, and everything that knows the platform.

#![cfg(target_arch = "wasm32")]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

const _: () = assert!(
    !rollcall::guards::CAN_BE_SWITCHED_OFF,
    "the Worker must not be built with guards that can be switched off"
);

mod executor;
mod object;
mod platform;

use std::cell::RefCell;

use js_sys::Promise;
use rollcall::edge;
use rollcall::edge::public_limiter::PublicLimiter;
use wasm_bindgen::prelude::*;
use web_sys::Request;
use worker::Env;

use crate::platform::{Context, HttpRequest, WorkerRuntime, into_response};

thread_local! {
    static PUBLIC_LIMITER: &'static RefCell<PublicLimiter> = Box::leak(Box::default());
}

/// A request. The promise is rejected only if the platform refuses the response that we made.
#[wasm_bindgen]
pub fn fetch(request: Request, env: Env, context: Context) -> Promise {
    let runtime = WorkerRuntime::new(env, PUBLIC_LIMITER.with(|limiter| *limiter));
    executor::promise(async move {
        let response = edge::pipeline::serve(&runtime, &HttpRequest::new(request)).await;
        into_response(response, &context).map(JsValue::from)
    })
}

/// The cron trigger of `wrangler.toml`.
#[wasm_bindgen]
pub fn scheduled(env: Env) -> Promise {
    let runtime = WorkerRuntime::new(env, PUBLIC_LIMITER.with(|limiter| *limiter));
    executor::promise(async move {
        edge::scheduled::tick(&runtime).await;
        Ok(JsValue::UNDEFINED)
    })
}
