//! Authorization: every route of the table with every kind of credential.
//!
//! The test makes its cells from the route table, so no route can be forgotten.

use std::time::Duration;

use serde_json::{Value, json};

use rollcall::directory::api_key::{KeyKind, Scope};
use rollcall::edge::http::method::Method;
use rollcall::edge::routes::{Action, ROUTES, Route};

use crate::agents::{PATH as AGENTS, make_agent};
use crate::client::{Client, Response, encode};
use crate::clock::{self, now_ms, set_ahead};
use crate::respond::turn;
use crate::server::{Options, Organization, Server, expect, roomy};

/// Part of everything that the organization under attack holds, and of nothing else.
const CANARY: &str = "canary-of-the-other-organization";

/// The organization under attack, and its ids for paths.
struct Victim {
    organization: Organization,
    user_id: String,
    agent_id: String,
    relationship_id: String,
    deletion_id: String,
    principal_id: String,
    key_id: String,
    /// It belongs to no organization.
    operator_id: String,
}

impl Victim {
    fn new(server: &Server) -> Self {
        let organization = server.organization();
        let client = server.client(&organization, "live", "read_write");
        let user_id = format!("{CANARY} ada");
        let metadata = json!({ "note": CANARY });
        expect(201, client.post("/v1/end-users", &json!({ "user_id": user_id, "metadata": metadata })));
        let agent_id = make_agent(&client, &format!("{CANARY} tutor"));
        turn(&client, &agent_id, &user_id);
        let relationships = expect(200, client.get("/v1/relationships"));
        let gone = format!("{CANARY} gone");
        expect(201, client.post("/v1/end-users", &json!({ "user_id": gone })));
        let deletion = expect(202, client.delete(&format!("/v1/end-users/{}", encode(&gone))));
        let service = server.service(&organization, "live", "read");
        let by_external_id = format!("/api/v1/principals/by-external-id/{}", encode(&user_id));
        let principal = expect(200, service.get(&by_external_id));
        let spare = json!({ "kind": "api", "mode": "live", "scope": "read", "name": CANARY });
        let key = server.issue(&organization, &spare);
        let operator = expect(201, server.admin().post("/admin/v1/operators", &json!({ "name": CANARY })));
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Self {
            user_id,
            agent_id,
            relationship_id: text(&relationships["data"][0]["id"]),
            deletion_id: text(&deletion["deletion_id"]),
            principal_id: text(&principal["result"]["id"]),
            key_id: text(&key["id"]),
            operator_id: text(&operator["id"]),
            organization,
        }
    }

    fn path(&self, pattern: &str) -> String {
        let fill = |segment: &str| match segment {
            "{user_id}" | "{external_id}" => encode(&self.user_id),
            "{agent_id}" => self.agent_id.clone(),
            "{relationship_id}" => self.relationship_id.clone(),
            "{deletion_id}" => self.deletion_id.clone(),
            "{principal_id}" => self.principal_id.clone(),
            "{organization_id}" => self.organization.id.clone(),
            "{key_id}" => self.key_id.clone(),
            "{operator_id}" => self.operator_id.clone(),
            other if other.starts_with('{') => panic!("nothing is known of {other}"),
            other => other.to_owned(),
        };
        pattern.split('/').map(fill).collect::<Vec<_>>().join("/")
    }

    /// Everything that the victim holds, as its own key reads it.
    fn contents(&self, server: &Server) -> Vec<Value> {
        let client = server.client(&self.organization, "live", "read");
        let export = format!("/v1/end-users/{}/export", encode(&self.user_id));
        let mut export = expect(200, client.get(&export));
        export["exported_at"] = Value::Null;
        let admin = server.admin().get(&self.organization.path());
        let lists = ["/v1/end-users", AGENTS, "/v1/relationships"].map(|path| expect(200, client.get(path)));
        [vec![export, admin.json()], lists.to_vec()].concat()
    }
}

/// A valid body for the route, so that only the credential can be at fault.
fn body(route: &Route) -> Option<Value> {
    let own = "of the attacker";
    Some(match (route.method, route.pattern) {
        (Method::Get | Method::Delete, _) => return None,
        (_, "/v1/end-users") => json!({ "user_id": own }),
        (_, "/v1/end-users/batch") => json!({ "users": [{ "user_id": own }] }),
        (_, "/v1/end-users/batch-get" | "/v1/end-users/batch-erase") => json!({ "user_ids": [own] }),
        (_, "/v1/respond") => json!({ "message": "hi", "personality_id": format!("{CANARY} tutor") }),
        (_, "/api/v1/agents" | "/admin/v1/organizations" | "/admin/v1/operators") => json!({ "name": own }),
        (_, "/api/v1/principals") => {
            json!({ "external_id": "principal of the attacker", "type": "human", "name": own })
        }
        (_, "/admin/v1/organizations/{organization_id}/keys") => {
            json!({ "kind": "api", "mode": "test", "name": "x" })
        }
        (_, "/admin/v1/organizations/{organization_id}/import") => json!({ "records": [{ "type": "end" }] }),
        _ => json!({}),
    })
}

