//! `PATCH /v1/end-users/{user_id}`, entity tags and conditional requests.

use std::thread;

use serde_json::{Value, json};

use crate::client::{Client, Response};
use crate::server::{expect, shared};
use crate::wait;

const PATH: &str = "/v1/end-users/ada";

fn with_ada() -> Client {
    let client = shared().new_client();
    let body = json!({ "user_id": "ada", "display_name": "Ada", "metadata": { "a": 1, "n": { "x": 1, "y": 2 } } });
    assert_eq!(client.post("/v1/end-users", &body).status, 201);
    client
}

fn merge(client: &Client, patch: &str) -> Response {
    client.send("PATCH", PATH, Some(("application/merge-patch+json", patch.as_bytes())))
}

#[test]
fn json_replaces_what_it_names_and_leaves_the_rest() {
    let client = with_ada();
    let changed = client.patch(PATH, &json!({ "metadata": { "b": 2 } }));
    assert_eq!(changed.status, 200, "{changed:?}");
    let user = changed.json();
    assert_eq!((&user["metadata"], &user["display_name"]), (&json!({ "b": 2 }), &json!("Ada")));
    let version = user["version"].as_i64().expect("a version");
    assert_eq!(changed.header("etag"), format!("\"{version}\""));
    let renamed = expect(200, client.patch(PATH, &json!({ "display_name": null })));
    assert_eq!((&renamed["metadata"], &renamed["display_name"]), (&json!({ "b": 2 }), &Value::Null));
    let cleared = expect(200, client.patch(PATH, &json!({ "metadata": {} })));
    assert_eq!((&cleared["metadata"], &cleared["version"]), (&json!({}), &json!(version + 2)));
    let read = expect(200, client.get(PATH));
    assert_eq!((&read["metadata"], &read["version"]), (&json!({}), &json!(version + 2)));
    let listed = expect(200, client.get("/v1/end-users"));
    assert_eq!(listed["data"], json!([cleared]), "lists show it at once");
}

#[test]
fn no_change_makes_no_version() {
    let client = with_ada();
    let before = expect(200, client.patch(PATH, &json!({})));
    assert_eq!(before["version"], expect(200, client.get(PATH))["version"]);
    for response in [
        client.send("PATCH", PATH, None),
        client.send("PATCH", PATH, Some(("application/json", b""))),
        client.patch(PATH, &json!({ "display_name": "Ada" })),
        merge(&client, "{}"),
        merge(&client, "{\"metadata\":{\"a\":1}}"),
    ] {
        assert_eq!(expect(200, response), before);
    }
}

