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

    use worker::{Context, Env, Request, Response, event};

    use crate::edge;
    use crate::edge::public_limiter::PublicLimiter;
    use crate::platform::{HttpRequest, WorkerRuntime, into_response};

    thread_local! {
        static PUBLIC_LIMITER: &'static RefCell<PublicLimiter> = Box::leak(Box::default());
    }

    #[event(fetch)]
    async fn fetch(request: Request, env: Env, _context: Context) -> worker::Result<Response> {
        let runtime = WorkerRuntime::new(env, PUBLIC_LIMITER.with(|limiter| *limiter));
        into_response(edge::serve(&runtime, &HttpRequest(request)).await)
    }
}
