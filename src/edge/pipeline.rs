//! From an HTTP request to a command, and from a reply to a response.
//!
//! Invariant: which fault wins is decided by the order of the code, and is the same on every route: the route (404,
//! 405), then the credential (401), the scope (403), the bucket (429), then the input (413, 415, 400, 422), then
//! the resource (404, 409, 412).

use super::calls::Request;
use super::edge_reads::{self, Answered};
use super::endpoint::{Endpoint, Input, Plan, PlanFunction};
use super::endpoints::admin::{
    deletions, diagnostics, export as export_organization, import, keys, operators as operator_tokens, organizations,
    repair, usage,
};
use super::endpoints::agents::{agent_users, me};
use super::endpoints::public::{clerk_webhook, demo, probes};
use super::endpoints::v1::{end_users, events, export, respond};
use super::exchange::{Exchange, KeyHolder, Operator};
use super::http::body::BodyKind;
use super::http::cache_control;
use super::http::dialect::Dialect;
use super::http::headers;
use super::http::method::Method;
use super::http::request::{Incoming, Target};
use super::http::response::{Content, Response};
use super::routes::{self, Action, AdminHandler, KeyHandler, Match, PublicEndpoint, Route};
use super::runtime::Runtime;
use super::waits::Waits;
use super::{log, operators, render};
use crate::directory::identifiers::RequestId;
use crate::directory::timestamp::Timestamp;
use crate::fault::Fault;

/// The route of a request that has none, in the log.
const UNMATCHED: &str = "unmatched";

/// Answers one request. Never fails: every fault becomes a response.
pub async fn serve<R: Runtime>(runtime: &R, incoming: &R::Incoming) -> Response {
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
        operator_id: None,
        charged: None,
        quota: None,
        rows_read: None,
        waits: Waits::default(),
        is_replayed: false,
        listing_is_current: false,
        lease: None,
        is_from_edge: false,
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
    let line = log::RequestLine {
        request_id,
        method,
        route,
        status,
        organization_id: exchange.organization_id,
        operator_id: exchange.operator_id,
        duration_ms: runtime.now().millis().saturating_sub(received_at.millis()),
        outcome,
        source: exchange.is_from_edge.then_some("edge"),
        waited: exchange.waits.so_far(),
        rows_read: exchange.rows_read,
        reason,
    };
    log::end_of_request(runtime, &line);
    finish(&mut exchange, dialect, result, method == "HEAD")
}

fn request_id(runtime: &impl Runtime, now: Timestamp) -> RequestId {
    // Without entropy the request still has an id. An endpoint that needs a secret fails by itself.
    RequestId::new(now, runtime.random().unwrap_or_default())
}

