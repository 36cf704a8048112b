//! `DELETE /v1/end-users/{user_id}` and its receipt.

use std::thread;

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{Options, Server, expect, roomy, shared};
use crate::stores::Store;
use crate::wait;

fn make(client: &Client, id: &str) {
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": id, "metadata": { "of": id } })).status, 201);
}

pub fn completed(client: &Client, deletion_id: &str) -> Value {
    let look = || {
        let receipt = expect(200, client.get(&format!("/v1/deletions/{deletion_id}")));
        assert!(receipt["status"] == "completed" || receipt["status"] == "deletion_pending", "{receipt}");
        receipt
    };
    wait::until("the end of an erasure", look, |receipt| receipt["status"] == "completed")
}

#[test]
fn a_person_is_erased_and_the_id_is_free_again() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let tenant = format!("{}/live", organization.id);
    make(&client, "ada");
    make(&client, "eve");
    let first = client.get("/v1/end-users/ada").header("etag").to_owned();
    let kept = client.clone().with_header("Idempotency-Key", "k").post("/v1/end-users", &json!({ "user_id": "ada" }));
    assert_eq!(kept.status, 200);

    let body = json!({ "reason": "asked for" }).to_string();
    let accepted = client.send("DELETE", "/v1/end-users/ada", Some(("application/json", body.as_bytes())));
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let accepted = accepted.json();
    assert_eq!(accepted["status"], "deletion_pending");
    let deletion_id = accepted["deletion_id"].as_str().expect("an id").to_owned();

    let receipt = completed(&client, &deletion_id);
    assert_eq!(
        receipt,
        json!({
            "deletion_id": deletion_id, "status": "completed", "cascade": "all", "requested_at": receipt["requested_at"],
            "completed_at": receipt["completed_at"], "reason": "asked for",
            "erased": { "records": 1, "relationships": 0, "moods": 0 },
        })
    );
    assert_eq!(client.get("/v1/end-users/ada").status, 404);
    assert_eq!(client.delete("/v1/end-users/ada").status, 404);
    let listed = expect(200, client.get("/v1/end-users"));
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
    Store::Objects.assert_users_eventually(server.state(), &tenant, 1);
    Store::D1.assert_users_eventually(server.state(), &tenant, 1);

    let again = client.post("/v1/end-users", &json!({ "user_id": "ada" }));
    assert_eq!((again.status, &again.json()["metadata"]), (201, &json!({})), "another person");
    assert_ne!(again.header("etag"), first, "whom no tag of the old one names");
    let quoted = format!("\"{}\"", again.json()["version"]);
    assert_eq!(again.header("etag"), quoted, "the tag is the version");
    for (tag, status) in [(&first, 412), (&quoted, 200)] {
        let guarded = client.clone().with_header("If-Match", tag);
        assert_eq!(guarded.patch("/v1/end-users/ada", &json!({ "display_name": "x" })).status, status, "{tag}");
    }
    let replay = client.clone().with_header("Idempotency-Key", "k").post("/v1/end-users", &json!({ "user_id": "ada" }));
    assert_eq!(replay.status, 409, "no kept answer brings the erased record back");
    assert_eq!(replay.json()["error"]["code"], "idempotency_of_erased");
    assert_eq!(expect(200, client.get("/v1/end-users/ada"))["metadata"], json!({}));
}

/// While D1 is down no store can confirm the removal. The erasure stays pending, every answer says so, and it
/// completes by itself afterwards.
#[test]
fn while_an_erasure_is_pending_the_person_is_logically_gone() {
    let server = Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") });
    let client = server.new_client();
    make(&client, "ada");
    expect(200, client.get("/v1/end-users"));
    let set = |d1: bool| assert_eq!(server.anonymous().post("/__faults", &json!({ "d1": d1 })).status, 200);
    set(true);
    let accepted = expect(202, client.delete("/v1/end-users/ada"));
    for _ in 0..3 {
        assert_eq!(expect(202, client.delete("/v1/end-users/ada")), accepted, "the same receipt");
    }
    let read = expect(200, client.get("/v1/end-users/ada"));
    assert_eq!(read["status"], "deletion_pending");
    for response in [
        client.post("/v1/end-users", &json!({ "user_id": "ada" })),
        client.patch("/v1/end-users/ada", &json!({ "display_name": "x" })),
    ] {
        assert_eq!(response.status, 409, "{response:?}");
        let error = response.json()["error"].clone();
        let details = json!({ "deletion_id": accepted["deletion_id"] });
        assert_eq!((&error["code"], &error["details"]), (&json!("deletion_pending"), &details));
        assert_eq!(response.header("retry-after"), "2");
    }
    let batch = expect(200, client.post("/v1/end-users/batch", &json!({ "users": [{ "user_id": "ada" }] })));
    let row = &batch["results"][0];
    assert_eq!((&row["status"], &row["error"]["details"]["deletion_id"]), (&json!(409), &accepted["deletion_id"]));
    let deletion_id = accepted["deletion_id"].as_str().expect("an id");
    let receipt = expect(200, client.get(&format!("/v1/deletions/{deletion_id}")));
    assert_eq!((&receipt["status"], &receipt["completed_at"]), (&json!("deletion_pending"), &Value::Null));
    set(false);
    completed(&client, deletion_id);
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "ada" })).status, 201);
}

