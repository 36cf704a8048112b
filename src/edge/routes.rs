//! The one route table. Routing, scopes, costs, 405 and CORS all read it; a
//! route that is not here does not exist.

use super::endpoint::{Endpoint, PlanFunction};
use super::endpoints::agents::{agent, agent_users};
use super::endpoints::v1::{deletions, end_users, end_users_batch, relationships, respond, usage};
use super::endpoints::{admin, principals};
use super::http::body::BodyKind;
use super::http::dialect::Dialect;
use super::http::method::Method;
use super::operator::StepFunction;
use crate::directory::api_key::{KeyKind, Scope};
use crate::input::{BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX};

/// What a route does, and for whom. The caller's credential and the endpoints it
/// opens are one value, so that neither can be paired with the wrong other.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// For anyone; costs a token of the client address's bucket.
    Public(PublicEndpoint),
    /// For the holder of a key of this kind with at least this scope; costs tokens of
    /// the organization's bucket.
    Key { kind: KeyKind, scope: Scope, endpoint: Endpoint<PlanFunction> },
    /// For who is signed in, by a session token; costs a token of the client address's bucket.
    Session,
    /// For the operator.
    Admin(Endpoint<StepFunction>),
    /// For Clerk, which signs what it sends.
    ClerkEvent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicEndpoint {
    Health,
    Ready,
    Demo,
}

#[derive(Debug)]
pub struct Route {
    pub method: Method,
    /// Segments in braces take any one segment that is not empty.
    pub pattern: &'static str,
    pub dialect: Dialect,
    pub action: Action,
}

const fn public(method: Method, pattern: &'static str, endpoint: PublicEndpoint) -> Route {
    Route { method, pattern, dialect: Dialect::Public, action: Action::Public(endpoint) }
}

const fn end_users_api(
    method: Method,
    pattern: &'static str,
    scope: Scope,
    body: BodyKind,
    plan: PlanFunction,
) -> Route {
    let endpoint = Endpoint { body, plan };
    Route { method, pattern, dialect: Dialect::EndUsers, action: Action::Key { kind: KeyKind::Api, scope, endpoint } }
}

const fn agents_api(method: Method, pattern: &'static str, scope: Scope, body: BodyKind, plan: PlanFunction) -> Route {
    let endpoint = Endpoint { body, plan };
    Route { method, pattern, dialect: Dialect::Agents, action: Action::Key { kind: KeyKind::Api, scope, endpoint } }
}

const fn principals_api(
    method: Method,
    pattern: &'static str,
    scope: Scope,
    body: BodyKind,
    plan: PlanFunction,
) -> Route {
    let action = Action::Key { kind: KeyKind::Service, scope, endpoint: Endpoint { body, plan } };
    Route { method, pattern, dialect: Dialect::Principals, action }
}

const fn operator(method: Method, pattern: &'static str, body: BodyKind, plan: StepFunction) -> Route {
    Route { method, pattern, dialect: Dialect::Admin, action: Action::Admin(Endpoint { body, plan }) }
}

use Method::{Delete, Get, Patch, Post};
use Scope::{Read, ReadWrite};

const NO_BODY: BodyKind = BodyKind::None;
const JSON: BodyKind = BodyKind::Json { bytes_max: BODY_BYTES_MAX };
const BATCH: BodyKind = BodyKind::Json { bytes_max: BATCH_BODY_BYTES_MAX };
const OPTIONAL: BodyKind = BodyKind::Optional { bytes_max: BODY_BYTES_MAX };

