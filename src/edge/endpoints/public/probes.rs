//! `GET /health` and `GET /ready`.

use serde::Serialize;

use crate::edge::exchange::Exchange;
use crate::edge::http::response::Response;
use crate::edge::runtime::{Runtime, timed};
use crate::fault::Fault;
use crate::projection::{Cache, Database, Statement};

/// `GET /health`: the Worker answers. It asks no store.
pub fn health() -> Result<Response, Fault> {
    Response::json(200, &Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

#[derive(Serialize, schemars::JsonSchema)]
pub struct Health {
    #[schemars(extend("const" = "ok"))]
    status: &'static str,
    version: &'static str,
}

#[derive(Serialize, schemars::JsonSchema)]
pub struct Readiness {
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Checks {
    configuration: Check,
    objects: Check,
    kv: Check,
    d1: Check,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Check {
    ok: bool,
    latency_ms: i64,
}

/// `GET /ready`: 200 when every binding can be reached, else 503; with the latency of each.
pub async fn ready(exchange: &mut Exchange<'_, impl Runtime>) -> Result<Response, Fault> {
    let runtime = exchange.runtime;
    let configuration = check(runtime, async { runtime.configuration().is_ok() }).await;
    let objects = check(runtime, async { runtime.ping_object().await.is_ok() }).await;
    let kv = check(runtime, async {
        match runtime.cache() {
            Ok(cache) => cache.get("readiness").await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    let d1 = check(runtime, async {
        let select = Statement::new("SELECT slug AS text FROM organizations LIMIT 1", []);
        match runtime.database() {
            Ok(database) => database.query(&select).await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
    let ready = configuration.ok && objects.ok && kv.ok && d1.ok;
    let readiness = Readiness {
        status: if ready { "ready" } else { "not_ready" },
        checks: Checks { configuration, objects, kv, d1 },
    };
    let response = Response::json(if ready { 200 } else { 503 }, &readiness)?;
    Ok(if ready { response } else { response.with("Retry-After", "1") })
}

async fn check(runtime: &impl Runtime, check: impl Future<Output = bool>) -> Check {
    let (ok, latency_ms) = timed(runtime, check).await;
    Check { ok, latency_ms }
}