/// The credential of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credential {
    None,
    /// A key of the right organization, but of another dialect's kind.
    WrongKind,
    /// A key of the right kind, but in another kind's header.
    WrongHeader,
    ForgedTag,
    Revoked,
    Expired,
    ReadOnly,
    OtherOrganization,
    OtherMode,
    Admin,
    /// A token in a form that no key has.
    Garbage,
}

const CREDENTIALS: [Credential; 11] = [
    Credential::None,
    Credential::WrongKind,
    Credential::WrongHeader,
    Credential::ForgedTag,
    Credential::Revoked,
    Credential::Expired,
    Credential::ReadOnly,
    Credential::OtherOrganization,
    Credential::OtherMode,
    Credential::Admin,
    Credential::Garbage,
];

/// Keys of both kinds for every case.
struct Keys<'a> {
    server: &'a Server,
    victim: &'a Victim,
    other: Organization,
    expiring: [String; 2],
}

impl<'a> Keys<'a> {
    fn new(server: &'a Server, victim: &'a Victim) -> Self {
        let in_an_hour = clock::text(now_ms() + 3_600_000);
        let expiring = ["api", "service"].map(|kind| {
            let request = json!({
                "kind": kind, "mode": "live", "scope": "read_write", "name": "x", "expires_at": in_an_hour,
            });
            server.issue(&victim.organization, &request)["key"].as_str().expect("a key").to_owned()
        });
        let keys = Self { server, victim, other: server.organization(), expiring };
        assert_eq!(server.with_key(&keys.expiring[0]).get("/v1/end-users").status, 200);
        set_ahead(server, Duration::from_hours(2));
        keys
    }

    fn issue(&self, organization: &Organization, kind: KeyKind, mode: &str, scope: &str) -> (String, String) {
        let request = json!({ "kind": kind.into_str(), "mode": mode, "scope": scope, "name": "x" });
        let issued = self.server.issue(organization, &request);
        let text = |name: &str| issued[name].as_str().expect("a text").to_owned();
        (text("id"), text("key"))
    }

    /// A client that sends a key as its kind requires.
    fn send(&self, kind: KeyKind, key: &str) -> Client {
        match kind {
            KeyKind::Api => self.server.with_key(key),
            KeyKind::Service => self.server.with_service_key(key),
        }
    }

    /// A client with a credential, for a route that requires keys of this kind.
    fn client(&self, credential: Credential, kind: KeyKind) -> Client {
        let live = |scope| self.issue(&self.victim.organization, kind, "live", scope);
        let other_kind = if kind == KeyKind::Api { KeyKind::Service } else { KeyKind::Api };
        match credential {
            Credential::None => self.server.anonymous(),
            Credential::WrongKind => {
                let (_, key) = self.issue(&self.victim.organization, other_kind, "live", "read_write");
                self.send(kind, &key)
            }
            Credential::WrongHeader => self.send(other_kind, &live("read_write").1),
            Credential::ForgedTag => {
                let (_, mut key) = live("read_write");
                let last = if key.ends_with('0') { '1' } else { '0' };
                key.pop();
                key.push(last);
                self.send(kind, &key)
            }
            Credential::Revoked => {
                let (id, key) = live("read_write");
                let client = self.send(kind, &key);
                let path = format!("{}/keys/{id}", self.victim.organization.path());
                assert_eq!(self.server.admin().delete(&path).status, 204);
                client
            }
            Credential::Expired => self.send(kind, &self.expiring[usize::from(kind == KeyKind::Service)]),
            Credential::ReadOnly => self.send(kind, &live("read").1),
            Credential::OtherOrganization => self.send(kind, &self.issue(&self.other, kind, "live", "read_write").1),
            Credential::OtherMode => {
                self.send(kind, &self.issue(&self.victim.organization, kind, "test", "read_write").1)
            }
            Credential::Admin => self.server.admin(),
            Credential::Garbage => self.send(kind, "sk_live_not-a-key"),
        }
    }
}