pub static ROUTES: &[Route] = &[
    public(Get, "/health", PublicEndpoint::Health),
    public(Get, "/ready", PublicEndpoint::Ready),
    public(Get, "/demo.json", PublicEndpoint::Demo),
    end_users_api(Post, "/v1/end-users", ReadWrite, JSON, end_users::create),
    end_users_api(Post, "/v1/end-users/batch", ReadWrite, BATCH, end_users_batch::create),
    end_users_api(Get, "/v1/end-users", Read, NO_BODY, end_users::list),
    end_users_api(Get, "/v1/end-users/{user_id}", Read, NO_BODY, end_users::get),
    end_users_api(Patch, "/v1/end-users/{user_id}", ReadWrite, OPTIONAL, end_users::update),
    end_users_api(Delete, "/v1/end-users/{user_id}", ReadWrite, OPTIONAL, deletions::request),
    end_users_api(Get, "/v1/end-users/{user_id}/export", Read, NO_BODY, end_users::export),
    end_users_api(Get, "/v1/deletions/{deletion_id}", Read, NO_BODY, deletions::get),
    end_users_api(Post, "/v1/respond", ReadWrite, JSON, respond::respond),
    end_users_api(Get, "/v1/relationships", Read, NO_BODY, relationships::list),
    end_users_api(Get, "/v1/relationships/{relationship_id}", Read, NO_BODY, relationships::get),
    end_users_api(Delete, "/v1/relationships/{relationship_id}", ReadWrite, OPTIONAL, deletions::request_relationship),
    end_users_api(Get, "/v1/usage/turns", Read, NO_BODY, usage::turns),
    end_users_api(Get, "/v1/usage/active-relationships", Read, NO_BODY, usage::active_relationships),
    agents_api(Post, "/api/v1/agents", ReadWrite, JSON, agent::save),
    agents_api(Get, "/api/v1/agents", Read, NO_BODY, agent::list),
    agents_api(Get, "/api/v1/agents/{agent_id}", Read, NO_BODY, agent::get),
    agents_api(Get, "/api/v1/agents/{agent_id}/users", Read, NO_BODY, agent_users::list),
    agents_api(Delete, "/api/v1/agents/{agent_id}", ReadWrite, OPTIONAL, deletions::request_agent),
    agents_api(Patch, "/api/v1/agents/{agent_id}", ReadWrite, JSON, agent::update),
    principals_api(Post, "/api/v1/principals", ReadWrite, JSON, principals::create),
    principals_api(Get, "/api/v1/principals", Read, NO_BODY, principals::list),
    principals_api(Get, "/api/v1/principals/{principal_id}", Read, NO_BODY, principals::get),
    principals_api(
        Get,
        "/api/v1/principals/by-external-id/{external_id}",
        Read,
        NO_BODY,
        principals::get_by_external_id,
    ),
    principals_api(Patch, "/api/v1/principals/{principal_id}", ReadWrite, JSON, principals::update),
    principals_api(Delete, "/api/v1/principals/{principal_id}", ReadWrite, OPTIONAL, principals::delete),
    Route { method: Post, pattern: "/webhooks/clerk", dialect: Dialect::Public, action: Action::ClerkEvent },
    Route { method: Get, pattern: "/api/v1/me", dialect: Dialect::Agents, action: Action::Session },
    operator(Post, "/admin/v1/organizations", JSON, admin::organizations::create),
    operator(Get, "/admin/v1/organizations", NO_BODY, admin::organizations::list),
    operator(Get, "/admin/v1/organizations/{organization_id}", NO_BODY, admin::organizations::get),
    operator(Patch, "/admin/v1/organizations/{organization_id}", JSON, admin::organizations::update),
    operator(Post, "/admin/v1/organizations/{organization_id}/keys", JSON, admin::keys::issue),
    operator(Get, "/admin/v1/organizations/{organization_id}/keys", NO_BODY, admin::keys::list),
    operator(Delete, "/admin/v1/organizations/{organization_id}/keys/{key_id}", NO_BODY, admin::keys::revoke),
    operator(Get, "/admin/v1/organizations/{organization_id}/usage", NO_BODY, admin::usage::get),
    operator(Post, "/admin/v1/organizations/{organization_id}/repair", OPTIONAL, admin::repair::repair),
    operator(Get, "/admin/v1/organizations/{organization_id}/repair", NO_BODY, admin::repair::get),
    operator(Get, "/admin/v1/deletions/{deletion_id}", NO_BODY, admin::deletions::get),
    operator(Delete, "/admin/v1/organizations/{organization_id}", OPTIONAL, admin::deletions::request),
];

/// The values of a pattern's braces, in order, still percent-encoded.
pub type Parameters<'a> = Vec<&'a str>;

pub enum Match<'a> {
    Found {
        route: &'static Route,
        parameters: Parameters<'a>,
    },
    /// The path exists; these are its methods, for `Allow` (RFC 9110, section 10.2.1).
    MethodNotAllowed {
        dialect: Dialect,
        allow: String,
    },
    NotFound {
        dialect: Dialect,
    },
}

pub fn find<'a>(method: &str, path: &'a str) -> Match<'a> {
    let mut allow: Vec<&str> = Vec::new();
    let mut dialect = Dialect::of_path(path);
    for route in ROUTES {
        let Some(parameters) = match_pattern(route.pattern, path) else { continue };
        if route.method.serves(method) {
            return Match::Found { route, parameters };
        }
        dialect = route.dialect;
        allow.push(route.method.as_str());
        if route.method == Get {
            allow.push("HEAD");
        }
    }
    if allow.is_empty() {
        return Match::NotFound { dialect };
    }
    allow.push("OPTIONS");
    Match::MethodNotAllowed { dialect, allow: allow.join(", ") }
}

fn match_pattern<'a>(pattern: &str, path: &'a str) -> Option<Parameters<'a>> {
    let mut parameters = Vec::new();
    let mut given = path.split('/');
    for expected in pattern.split('/') {
        let segment = given.next()?;
        if expected.starts_with('{') {
            if segment.is_empty() {
                return None;
            }
            parameters.push(segment);
        } else if expected != segment {
            return None;
        }
    }
    given.next().is_none().then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(method: &str, path: &str) -> String {
        match find(method, path) {
            Match::Found { route, parameters } => format!("{} {} {parameters:?}", route.method.as_str(), route.pattern),
            Match::MethodNotAllowed { dialect, allow } => format!("{dialect:?} 405 {allow}"),
            Match::NotFound { dialect } => format!("{dialect:?} 404"),
        }
    }

    #[test]
    fn paths_find_their_route() {
        for (method, path, expected) in [
            ("GET", "/v1/end-users/a%2Fb", "GET /v1/end-users/{user_id} [\"a%2Fb\"]"),
            ("HEAD", "/v1/end-users/a", "GET /v1/end-users/{user_id} [\"a\"]"),
            ("POST", "/v1/end-users", "POST /v1/end-users []"),
            ("PUT", "/v1/end-users", "EndUsers 405 POST, GET, HEAD, OPTIONS"),
            ("GET", "/v1/end-users/", "EndUsers 404"),
            ("GET", "/v1/end-users/a/b", "EndUsers 404"),
            ("GET", "/v1", "EndUsers 404"),
            ("GET", "/v1x", "Public 404"),
            ("GET", "/api/v1/principals/a/b", "Principals 404"),
            ("PUT", "/api/v1/principals", "Principals 405 POST, GET, HEAD, OPTIONS"),
            ("GET", "/api/v1/other", "Agents 404"),
            ("GET", "/admin", "Admin 404"),
            ("GET", "//health", "Public 404"),
        ] {
            assert_eq!(describe(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn no_route_hides_another() {
        for route in ROUTES {
            let Match::Found { route: found, .. } = find(route.method.as_str(), route.pattern) else {
                panic!("{} is not found", route.pattern);
            };
            assert!(std::ptr::eq(found, route), "{} is hidden by {}", route.pattern, found.pattern);
        }
    }
}
