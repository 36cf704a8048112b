//! From an HTTP request to a command, and from a reply to a response.
//!
//! Invariant: which fault wins is decided by the order of the code, and is the
//! same on every route: the route (404, 405), then the credential (401), the
//! scope (403), the bucket (429), then the input (413, 415, 400, 422), then the
//! resource (404, 409, 412).

use super::endpoints::agents::me;
use super::endpoints::public::{clerk_webhook, demo, probes};
use super::exchange::Exchange;
use super::http::dialect::Dialect;
use super::http::headers;
use super::http::request::{Incoming, Target};
use super::http::response::{Content, Response};
use super::routes::{self, Action, Match, PublicEndpoint, Route};
use super::runtime::Runtime;
use super::{endpoint, log, operator, render};
use crate::directory::identifiers::RequestId;
use crate::directory::timestamp::Timestamp;
use crate::fault::Fault;
use crate::json;

/// The route of a request that has none, in the log.
const UNMATCHED: &str = "unmatched";

/// Answers one request. Never fails: what goes wrong becomes a response.
pub async fn serve<R: Runtime, I: Incoming>(runtime: &R, incoming: &I) -> Response {
    let received_at = runtime.now();
    let request_id = request_id(runtime, received_at);
    let (url, method) = (incoming.url(), incoming.method());
    let target = Target::parse(url);
    let mut exchange = Exchange {
        runtime,
        incoming,
        target,
        request_id,
        received_at,
        organization_id: None,
        charged: None,
        quota: None,
        rows_read: None,
        served_by: None,
    };
    let (dialect, route, result) = if method == "OPTIONS" {
        (Dialect::of_path(target.path), UNMATCHED, preflight(&exchange))
    } else {
        match routes::find(method, target.path) {
            Match::Found { route, parameters } => {
                (route.dialect, route.pattern, dispatch(&mut exchange, route, &parameters).await)
            }
            Match::MethodNotAllowed { dialect, allow } => (dialect, UNMATCHED, Err(Fault::MethodNotAllowed { allow })),
            Match::NotFound { dialect } => (dialect, UNMATCHED, Err(Fault::RouteNotFound)),
        }
    };
    let (outcome, reason) = match &result {
        Ok(_) => ("ok", None),
        Err(fault) => (fault.code(), fault.log_reason()),
    };
    let status = match &result {
        Ok(response) => response.status,
        Err(fault) => fault.status(),
    };
    let line = log::Line {
        request_id,
        method,
        route,
        status,
        organization_id: exchange.organization_id,
        duration_ms: runtime.now().millis().saturating_sub(received_at.millis()),
        outcome,
        rows_read: exchange.rows_read,
        served_by: exchange.served_by,
        reason,
    };
    if let Ok(line) = json::write(&line) {
        runtime.log(&line);
    }
    finish(&mut exchange, dialect, result, method == "HEAD")
}

fn request_id<R: Runtime>(runtime: &R, now: Timestamp) -> RequestId {
    // Without entropy the request still has an id; whatever needs a secret fails by itself.
    RequestId::new(now, runtime.random().unwrap_or_default())
}

/// Adds the headers that follow from what the exchange found out.
fn finish<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    dialect: Dialect,
    result: Result<Response, Fault>,
    head: bool,
) -> Response {
    let mut response = match result {
        Ok(response) => response,
        Err(fault) => {
            exchange.quota = headers::quota(&fault).or(exchange.quota);
            render::fault(dialect, &fault, exchange.request_id, exchange.target.origin)
        }
    };
    if let Some(quota) = exchange.quota {
        response = headers::quota_used(response, quota);
    }
    if let Some(charged) = exchange.charged {
        response = headers::rate_limit(response, charged);
    }
    // What depends on a credential, or on the moment, is nobody else's to keep.
    response = response.with("Cache-Control", "no-store");
    let configuration = exchange.runtime.configuration().ok();
    let origin = exchange.incoming.header("Origin");
    response = headers::cross_origin(response, dialect, origin.as_deref(), configuration.as_deref());
    if head {
        response.body = Content::None;
    }
    headers::universal(response, exchange.request_id, exchange.target.origin)
}

/// `OPTIONS`, with or without the headers of a preflight: no credential needed,
/// nothing told about the path.
fn preflight<R: Runtime, I: Incoming>(exchange: &Exchange<'_, R, I>) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let origin = exchange.incoming.header("Origin");
    let response = Response::new(204);
    let cross_origin = Dialect::of_path(exchange.target.path).cross_origin();
    let allowed = cross_origin && headers::allowed(origin.as_deref(), Some(&configuration)).is_some();
    Ok(if allowed { headers::preflight(response) } else { response })
}

async fn dispatch<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    route: &Route,
    parameters: &[&str],
) -> Result<Response, Fault> {
    match route.action {
        Action::Public(endpoint) => {
            exchange.take_public_token()?;
            match endpoint {
                PublicEndpoint::Health => Ok(probes::health()),
                PublicEndpoint::Ready => probes::ready(exchange).await,
                PublicEndpoint::Demo => Ok(demo::told(&*exchange.configuration()?, exchange.target.origin)),
            }
        }
        Action::Key { kind, scope, endpoint } => {
            let holder = exchange.key(kind, scope)?;
            endpoint::serve(exchange, &holder, route.method, endpoint, parameters).await
        }
        Action::Session => me::get(exchange).await,
        Action::ClerkEvent => clerk_webhook::receive(exchange).await,
        Action::Admin(endpoint) => {
            let operator = exchange.admin()?;
            operator::serve(exchange, operator, endpoint, parameters).await
        }
    }
}