/// The statuses that a route may answer a credential with.
fn expected(route: &Route, credential: Credential) -> &'static [u16] {
    let names_something = route.pattern.contains('{');
    match route.action {
        Action::Public(_) => &[200],
        Action::Admin(_) => match credential {
            Credential::Admin => match route.method {
                Method::Get if route.pattern.ends_with("/repair") => &[200, 404],
                // The id names a person's erasure, not an organization's deletion.
                Method::Get if route.pattern == "/admin/v1/deletions/{deletion_id}" => &[404],
                Method::Get | Method::Patch => &[200],
                Method::Post => &[200, 201, 202],
                Method::Delete => &[202, 204],
            },
            _ => &[401],
        },
        Action::Key { scope, .. } => match credential {
            Credential::ReadOnly if scope == Scope::ReadWrite => &[403],
            Credential::ReadOnly => &[200],
            Credential::OtherOrganization | Credential::OtherMode if names_something => &[404],
            // Another organization's agent does not exist here.
            Credential::OtherOrganization | Credential::OtherMode if route.pattern == "/v1/respond" => &[404],
            Credential::OtherOrganization | Credential::OtherMode => &[200, 201],
            _ => &[401],
        },
        Action::Diagnostics if credential == Credential::Admin => &[200],
        // These routes require a signed token or event, and no key of ours is one.
        Action::Session | Action::ClerkEvent | Action::Diagnostics => &[401],
    }
}

/// Whether a credential may read the victim's data.
fn may_see(route: &Route, credential: Credential) -> bool {
    match route.action {
        Action::Admin(_) => credential == Credential::Admin,
        Action::Key { .. } => credential == Credential::ReadOnly,
        Action::Public(_) | Action::Session | Action::ClerkEvent | Action::Diagnostics => false,
    }
}

fn send(client: &Client, route: &Route, path: &str) -> Response {
    let body = body(route).map(|body| body.to_string());
    client.send(route.method.into_str(), path, body.as_ref().map(|body| ("application/json", body.as_bytes())))
}

#[test]
fn every_route_answers_every_credential_as_it_must() {
    let vars = [roomy(), vec![("CLERK_WEBHOOK_SECRET", xtask::webhooks::random_secret().expect("entropy"))]].concat();
    let server = Server::start(Options { vars, entry: Some(clock::ENTRY) });
    let victim = Victim::new(&server);
    let keys = Keys::new(&server, &victim);
    let before = victim.contents(&server);
    let (mut cells, mut wrong) = (0, Vec::new());
    // The operator's requests come last, because they change the victim.
    for is_operator in [false, true] {
        for route in ROUTES {
            let kind = match route.action {
                Action::Key { kind, .. } => kind,
                _ => KeyKind::Api,
            };
            let path = victim.path(route.pattern);
            for credential in CREDENTIALS {
                if (credential == Credential::Admin && matches!(route.action, Action::Admin(_))) != is_operator {
                    continue;
                }
                let answer = send(&keys.client(credential, kind), route, &path);
                cells += 1;
                let cell =
                    format!("{} {} with {credential:?}: {}", route.method.into_str(), route.pattern, answer.status);
                if !expected(route, credential).contains(&answer.status) {
                    wrong.push(format!("{cell}, expected {:?}", expected(route, credential)));
                }
                let foreign = answer.body.contains(CANARY) || answer.body.contains(&encode(CANARY));
                if foreign && !may_see(route, credential) {
                    wrong.push(format!("{cell} tells of the other organization: {}", answer.body));
                }
                if answer.status == 401 && !answer.headers.contains_key("www-authenticate") {
                    wrong.push(format!("{cell} without a challenge"));
                }
                if answer.header("x-request-id").len() != 26 {
                    wrong.push(format!("{cell} without a request id"));
                }
            }
        }
        if !is_operator {
            assert_eq!(victim.contents(&server), before, "nobody has changed anything");
        }
    }
    println!("{} routes, {cells} cells, {} wrong answers", ROUTES.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_revoked_key_is_refused_by_the_next_request() {
    let server = crate::server::shared();
    let organization = server.organization();
    for (kind, path) in [("api", "/v1/end-users"), ("service", "/api/v1/principals")] {
        let request = json!({ "kind": kind, "mode": "live", "scope": "read", "name": "x" });
        let issued = server.issue(&organization, &request);
        let key = issued["key"].as_str().expect("a key");
        let client = if kind == "api" { server.with_key(key) } else { server.with_service_key(key) };
        assert_eq!(client.get(path).status, 200);
        let revoke = format!("{}/keys/{}", organization.path(), issued["id"].as_str().expect("an id"));
        assert_eq!(server.admin().delete(&revoke).status, 204);
        assert_eq!(client.get(path).status, 401);
    }
}
