//! Rollcall: the user directory for AI products that runs at the edge.
//!
//! `ARCHITECTURE.md` has the map and walks one request through it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod directory;
pub mod edge;
pub mod guards;
pub mod organization;
pub mod projection;

#[cfg(target_arch = "wasm32")]
mod platform;

#[cfg(target_arch = "wasm32")]
mod worker_exports {
    use std::cell::RefCell;

    use js_sys::Promise;
    use wasm_bindgen::prelude::*;
    use web_sys::Request;
    use worker::Env;

    use crate::edge;
    use crate::edge::public_limiter::PublicLimiter;
    use crate::platform::{self, Context, HttpRequest, WorkerRuntime, into_response};

    thread_local! {
        static PUBLIC_LIMITER: &'static RefCell<PublicLimiter> = Box::leak(Box::default());
    }

    /// A request. The promise is rejected only if the platform refuses the response that we made.
    #[wasm_bindgen]
    pub fn fetch(request: Request, env: Env, context: Context) -> Promise {
        let runtime = WorkerRuntime::new(env, PUBLIC_LIMITER.with(|limiter| *limiter));
        platform::promise(async move {
            let response = edge::serve(&runtime, &HttpRequest::new(request)).await;
            into_response(response, &context).map(JsValue::from)
        })
    }

    /// The cron trigger of `wrangler.toml`.
    #[wasm_bindgen]
    pub fn scheduled(env: Env) -> Promise {
        let runtime = WorkerRuntime::new(env, PUBLIC_LIMITER.with(|limiter| *limiter));
        platform::promise(async move {
            edge::audits::tick(&runtime).await;
            Ok(JsValue::UNDEFINED)
        })
    }
}
