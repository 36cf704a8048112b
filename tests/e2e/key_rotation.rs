//! To rotate a key, the operator issues a new one, and revokes the old one when no client uses it. Both work
//! meanwhile.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::clock::{self, Clock, now_ms};
use crate::server::{Options, Organization, Server, expect, roomy, shared};

fn client(server: &Server, issued: &Value) -> Client {
    server.with_key(issued["key"].as_str().expect("a key"))
}

fn issue(server: &Server, organization: &Organization, name: &str, more: &[(&str, &str)]) -> Value {
    let mut request = json!({ "kind": "api", "mode": "live", "name": name });
    for (field, value) in more {
        request[*field] = json!(value);
    }
    server.issue(organization, &request)
}

/// The keys as they are listed, by name.
fn listed(server: &Server, organization: &Organization, name: &str) -> Value {
    let keys = expect(200, server.admin().get(&format!("{}/keys", organization.path())));
    let keys = keys["data"].as_array().expect("keys");
    keys.iter().find(|key| key["name"] == name).unwrap_or_else(|| panic!("no key {name}")).clone()
}

#[test]
fn two_keys_are_valid_at_once_and_one_outlives_the_other() {
    let server = shared();
    let organization = server.organization();
    let (old, new) =
        (issue(server, &organization, "old", &[]), issue(server, &organization, "new", &[("prefix", "uniq")]));
    let clients = [client(server, &old), client(server, &new)];
    expect(201, clients[0].post("/v1/end-users", &json!({ "user_id": "ada" })));
    for client in &clients {
        expect(200, client.get("/v1/end-users/ada"));
    }
    let revoked =
        server.admin().delete(&format!("{}/keys/{}", organization.path(), old["id"].as_str().expect("an id")));
    assert_eq!(revoked.status, 204);
    assert_eq!(clients[0].get("/v1/end-users/ada").status, 401);
    expect(200, clients[1].get("/v1/end-users/ada"));
    assert!(listed(server, &organization, "old")["revoked_at"].is_string());
    assert_eq!(listed(server, &organization, "new")["revoked_at"], Value::Null);
}

/// The last use of a key is stored as a day, which is enough to see that the old key is unused.
#[test]
fn the_last_use_is_a_date() {
    let server = shared();
    let organization = server.organization();
    let issued = issue(server, &organization, "used", &[]);
    issue(server, &organization, "unused", &[]);
    assert_eq!(listed(server, &organization, "used")["last_used_on"], Value::Null);
    let before = clock::text(now_ms());
    expect(200, client(server, &issued).get("/v1/end-users"));
    let after = clock::text(now_ms());
    let used = listed(server, &organization, "used")["last_used_on"].as_str().expect("a date").to_owned();
    // Around midnight either day is right.
    assert!([&before[..10], &after[..10]].contains(&used.as_str()), "{used} is not {before}");
    assert_eq!(listed(server, &organization, "unused")["last_used_on"], Value::Null);
}

#[test]
fn an_expiry_takes_effect_by_itself() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let organization = server.organization();
    let expires_at = clock::text(clock.at_ms() + 1_500);
    let issued = issue(&server, &organization, "short", &[("expires_at", &expires_at)]);
    assert_eq!(issued["expires_at"], expires_at);
    let lasting = client(&server, &issue(&server, &organization, "lasting", &[]));
    let short = client(&server, &issued);
    clock.advance(Duration::from_millis(1_499));
    expect(200, short.get("/v1/end-users"));
    clock.advance(Duration::from_millis(1));
    let answer = short.get("/v1/end-users");
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!("token_expired")));
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"token_expired\"");
    expect(200, lasting.get("/v1/end-users"));
}

/// `^[a-z]+_(live|test)_[A-Za-z0-9]{8,}$`: clients check this form before they send a request.
#[test]
fn keys_have_the_shape_that_clients_expect() {
    let server = shared();
    let organization = server.organization();
    for (prefix, mode) in [("sk", "live"), ("uniq", "test"), ("abcdefghijkl", "live"), ("ab", "test")] {
        let request = json!({ "kind": "api", "mode": mode, "name": "shaped", "prefix": prefix });
        let issued = server.issue(&organization, &request);
        let key = issued["key"].as_str().expect("a key");
        let parts: Vec<&str> = key.split('_').collect();
        let [given_prefix, given_mode, rest] = parts.as_slice() else { panic!("{key}") };
        assert_eq!((*given_prefix, *given_mode), (prefix, mode));
        assert!(given_prefix.bytes().all(|byte| byte.is_ascii_lowercase()));
        assert!(rest.len() >= 8 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
        expect(200, server.with_key(key).get("/v1/end-users"));
    }
}
