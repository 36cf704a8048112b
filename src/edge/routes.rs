//! The one route table. Routing, scopes, costs, 405 and CORS all read it; a route that is not here does not exist.

use super::endpoint::{Endpoint, PlanFunction};
use super::endpoints::agents::agent;
use super::endpoints::principals::{list, principal};
use super::endpoints::v1::{deletions, end_users, end_users_batch, relationships, usage};
use super::http::body::BodyKind;
use super::http::dialect::Dialect;
use super::http::method::Method;
use crate::directory::api_key::{KeyKind, Scope};
use crate::input::{BATCH_BODY_BYTES_MAX, BODY_BYTES_MAX};

/// What a route does, and which credential it takes. Both are one value, so that no endpoint can be paired with a
/// credential that does not open it.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// Takes no credential; costs a token of the client address's bucket.
    Public(PublicEndpoint),
    /// For the holder of a key of this kind with at least this scope; costs tokens of the organization's bucket.
    Key { kind: KeyKind, scope: Scope, endpoint: Endpoint<KeyHandler> },
    /// For a person who is signed in, by a session token.
    Session,
    /// For the operator.
    Admin(Endpoint<AdminHandler>),
    /// For the operator, also while the configuration is not usable.
    Diagnostics,
    /// For Clerk, which signs what it sends.
    ClerkEvent,
}

/// The endpoint for the holder of a key.
#[derive(Debug, Clone, Copy)]
pub enum KeyHandler {
    /// One call to the object.
    OneCall(PlanFunction),
    ListEndUsers,
    Export,
    Respond,
    ListAgentUsers,
    ListEvents,
}

