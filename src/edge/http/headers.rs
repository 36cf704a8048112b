//! The headers that contract every response carries, and when.

use super::dialect::Dialect;
use super::response::Response;
use crate::directory::identifiers::RequestId;
use crate::directory::quota::Quota;
use crate::edge::configuration::Configuration;
use crate::fault::Fault;
use crate::organization::protocol::Admission;

/// The bucket that a request took its token from.
#[derive(Debug, Clone, Copy)]
pub enum Charged {
    Organization(Admission),
    Client(Admission),
}

/// Headers that a browser on an allowed origin may read.
const EXPOSED: &str = "X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit-Policy, \
    RateLimit, Retry-After, X-Quota-Turns-Used, X-Quota-Turns-Limit, X-Quota-Relationships-Used, \
    X-Quota-Relationships-Limit, X-Quota-Reset, WWW-Authenticate, Allow, Location, ETag, Link, Idempotency-Replayed";

/// Request headers that a browser on an allowed origin may send. The service
/// key's is not among them. `X-API-Key` is never read; some clients send it empty.
const ALLOWED: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-API-Key";

const METHODS: &str = "GET, HEAD, POST, PATCH, DELETE";

/// How long a browser may remember a preflight, in seconds: long enough to
/// matter, short enough for a changed allow-list to take effect in the hour.
const PREFLIGHT_MAX_AGE_S: &str = "600";

/// What answers are is data: were one opened as a page, it could load, run and be framed by nothing.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// A year, the least that browsers' own lists ask for.
const TRANSPORT: &str = "max-age=31536000";

/// On every response of the Worker, without exception. Static files have theirs from
/// `www/_headers`.
pub fn universal(response: Response, request_id: RequestId, origin: &str) -> Response {
    let response = response
        .with("X-Request-Id", request_id.to_string())
        .with("X-Content-Type-Options", "nosniff")
        .with("Content-Security-Policy", POLICY)
        .with("Referrer-Policy", "no-referrer");
    // Never on http: RFC 6797, section 7.2.
    if origin.starts_with("https:") { response.with("Strict-Transport-Security", TRANSPORT) } else { response }
}

/// On every response that took a token, and every 429.
pub fn rate_limit(response: Response, charged: Charged) -> Response {
    let (name, admission) = match charged {
        Charged::Organization(admission) => ("org", admission),
        Charged::Client(admission) => ("ip", admission),
    };
    let reset_s = admission.full_in_ms.saturating_add(999).div_euclid(1_000);
    response
        .with("X-RateLimit-Limit", admission.per_second.to_string())
        .with("X-RateLimit-Remaining", admission.remaining.to_string())
        .with("X-RateLimit-Reset", admission.full_at.to_string())
        .with("RateLimit-Policy", format!("\"{name}\";q={};w={}", admission.burst, admission.window_s))
        .with("RateLimit", format!("\"{name}\";r={};t={reset_s}", admission.remaining))
}

/// What a fault says of the quotas: every 403 and 429 of an authenticated call does.
pub const fn quota(fault: &Fault) -> Option<Quota> {
    match fault {
        Fault::ScopeTooSmall { quota }
        | Fault::RateLimited { quota: Some(quota), .. }
        | Fault::OverQuota { quota, .. } => Some(*quota),
        _ => None,
    }
}

/// On these, and on every turn.
pub fn quota_used(response: Response, quota: Quota) -> Response {
    response
        .with("X-Quota-Turns-Used", quota.turns_used.to_string())
        .with("X-Quota-Turns-Limit", quota.turns_limit.to_string())
        .with("X-Quota-Relationships-Used", quota.relationships_used.to_string())
        .with("X-Quota-Relationships-Limit", quota.relationships_limit.to_string())
        .with("X-Quota-Reset", quota.resets_at.to_string())
}

/// What CORS adds for a path that browsers on other origins may call. `Vary`
/// is there even without an `Origin`, or a cache would mix the two up.
pub fn cross_origin(
    response: Response,
    dialect: Dialect,
    origin: Option<&str>,
    configuration: Option<&Configuration>,
) -> Response {
    if !dialect.cross_origin() {
        return response;
    }
    let response = response.with("Vary", "Origin");
    let Some(origin) = allowed(origin, configuration) else { return response };
    response.with("Access-Control-Allow-Origin", origin).with("Access-Control-Expose-Headers", EXPOSED)
}

/// The further headers of an answer to a preflight from an allowed origin.
pub fn preflight(response: Response) -> Response {
    response
        .with("Access-Control-Allow-Methods", METHODS)
        .with("Access-Control-Allow-Headers", ALLOWED)
        .with("Access-Control-Max-Age", PREFLIGHT_MAX_AGE_S)
}

pub fn allowed(origin: Option<&str>, configuration: Option<&Configuration>) -> Option<String> {
    let (origin, configuration) = (origin?, configuration?);
    configuration.allowed_origins.iter().find(|allowed| *allowed == origin).cloned()
}