#[test]
fn merge_patches_follow_rfc_7396() {
    let client = with_ada();
    let patched = expect(200, merge(&client, r#"{"metadata":{"a":null,"n":{"y":12345678901234567890,"z":[1]}}}"#));
    assert_eq!(patched["metadata"], json!({ "n": { "x": 1, "y": 12_345_678_901_234_567_890_u64, "z": [1] } }));
    assert_eq!(patched["display_name"], "Ada");
    let patched = expect(200, merge(&client, r#"{"display_name":null,"metadata":{"n":null}}"#));
    assert_eq!((&patched["metadata"], &patched["display_name"]), (&json!({}), &Value::Null));
    assert_eq!(expect(200, merge(&client, r#"{"metadata":{"k":1}}"#))["metadata"], json!({ "k": 1 }));
    assert_eq!(expect(200, merge(&client, r#"{"metadata":null}"#))["metadata"], json!({}));
}

#[test]
fn a_patch_is_judged_by_what_it_makes() {
    let client = with_ada();
    let big = "x".repeat(9_000);
    let patched = expect(200, merge(&client, &format!("{{\"metadata\":{{\"p\":\"{big}\"}}}}")));
    let refused = merge(&client, &format!("{{\"metadata\":{{\"q\":\"{big}\"}}}}"));
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["error"]["details"]["fields"][0]["path"], "metadata");
    for (content_type, body, status) in [
        ("application/merge-patch+json", r#"{"metadata":[]}"#, 422),
        ("application/merge-patch+json", r#"{"metadata":"x"}"#, 422),
        ("application/merge-patch+json", r#"{"user_id":"eve"}"#, 422),
        ("application/json", r#"{"metadata":null}"#, 422),
        ("application/json", r#"{"status":"active"}"#, 422),
        ("application/json", "[]", 400),
        ("application/json", "{", 400),
        ("text/plain", "{}", 415),
    ] {
        let response = client.send("PATCH", PATH, Some((content_type, body.as_bytes())));
        assert_eq!(response.status, status, "{body}: {response:?}");
    }
    assert_eq!(expect(200, client.get(PATH))["version"], patched["version"], "nothing half done");
    assert_eq!(client.patch("/v1/end-users/nobody", &json!({})).status, 404);
}

#[test]
fn if_match_guards_against_lost_updates() {
    let client = with_ada();
    let etag = client.get(PATH).header("etag").to_owned();
    let guarded = |tag: &str| client.clone().with_header("If-Match", tag);
    let changed = guarded(&etag).patch(PATH, &json!({ "display_name": "First" }));
    assert_eq!(changed.status, 200);
    let late = guarded(&etag).patch(PATH, &json!({ "display_name": "Second" }));
    assert_eq!(late.status, 412);
    let error = &late.json()["error"];
    assert_eq!((&error["code"], &error["type"]), (&json!("precondition_failed"), &json!("conflict")));
    assert_eq!(expect(200, client.get(PATH))["display_name"], "First");
    let second = changed.header("etag");
    let bare = second.trim_matches('"');
    for tag in ["\"x\"", &format!("W/{etag}"), bare, &format!("\"{bare}.2\"")] {
        assert_eq!(guarded(tag).patch(PATH, &json!({ "display_name": "Third" })).status, 412, "{tag}");
    }
    let third = guarded(&format!("\"999999\", {second}")).patch(PATH, &json!({ "display_name": "Fourth" }));
    assert_eq!(third.status, 200);
    // A proxy that compresses a response weakens its tag.
    assert_eq!(
        guarded(&format!("W/{}", third.header("etag"))).patch(PATH, &json!({ "display_name": "Fifth" })).status,
        200
    );
    assert_eq!(guarded("*").patch(PATH, &json!({ "display_name": "Sixth" })).status, 200);
    assert_eq!(guarded("*").patch("/v1/end-users/nobody", &json!({})).status, 404);
}

#[test]
fn if_none_match_saves_the_body() {
    let client = with_ada();
    let unless = |tag: &str| client.clone().with_header("If-None-Match", tag);
    let made = client.get(PATH).header("etag").to_owned();
    for tag in [made.as_str(), &format!("W/{made}"), "*", &format!("\"x\", {made}")] {
        let response = unless(tag).get(PATH);
        assert_eq!((response.status, response.body.as_str()), (304, ""), "{tag}");
        assert_eq!(response.header("etag"), made);
    }
    client.patch(PATH, &json!({ "display_name": "New" }));
    assert_eq!(unless(&made).get(PATH).status, 200);
    assert_eq!(unless("\"x\"").get("/v1/end-users/nobody").status, 404);
}

/// Eight counters in one record. Each has its own client, which reads, adds one and writes back under `If-Match`:
/// no increment is lost.
#[test]
fn racing_read_modify_writes_lose_nothing() {
    const CLIENTS: usize = 8;
    const INCREMENTS: u64 = 10;
    let client = with_ada();
    expect(200, client.patch(PATH, &json!({ "metadata": { "count": 0 } })));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                for _ in 0..INCREMENTS {
                    let write = || {
                        let read = client.get(PATH);
                        let count = read.json()["metadata"]["count"].as_u64().expect("a count");
                        let guarded = client.clone().with_header("If-Match", read.header("etag"));
                        let written = guarded.patch(PATH, &json!({ "metadata": { "count": count + 1 } }));
                        assert!([200, 412].contains(&written.status), "{written:?}");
                        written.status
                    };
                    wait::until("a write that meets no other", write, |status| *status == 200);
                }
            });
        }
    });
    let user = expect(200, client.get(PATH));
    assert_eq!(user["metadata"]["count"], CLIENTS as u64 * INCREMENTS);
}