#[test]
fn a_partial_erasure_leaves_the_person_active() {
    let client = shared().new_client();
    make(&client, "ada");
    for cascade in ["model_only", "memory_only"] {
        let body = json!({ "cascade": cascade }).to_string();
        let accepted = client.send("DELETE", "/v1/end-users/ada", Some(("application/json", body.as_bytes())));
        let accepted = expect(202, accepted);
        assert_eq!(accepted["status"], "partial_deletion_pending");
        let receipt = completed(&client, accepted["deletion_id"].as_str().expect("an id"));
        assert_eq!((&receipt["cascade"], &receipt["erased"]["records"]), (&json!(cascade), &json!(0)));
        assert_eq!(expect(200, client.get("/v1/end-users/ada"))["status"], "active");
    }
}

#[test]
fn deletions_are_checked_like_everything_else() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    make(&client, "ada");
    for (content_type, body, status) in [
        ("application/json", json!({ "cascade": "some" }).to_string(), 422),
        ("application/json", json!({ "reason": "x".repeat(501) }).to_string(), 422),
        ("application/json", json!({ "force": true }).to_string(), 422),
        ("application/json", "[]".to_owned(), 400),
        ("text/plain", "{}".to_owned(), 415),
    ] {
        let response = client.send("DELETE", "/v1/end-users/ada", Some((content_type, body.as_bytes())));
        assert_eq!(response.status, status, "{body}: {response:?}");
    }
    assert_eq!(server.client(&organization, "live", "read").delete("/v1/end-users/ada").status, 403);
    assert_eq!(server.new_client().delete("/v1/end-users/ada").status, 404, "never another's");
    let accepted = expect(202, client.delete("/v1/end-users/ada"));
    let path = format!("/v1/deletions/{}", accepted["deletion_id"].as_str().expect("an id"));
    assert_eq!(server.new_client().get(&path).status, 404, "nor another's receipt");
    assert_eq!(client.get("/v1/deletions/01ARZ3NDEKTSV4RRFFQ69G5FAV").status, 404);
    assert_eq!(client.get("/v1/deletions/x").status, 422);
}

/// Many erasures at once complete in bounded steps. Each id answers 409 until its own receipt says completed.
#[test]
fn many_people_are_erased_at_once() {
    const USERS: usize = 1_000;
    let server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let rows = |from: usize| -> Value {
        (from..from + 500).map(|index| json!({ "user_id": format!("u{index:04}") })).collect()
    };
    for from in (0..USERS).step_by(500) {
        expect(200, client.post("/v1/end-users/batch", &json!({ "users": rows(from) })));
    }
    thread::scope(|scope| {
        for part in 0..4 {
            let client = &client;
            scope.spawn(move || {
                for index in (part..USERS).step_by(4) {
                    let id = format!("u{index:04}");
                    let accepted = expect(202, client.delete(&format!("/v1/end-users/{id}")));
                    let again = client.post("/v1/end-users", &json!({ "user_id": id }));
                    let path = format!("/v1/deletions/{}", accepted["deletion_id"].as_str().expect("an id"));
                    let receipt = expect(200, client.get(&path));
                    match again.status {
                        409 => {}
                        201 => assert_eq!(receipt["status"], "completed"),
                        other => panic!("{other}: {again:?}"),
                    }
                    if again.status == 201 {
                        expect(202, client.delete(&format!("/v1/end-users/{id}")));
                    }
                }
            });
        }
    });
    let tenant = format!("{}/live", organization.id);
    Store::Objects.assert_users_eventually(server.state(), &tenant, 0);
    Store::D1.assert_users_eventually(server.state(), &tenant, 0);
    assert_eq!(expect(200, client.get("/v1/end-users"))["data"], json!([]));
}
