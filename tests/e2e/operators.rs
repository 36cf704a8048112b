//! `/admin/v1/operators`: named operators, beside the one who has `ADMIN_TOKEN`.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{Options, Server, expect, roomy, shared};

const PATH: &str = "/admin/v1/operators";

/// Makes an operator. Returns the id, and a client with the token.
fn make(server: &Server, name: &str) -> (String, Client) {
    let made = expect(201, server.admin().post(PATH, &json!({ "name": name })));
    let text = |member: &str| made[member].as_str().expect(member).to_owned();
    (text("id"), server.with_key(&text("token")))
}

/// The operator as the list shows it.
fn listed(server: &Server, id: &str) -> Value {
    let mut path = format!("{PATH}?limit=200");
    loop {
        let page = expect(200, server.admin().get(&path));
        let found = page["data"].as_array().expect("a page").iter().find(|operator| operator["id"] == id);
        if let Some(operator) = found {
            return operator.clone();
        }
        path = format!("{PATH}?limit=200&cursor={}", page["next_cursor"].as_str().expect("it is in the list"));
    }
}

#[test]
fn a_named_operator_does_what_the_operator_does() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let response = server.admin().post(PATH, &json!({ "name": "Ada" }));
    let location = response.header("location").to_owned();
    let made = expect(201, response);
    assert_eq!(location, format!("{PATH}/{}", made["id"].as_str().expect("an id")));
    assert_eq!(
        (&made["name"], &made["revoked_at"], &made["last_used_on"]),
        (&json!("Ada"), &json!(null), &json!(null))
    );

    let id = made["id"].as_str().expect("an id");
    let ada = server.with_key(made["token"].as_str().expect("a token"));
    let organization = expect(201, ada.post("/admin/v1/organizations", &json!({ "name": "Acme" })));
    let keys = format!("/admin/v1/organizations/{}/keys", organization["id"].as_str().expect("an id"));
    let key = expect(201, ada.post(&keys, &json!({ "kind": "api", "mode": "live", "name": "Backend" })));
    let client = server.with_key(key["key"].as_str().expect("a key"));
    let events = expect(200, client.get("/v1/events?types=key.created"));
    assert_eq!(events["data"][0]["actor"], json!({ "type": "operator", "id": id }), "so do the events");
    let response = ada.get("/admin/v1/diagnostics");
    assert_eq!(response.status, 200, "{response:?}");

    let line = server.log_line(response.header("x-request-id"));
    assert_eq!(line["operatorId"], *id, "the log says who: {line}");
    let line = server.log_line(server.admin().get("/admin/v1/organizations").header("x-request-id"));
    assert!(line["operatorId"].is_null(), "{line}");

    let shown = listed(&server, id);
    assert_eq!(shown["last_used_on"].as_str().map(str::len), Some("2026-01-31".len()), "{shown}");
    assert!(shown.get("token").is_none(), "only the first answer has it: {shown}");
    assert!(!server.log_lines().join("\n").contains("operator_"), "no token is logged");
}

#[test]
fn a_revoked_token_is_refused_from_the_next_request_on() {
    let server = shared();
    let (id, client) = make(server, "Bob");
    expect(200, client.get("/admin/v1/organizations"));
    for _ in 0..2 {
        assert_eq!(server.admin().delete(&format!("{PATH}/{id}")).status, 204);
        let refused = client.get("/admin/v1/organizations");
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer error=\"invalid_token\""));
    }
    assert!(listed(server, &id)["revoked_at"].is_string());
    let unknown = server.admin().delete(&format!("{PATH}/01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert_eq!(server.admin().delete(&format!("{PATH}/x")).status, 422);
}

#[test]
fn only_the_operator_with_the_admin_token_makes_and_revokes_operators() {
    let server = shared();
    let (id, named) = make(server, "Carol");
    for response in
        [named.post(PATH, &json!({ "name": "Mallory" })), named.get(PATH), named.delete(&format!("{PATH}/{id}"))]
    {
        assert_eq!(response.status, 403, "{response:?}");
        assert_eq!(response.json()["detail"], "This is for the operator who has ADMIN_TOKEN.");
    }
    expect(200, named.get("/admin/v1/organizations"));
}

#[test]
fn no_other_credential_is_an_operators() {
    let server = shared();
    let made = expect(201, server.admin().post(PATH, &json!({ "name": "Dan" })));
    let token = made["token"].as_str().expect("a token");
    let forged = format!("{}{}", &token[..token.len() - 1], if token.ends_with('A') { 'B' } else { 'A' });
    let key = server.issue(&server.organization(), &json!({ "kind": "api", "mode": "live", "name": "k" }));
    for other in [&*forged, "operator_", &token[1..], key["key"].as_str().expect("a key")] {
        assert_eq!(server.with_key(other).get("/admin/v1/organizations").status, 401, "{other}");
    }
    assert_eq!(server.with_key(token).get("/v1/end-users").status, 401);
    assert_eq!(server.with_service_key(token).get("/api/v1/principals").status, 401);
}

#[test]
fn operators_are_listed_in_pages() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let ids: Vec<String> = ["a", "b", "c"].iter().map(|name| make(&server, name).0).collect();
    let first = expect(200, server.admin().get(&format!("{PATH}?limit=2")));
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let second = expect(200, server.admin().get(&format!("{PATH}?limit=2&cursor={cursor}")));
    let pages = [&first, &second].map(|page| page["data"].as_array().expect("a page").clone()).concat();
    let mut listed: Vec<&str> = pages.iter().map(|operator| operator["id"].as_str().expect("an id")).collect();
    // Those of one millisecond are in any order.
    listed.sort_unstable();
    let mut made = ids;
    made.sort_unstable();
    assert_eq!(listed, made);
    assert_eq!(
        (&first["has_more"], &second["has_more"], &second["next_cursor"]),
        (&json!(true), &json!(false), &json!(null))
    );

    for (body, status) in
        [(json!({}), 422), (json!({ "name": "" }), 422), (json!({ "name": "a", "token": "b" }), 422), (json!([]), 400)]
    {
        assert_eq!(server.admin().post(PATH, &body).status, status, "{body}");
    }
    assert_eq!(server.admin().get(&format!("{PATH}?cursor=x")).status, 400);
}