/// Adds the headers that follow from the state of the exchange.
fn finish(
    exchange: &mut Exchange<'_, impl Runtime>,
    dialect: Dialect,
    result: Result<Response, Fault>,
    head: bool,
) -> Response {
    let mut response = match result {
        Ok(response) if exchange.is_replayed => response.with("Idempotency-Replayed", "true"),
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
    // An answer depends on the credential or on the moment, so no cache may keep it. A proxy that compresses an answer
    // weakens its tag (RFC 9110, section 8.8.1), which `no-transform` prevents.
    response = response.with("Cache-Control", "no-store, no-transform");
    let configuration = exchange.runtime.configuration().ok();
    let origin = exchange.incoming.header("Origin");
    response = headers::cross_origin(response, dialect, origin.as_deref(), configuration.as_deref());
    if head {
        response.body = Content::None;
    }
    headers::universal(response, exchange.request_id, exchange.target.origin)
}

/// Answers `OPTIONS`, with or without the headers of a preflight. It needs no credential and tells nothing about
/// the path.
fn preflight(exchange: &Exchange<'_, impl Runtime>) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let origin = exchange.incoming.header("Origin");
    let response = Response::new(204);
    let cross_origin = Dialect::of_path(exchange.target.path).cross_origin();
    let allowed = cross_origin && headers::allowed(origin.as_deref(), Some(&configuration)).is_some();
    Ok(if allowed { headers::preflight(response) } else { response })
}

async fn dispatch(
    exchange: &mut Exchange<'_, impl Runtime>,
    route: &Route,
    parameters: &[&str],
) -> Result<Response, Fault> {
    match route.action {
        Action::Public(endpoint) => {
            // The probes say what is wrong with a configuration that does not read, and sets no bucket.
            if exchange.runtime.configuration().is_ok() {
                exchange.take_public_token()?;
            }
            match endpoint {
                PublicEndpoint::Health => probes::health(),
                PublicEndpoint::Ready => probes::ready(exchange).await,
                PublicEndpoint::Demo => {
                    let site = exchange.incoming.header("Sec-Fetch-Site");
                    demo::get(&*exchange.configuration()?, exchange.target, site.as_deref())
                }
            }
        }
        Action::Key { kind, scope, endpoint } => {
            let holder = exchange.key(kind, scope)?;
            answer_holder(exchange, &holder, route.method, endpoint, parameters).await
        }
        Action::Session => me::get(exchange).await,
        Action::ClerkEvent => clerk_webhook::receive(exchange).await,
        Action::Diagnostics => {
            let operator = operators::authenticate(exchange).await?;
            diagnostics::get(exchange, operator).await
        }
        Action::Admin(endpoint) => {
            let operator = operators::authenticate(exchange).await?;
            answer_operator(exchange, operator, endpoint, parameters).await
        }
    }
}

/// Answers the holder of a key. The object admits the caller before the edge reports a fault in the input.
async fn answer_holder(
    exchange: &mut Exchange<'_, impl Runtime>,
    holder: &KeyHolder,
    method: Method,
    endpoint: Endpoint<KeyHandler>,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    if endpoint.body != BodyKind::None {
        // A batch that the bucket cannot pay for is told when it can.
        let cost = if let BodyKind::Batch { .. } = endpoint.body { 0 } else { 1 };
        exchange.check_before_body(holder, cost).await?;
    }
    let body = exchange.read_body(endpoint.body).await;
    let input = body.and_then(|body| {
        let idempotency = if method == Method::Post { exchange.idempotency_key(body.bytes())? } else { None };
        let input = Input::new(exchange, holder.tenant, &configuration, parameters, body)?;
        Ok(Input { idempotency, ..input })
    });
    let input = exchange.admitted(holder, input).await?;
    match endpoint.handler {
        KeyHandler::OneCall(plan) => one_call(exchange, holder, plan, input).await,
        KeyHandler::ListEndUsers => end_users::list(exchange, holder, input).await,
        KeyHandler::Export => export::export(exchange, holder, input).await,
        KeyHandler::Respond => respond::respond(exchange, holder, input).await,
        KeyHandler::ListAgentUsers => agent_users::list(exchange, holder, input).await,
        KeyHandler::ListEvents => events::list(exchange, holder, input).await,
    }
}

async fn one_call(
    exchange: &mut Exchange<'_, impl Runtime>,
    holder: &KeyHolder,
    plan: PlanFunction,
    mut input: Input<'_>,
) -> Result<Response, Fault> {
    let planned = plan(&mut input);
    let Plan { command, cost, respond, copy } = exchange.admitted(holder, input.complete(planned)).await?;
    let request = Request { cost, idempotency: input.idempotency.take(), ..Request::new(command) };
    let Some(copy) = copy else { return respond(exchange.execute(holder, request).await?) };
    let max_stale_s = exchange.incoming.header("Cache-Control").as_deref().and_then(cache_control::max_stale_s);
    // KV is outside of every jurisdiction.
    let max_stale_s = max_stale_s.filter(|_| input.configuration.jurisdiction.is_none());
    let answered = match max_stale_s {
        Some(max_stale_s) => edge_reads::read(exchange, holder, request, &copy, max_stale_s).await?,
        None => Answered::ByObject(exchange.execute(holder, request).await?),
    };
    Ok(match answered {
        Answered::FromCopy(response) => response.with(edge_reads::SOURCE, "edge"),
        Answered::ByObject(answer) => respond(answer)?.with(edge_reads::SOURCE, "object"),
    })
}

async fn answer_operator(
    exchange: &mut Exchange<'_, impl Runtime>,
    operator: Operator,
    endpoint: Endpoint<AdminHandler>,
    parameters: &[&str],
) -> Result<Response, Fault> {
    // The log line names the organization.
    if exchange.target.path.starts_with("/admin/v1/organizations/") {
        exchange.organization_id = parameters.first().and_then(|text| text.parse().ok());
    }
    let configuration = exchange.configuration()?;
    let body = exchange.read_body(endpoint.body).await?;
    let input = Input::new(exchange, operator, &configuration, parameters, body)?;
    match endpoint.handler {
        AdminHandler::CreateOrganization => organizations::create(exchange, input).await,
        AdminHandler::ListOrganizations => organizations::list(exchange, input).await,
        AdminHandler::GetOrganization => organizations::get(exchange, input).await,
        AdminHandler::UpdateOrganization => organizations::update(exchange, input).await,
        AdminHandler::DeleteOrganization => deletions::request(exchange, input).await,
        AdminHandler::GetDeletion => deletions::get(exchange, input).await,
        AdminHandler::IssueKey => keys::issue(exchange, input).await,
        AdminHandler::ListKeys => keys::list(exchange, input).await,
        AdminHandler::RevokeKey => keys::revoke(exchange, input).await,
        AdminHandler::GetUsage => usage::get(exchange, input).await,
        AdminHandler::StartRepair => repair::start(exchange, input).await,
        AdminHandler::GetRepair => repair::get(exchange, input).await,
        AdminHandler::Export => export_organization::get(exchange, input).await,
        AdminHandler::Import => import::post(exchange, input).await,
        AdminHandler::CreateOperator => operator_tokens::create(exchange, input).await,
        AdminHandler::ListOperators => operator_tokens::list(exchange, input).await,
        AdminHandler::RevokeOperator => operator_tokens::revoke(exchange, input).await,
    }
}
