//! The headers of responses, and which responses carry them.

use super::dialect::Dialect;
use super::response::Response;
use crate::directory::identifiers::RequestId;
use crate::directory::quota::Quota;
use crate::edge::configuration::Configuration;
use crate::fault::Fault;
use crate::organization::protocol::Admission;

/// The bucket from which a request took its token.
#[derive(Debug, Clone, Copy)]
pub enum Charged {
    Organization(Admission),
    Client(Admission),
}

/// The response headers that a browser on an allowed origin may read.
const EXPOSED: &str = "X-Request-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, RateLimit-Policy, \
    RateLimit, Retry-After, Age, X-Rollcall-Source, X-Quota-Turns-Used, X-Quota-Turns-Limit, X-Quota-Relationships-Used, \
    X-Quota-Relationships-Limit, X-Quota-Reset, WWW-Authenticate, Allow, Location, ETag, Link, Idempotency-Replayed";

/// The request headers that a browser on an allowed origin may send. The header of service keys is not among them.
/// Published clients send the last three, whether they are read or not.
const ALLOWED: &str = "Authorization, Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, User-Agent, X-API-Key, \
    X-Uniqos-Sdk";

const METHODS: &str = "GET, HEAD, POST, PATCH, DELETE";

/// How long a browser may cache a preflight, in seconds. A changed allow-list takes effect after this time.
const PREFLIGHT_MAX_AGE_S: &str = "600";

/// A response that a browser opens as a page can load nothing, run nothing, and be framed by no page.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// A year, the least that the preload lists of browsers require, in seconds.
const TRANSPORT: &str = "max-age=31536000";

/// Adds the headers of every response of the Worker. Static files get theirs from `www/_headers`.
pub fn universal(response: Response, request_id: RequestId, origin: &str) -> Response {
    let response = response
        .with("X-Request-Id", request_id.to_string())
        .with("X-Content-Type-Options", "nosniff")
        .with("Content-Security-Policy", POLICY)
        .with("Referrer-Policy", "no-referrer");
    // Not over HTTP (RFC 6797, section 7.2).
    if origin.starts_with("https:") { response.with("Strict-Transport-Security", TRANSPORT) } else { response }
}

/// Adds the rate-limit headers, which every response that took a token and every 429 carries.
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

/// The quotas that a fault carries. Every 403 and 429 of an authenticated call has them.
pub const fn quota(fault: &Fault) -> Option<Quota> {
    match fault {
        Fault::ScopeTooSmall { quota: Some(quota) }
        | Fault::RateLimited { quota: Some(quota), .. }
        | Fault::QuotaReserved { quota, .. }
        | Fault::TooManyKeptAnswers { quota, .. }
        | Fault::OverUserQuota { quota, .. }
        | Fault::OverQuota { quota, .. } => Some(*quota),
        _ => None,
    }
}

/// Adds the quota headers, which these faults and every turn carry.
pub fn quota_used(response: Response, quota: Quota) -> Response {
    response
        .with("X-Quota-Turns-Used", quota.turns_used.to_string())
        .with("X-Quota-Turns-Limit", quota.turns_limit.to_string())
        .with("X-Quota-Relationships-Used", quota.relationships_used.to_string())
        .with("X-Quota-Relationships-Limit", quota.relationships_limit.to_string())
        .with("X-Quota-Reset", quota.resets_at.to_string())
}

/// Adds the CORS headers if browsers on other origins may call the dialect. `Vary` is present even without an
/// `Origin`, or a cache would give a response for one origin to another.
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

/// Adds the headers of a response to a preflight from an allowed origin.
pub fn preflight(response: Response) -> Response {
    response
        .with("Access-Control-Allow-Methods", METHODS)
        .with("Access-Control-Allow-Headers", ALLOWED)
        .with("Access-Control-Max-Age", PREFLIGHT_MAX_AGE_S)
}

/// The origin, if the operator allows it.
pub fn allowed(origin: Option<&str>, configuration: Option<&Configuration>) -> Option<String> {
    let (origin, configuration) = (origin?, configuration?);
    configuration.allowed_origins.iter().find(|allowed| *allowed == origin).cloned()
}
