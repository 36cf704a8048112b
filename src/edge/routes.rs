//! The one route table. Routing, scopes, costs, 405 and CORS all read it; a
//! route that is not here does not exist.

use super::endpoint::{BodyKind, Endpoint, PlanFunction};
use super::fields::{BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX};
use super::operator::StepFunction;
use super::{agent_users, agents, audits, batch, deletions, end_users, keys, organization_deletions, organizations};
use super::{principals, relationships, turns, usage};
use crate::directory::api_key::{KeyKind, Scope};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Patch,
    Delete,
}

impl Method {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// `HEAD` is answered as `GET`, without the body (RFC 9110, section 9.3.2).
    fn serves(self, method: &str) -> bool {
        self.as_str() == method || (self == Self::Get && method == "HEAD")
    }
}

/// Which API a path belongs to: how its errors look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    EndUsers,
    Agents,
    Principals,
    Admin,
    Public,
}

impl Dialect {
    /// The dialect in which an unknown path is refused.
    pub fn of_path(path: &str) -> Self {
        let under =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if under("/v1") {
            Self::EndUsers
        } else if under("/api/v1/principals") {
            Self::Principals
        } else if under("/api") {
            Self::Agents
        } else if under("/admin") {
            Self::Admin
        } else {
            Self::Public
        }
    }

    /// Whether a browser on another origin may ever call it. Service keys and the
    /// admin token have no business in a browser.
    pub const fn cross_origin(self) -> bool {
        match self {
            Self::EndUsers | Self::Agents | Self::Public => true,
            Self::Principals | Self::Admin => false,
        }
    }
}

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

const fn end_users(method: Method, pattern: &'static str, scope: Scope, body: BodyKind, plan: PlanFunction) -> Route {
    let endpoint = Endpoint { body, plan };
    Route { method, pattern, dialect: Dialect::EndUsers, action: Action::Key { kind: KeyKind::Api, scope, endpoint } }
}

const fn agents(method: Method, pattern: &'static str, scope: Scope, body: BodyKind, plan: PlanFunction) -> Route {
    let endpoint = Endpoint { body, plan };
    Route { method, pattern, dialect: Dialect::Agents, action: Action::Key { kind: KeyKind::Api, scope, endpoint } }
}

const fn principals(method: Method, pattern: &'static str, scope: Scope, body: BodyKind, plan: PlanFunction) -> Route {
    let action = Action::Key { kind: KeyKind::Service, scope, endpoint: Endpoint { body, plan } };
    Route { method, pattern, dialect: Dialect::Principals, action }
}

const fn admin(method: Method, pattern: &'static str, body: BodyKind, plan: StepFunction) -> Route {
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
    end_users(Post, "/v1/end-users", ReadWrite, JSON, end_users::create),
    end_users(Post, "/v1/end-users/batch", ReadWrite, BATCH, batch::create),
    end_users(Get, "/v1/end-users", Read, NO_BODY, end_users::list),
    end_users(Get, "/v1/end-users/{user_id}", Read, NO_BODY, end_users::get),
    end_users(Patch, "/v1/end-users/{user_id}", ReadWrite, OPTIONAL, end_users::update),
    end_users(Delete, "/v1/end-users/{user_id}", ReadWrite, OPTIONAL, deletions::request),
    end_users(Get, "/v1/end-users/{user_id}/export", Read, NO_BODY, end_users::export),
    end_users(Get, "/v1/deletions/{deletion_id}", Read, NO_BODY, deletions::get),
    end_users(Post, "/v1/respond", ReadWrite, JSON, turns::respond),
    end_users(Get, "/v1/relationships", Read, NO_BODY, relationships::list),
    end_users(Get, "/v1/relationships/{relationship_id}", Read, NO_BODY, relationships::get),
    end_users(Delete, "/v1/relationships/{relationship_id}", ReadWrite, OPTIONAL, deletions::request_relationship),
    end_users(Get, "/v1/usage/turns", Read, NO_BODY, usage::turns),
    end_users(Get, "/v1/usage/active-relationships", Read, NO_BODY, usage::active_relationships),
    agents(Post, "/api/v1/agents", ReadWrite, JSON, agents::save),
    agents(Get, "/api/v1/agents", Read, NO_BODY, agents::list),
    agents(Get, "/api/v1/agents/{agent_id}", Read, NO_BODY, agents::get),
    agents(Get, "/api/v1/agents/{agent_id}/users", Read, NO_BODY, agent_users::list),
    agents(Delete, "/api/v1/agents/{agent_id}", ReadWrite, OPTIONAL, deletions::request_agent),
    agents(Patch, "/api/v1/agents/{agent_id}", ReadWrite, JSON, agents::update),
    principals(Post, "/api/v1/principals", ReadWrite, JSON, principals::create),
    principals(Get, "/api/v1/principals", Read, NO_BODY, principals::list),
    principals(Get, "/api/v1/principals/{principal_id}", Read, NO_BODY, principals::get),
    principals(Get, "/api/v1/principals/by-external-id/{external_id}", Read, NO_BODY, principals::get_by_external_id),
    principals(Patch, "/api/v1/principals/{principal_id}", ReadWrite, JSON, principals::update),
    principals(Delete, "/api/v1/principals/{principal_id}", ReadWrite, OPTIONAL, principals::delete),
    Route { method: Post, pattern: "/webhooks/clerk", dialect: Dialect::Public, action: Action::ClerkEvent },
    Route { method: Get, pattern: "/api/v1/me", dialect: Dialect::Agents, action: Action::Session },
    admin(Post, "/admin/v1/organizations", JSON, organizations::create),
    admin(Get, "/admin/v1/organizations", NO_BODY, organizations::list),
    admin(Get, "/admin/v1/organizations/{organization_id}", NO_BODY, organizations::get),
    admin(Patch, "/admin/v1/organizations/{organization_id}", JSON, organizations::update),
    admin(Post, "/admin/v1/organizations/{organization_id}/keys", JSON, keys::issue),
    admin(Get, "/admin/v1/organizations/{organization_id}/keys", NO_BODY, keys::list),
    admin(Delete, "/admin/v1/organizations/{organization_id}/keys/{key_id}", NO_BODY, keys::revoke),
    admin(Get, "/admin/v1/organizations/{organization_id}/usage", NO_BODY, usage::admin),
    admin(Post, "/admin/v1/organizations/{organization_id}/repair", OPTIONAL, audits::repair),
    admin(Get, "/admin/v1/organizations/{organization_id}/repair", NO_BODY, audits::get),
    admin(Get, "/admin/v1/deletions/{deletion_id}", NO_BODY, organization_deletions::get),
    admin(Delete, "/admin/v1/organizations/{organization_id}", OPTIONAL, organization_deletions::request),
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
