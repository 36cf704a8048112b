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

    use web_sys::{Request, Response};
    use worker::{Context, Env, ScheduleContext, ScheduledEvent, event};

    use crate::edge;
    use crate::edge::public_limiter::PublicLimiter;
    use crate::platform::{HttpRequest, WorkerRuntime, into_response};

    thread_local! {
        static PUBLIC_LIMITER: &'static RefCell<PublicLimiter> = Box::leak(Box::default());
    }

    #[event(fetch)]
    async fn fetch(request: Request, env: Env, context: Context) -> Result<Response, Unrenderable> {
        let runtime = WorkerRuntime::new(env, PUBLIC_LIMITER.with(|limiter| *limiter));
        into_response(edge::serve(&runtime, &HttpRequest(request)).await, &context).map_err(|_| Unrenderable)
    }

    /// The platform refused a response that we made.
    #[derive(Debug)]
    struct Unrenderable;

    impl std::fmt::Display for Unrenderable {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("a response could not be made")
        }
    }

    impl std::error::Error for Unrenderable {}

    /// The cron trigger of `wrangler.toml`.
    #[event(scheduled)]
    async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
        let runtime = WorkerRuntime::new(env, PUBLIC_LIMITER.with(|limiter| *limiter));
        edge::audits::tick(&runtime).await;
    }
}