/// The endpoint for the operator.
#[derive(Debug, Clone, Copy)]
pub enum AdminHandler {
    CreateOrganization,
    ListOrganizations,
    GetOrganization,
    UpdateOrganization,
    DeleteOrganization,
    GetDeletion,
    IssueKey,
    ListKeys,
    RevokeKey,
    GetUsage,
    StartRepair,
    GetRepair,
    Export,
    Import,
    CreateOperator,
    ListOperators,
    RevokeOperator,
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

/// A route for holders of an API key.
const fn api(
    method: Method,
    pattern: &'static str,
    dialect: Dialect,
    scope: Scope,
    body: BodyKind,
    handler: KeyHandler,
) -> Route {
    let action = Action::Key { kind: KeyKind::Api, scope, endpoint: Endpoint { body, handler } };
    Route { method, pattern, dialect, action }
}

/// A route for holders of a service key.
const fn service(method: Method, pattern: &'static str, scope: Scope, body: BodyKind, handler: KeyHandler) -> Route {
    let action = Action::Key { kind: KeyKind::Service, scope, endpoint: Endpoint { body, handler } };
    Route { method, pattern, dialect: Dialect::Principals, action }
}

const fn operator(method: Method, pattern: &'static str, body: BodyKind, handler: AdminHandler) -> Route {
    Route { method, pattern, dialect: Dialect::Admin, action: Action::Admin(Endpoint { body, handler }) }
}

use Dialect::{Agents, EndUsers};
use KeyHandler::{Export, ListAgentUsers, ListEndUsers, ListEvents, OneCall, Respond};
use Method::{Delete, Get, Patch, Post};
use Scope::{Read, ReadWrite};

const NO_BODY: BodyKind = BodyKind::None;
const JSON: BodyKind = BodyKind::Json { bytes_max: BODY_BYTES_MAX };
const BATCH: BodyKind = BodyKind::Batch { bytes_max: BATCH_BODY_BYTES_MAX };
const OPTIONAL: BodyKind = BodyKind::Optional { bytes_max: BODY_BYTES_MAX };

pub static ROUTES: &[Route] = &[
    public(Get, "/health", PublicEndpoint::Health),
    public(Get, "/ready", PublicEndpoint::Ready),
    public(Get, "/demo.json", PublicEndpoint::Demo),
    api(Post, "/v1/end-users", EndUsers, ReadWrite, JSON, OneCall(end_users::create)),
    api(Post, "/v1/end-users/batch", EndUsers, ReadWrite, BATCH, OneCall(end_users_batch::create)),
    api(Post, "/v1/end-users/batch-get", EndUsers, Read, BATCH, OneCall(end_users_batch::read_many)),
    api(Post, "/v1/end-users/batch-erase", EndUsers, ReadWrite, BATCH, OneCall(end_users_batch::erase)),
    api(Get, "/v1/end-users", EndUsers, Read, NO_BODY, ListEndUsers),
    api(Get, "/v1/end-users/{user_id}", EndUsers, Read, NO_BODY, OneCall(end_users::get)),
    api(Patch, "/v1/end-users/{user_id}", EndUsers, ReadWrite, OPTIONAL, OneCall(end_users::update)),
    api(Delete, "/v1/end-users/{user_id}", EndUsers, ReadWrite, OPTIONAL, OneCall(deletions::request)),
    api(Get, "/v1/end-users/{user_id}/export", EndUsers, Read, NO_BODY, Export),
    api(Get, "/v1/end-users/{user_id}/usage", EndUsers, Read, NO_BODY, OneCall(usage::of_end_user)),
    api(Get, "/v1/deletions/{deletion_id}", EndUsers, Read, NO_BODY, OneCall(deletions::get)),
    api(Post, "/v1/respond", EndUsers, ReadWrite, JSON, Respond),
    api(Get, "/v1/relationships", EndUsers, Read, NO_BODY, OneCall(relationships::list)),
    api(Get, "/v1/relationships/{relationship_id}", EndUsers, Read, NO_BODY, OneCall(relationships::get)),
    api(
        Delete,
        "/v1/relationships/{relationship_id}",
        EndUsers,
        ReadWrite,
        OPTIONAL,
        OneCall(deletions::request_relationship),
    ),
    api(Get, "/v1/events", EndUsers, Read, NO_BODY, ListEvents),
    api(Get, "/v1/usage/turns", EndUsers, Read, NO_BODY, OneCall(usage::turns)),
    api(Get, "/v1/usage/active-relationships", EndUsers, Read, NO_BODY, OneCall(usage::active_relationships)),
    api(Post, "/api/v1/agents", Agents, ReadWrite, JSON, OneCall(agent::save)),
    api(Get, "/api/v1/agents", Agents, Read, NO_BODY, OneCall(agent::list)),
    api(Get, "/api/v1/agents/{agent_id}", Agents, Read, NO_BODY, OneCall(agent::get)),
    api(Get, "/api/v1/agents/{agent_id}/users", Agents, Read, NO_BODY, ListAgentUsers),
    api(Delete, "/api/v1/agents/{agent_id}", Agents, ReadWrite, OPTIONAL, OneCall(deletions::request_agent)),
    api(Patch, "/api/v1/agents/{agent_id}", Agents, ReadWrite, JSON, OneCall(agent::update)),
    service(Post, "/api/v1/principals", ReadWrite, JSON, OneCall(principal::create)),
    service(Get, "/api/v1/principals", Read, NO_BODY, OneCall(list::list)),
    service(Get, "/api/v1/principals/{principal_id}", Read, NO_BODY, OneCall(principal::get)),
    service(
        Get,
        "/api/v1/principals/by-external-id/{external_id}",
        Read,
        NO_BODY,
        OneCall(principal::get_by_external_id),
    ),
    service(Patch, "/api/v1/principals/{principal_id}", ReadWrite, JSON, OneCall(principal::update)),
    service(Delete, "/api/v1/principals/{principal_id}", ReadWrite, OPTIONAL, OneCall(principal::delete)),
    Route { method: Post, pattern: "/webhooks/clerk", dialect: Dialect::Public, action: Action::ClerkEvent },
    Route { method: Get, pattern: "/api/v1/me", dialect: Agents, action: Action::Session },
    Route { method: Get, pattern: "/admin/v1/diagnostics", dialect: Dialect::Admin, action: Action::Diagnostics },
    operator(Post, "/admin/v1/organizations", JSON, AdminHandler::CreateOrganization),
    operator(Get, "/admin/v1/organizations", NO_BODY, AdminHandler::ListOrganizations),
    operator(Get, "/admin/v1/organizations/{organization_id}", NO_BODY, AdminHandler::GetOrganization),
    operator(Patch, "/admin/v1/organizations/{organization_id}", JSON, AdminHandler::UpdateOrganization),
    operator(Post, "/admin/v1/organizations/{organization_id}/keys", JSON, AdminHandler::IssueKey),
    operator(Get, "/admin/v1/organizations/{organization_id}/keys", NO_BODY, AdminHandler::ListKeys),
    operator(Delete, "/admin/v1/organizations/{organization_id}/keys/{key_id}", NO_BODY, AdminHandler::RevokeKey),
    operator(Get, "/admin/v1/organizations/{organization_id}/usage", NO_BODY, AdminHandler::GetUsage),
    operator(Post, "/admin/v1/organizations/{organization_id}/repair", OPTIONAL, AdminHandler::StartRepair),
    operator(Get, "/admin/v1/organizations/{organization_id}/repair", NO_BODY, AdminHandler::GetRepair),
    operator(Get, "/admin/v1/organizations/{organization_id}/export", NO_BODY, AdminHandler::Export),
    operator(Post, "/admin/v1/organizations/{organization_id}/import", BATCH, AdminHandler::Import),
    operator(Post, "/admin/v1/operators", JSON, AdminHandler::CreateOperator),
    operator(Get, "/admin/v1/operators", NO_BODY, AdminHandler::ListOperators),
    operator(Delete, "/admin/v1/operators/{operator_id}", NO_BODY, AdminHandler::RevokeOperator),
    operator(Get, "/admin/v1/deletions/{deletion_id}", NO_BODY, AdminHandler::GetDeletion),
    operator(Delete, "/admin/v1/organizations/{organization_id}", OPTIONAL, AdminHandler::DeleteOrganization),
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
        allow.push(route.method.into_str());
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
            Match::Found { route, parameters } => {
                format!("{} {} {parameters:?}", route.method.into_str(), route.pattern)
            }
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
            let Match::Found { route: found, .. } = find(route.method.into_str(), route.pattern) else {
                panic!("{} is not found", route.pattern);
            };
            assert!(std::ptr::eq(found, route), "{} is hidden by {}", route.pattern, found.pattern);
        }
    }
}
