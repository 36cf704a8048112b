//! Where an organization's objects are made, and which jurisdiction binds them.

use serde_json::{Value, json};

use crate::edge_reads::{is_from_edge, near};
use crate::server::{Options, Server, expect, roomy, shared};

const PATH: &str = "/admin/v1/organizations";

fn server(jurisdiction: Option<&str>) -> Server {
    let mut vars = roomy();
    vars.extend(jurisdiction.map(|name| ("JURISDICTION", name.to_owned())));
    Server::start(Options { vars, entry: Some("tests/runtime/placement.mjs") })
}

/// The calls to objects since the last time: name, hint, jurisdiction.
fn called(server: &Server) -> Value {
    expect(200, server.anonymous().get("/__placement"))
}

#[test]
fn both_objects_are_made_at_the_location_with_the_organization() {
    let server = server(None);
    let made = expect(201, server.admin().post(PATH, &json!({ "name": "Acme", "location": "weur" })));
    assert_eq!(made["location"], "weur");
    let id = made["id"].as_str().expect("an id");
    let at_birth = json!([[format!("{id}/live"), "weur", null], [format!("{id}/test"), "weur", null]]);
    assert_eq!(called(&server), at_birth);

    let anywhere = expect(201, server.admin().post(PATH, &json!({ "name": "Acme" })));
    assert_eq!(anywhere["location"], Value::Null);
    let id = anywhere["id"].as_str().expect("an id");
    assert_eq!(called(&server), json!([[format!("{id}/live"), null, null], [format!("{id}/test"), null, null]]));
}

#[test]
fn a_location_is_one_of_the_platforms_and_is_named_at_the_creation_only() {
    let admin = shared().admin();
    let refused = expect(422, admin.post(PATH, &json!({ "name": "Acme", "location": "moon" })));
    assert_eq!(refused["errors"][0]["location"], "body.location", "{refused}");
    let made = admin.post(PATH, &json!({ "name": "Acme", "location": "apac" }));
    let path = made.header("location").to_owned();
    let refused = expect(422, admin.patch(&path, &json!({ "location": "weur" })));
    assert_eq!(refused["errors"][0]["location"], "body.location", "{refused}");
    expect(200, admin.patch(&path, &json!({ "name": "Acme GmbH" })));
    assert_eq!(expect(200, admin.get(&path))["location"], "apac");
}

/// KV knows no jurisdiction, so nothing is put there and nothing is read from there.
#[test]
fn a_jurisdiction_binds_every_object_and_ends_reads_at_the_edge() {
    let server = server(Some("eu"));
    let client = server.new_client();
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    let near = near(&client, 5);
    for _ in 0..5 {
        let read = near.get("/v1/end-users/ada");
        assert_eq!((read.status, is_from_edge(&read)), (200, false), "{read:?}");
    }
    let calls = called(&server);
    let calls = calls.as_array().expect("calls");
    assert!(calls.len() >= 8, "{calls:?}");
    assert!(calls.iter().all(|call| call[2] == "eu"), "{calls:?}");
}

#[test]
fn a_jurisdiction_that_the_platform_does_not_know_serves_nothing() {
    let server = server(Some("mars"));
    let ready = expect(503, server.anonymous().get("/ready"));
    assert_eq!(ready["checks"]["configuration"]["ok"], false, "{ready}");
    assert_eq!(server.anonymous().get("/health").status, 200);
    assert_eq!(server.admin().get(PATH).status, 500);
}
