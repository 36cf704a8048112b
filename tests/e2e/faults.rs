//! KV or D1 is down: reads and writes succeed, and both stores catch up.

use std::thread;

use rollcall::projection::listing::schema::VERSION;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::encode;
use crate::clock::{now_ms, set_ahead};
use crate::delete_end_user::completed;
use crate::edge_reads::{REWRITTEN_AFTER, from_edge, is_from_edge, near};
use crate::respond::turn;
use crate::server::{Options, Server, expect, roomy};
use crate::stores::{Store, kv_holds, next_alarm_ms};
use crate::wait;

fn server() -> Server {
    Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") })
}

pub fn set(server: &Server, faults: &Value) {
    let response = server.anonymous().post("/__faults", faults);
    assert_eq!(response.status, 200, "{response:?}");
}

/// How often a store or an object was called, or a fault has happened. A test that needs a fault asserts that it did.
pub fn happened(server: &Server, fault: &str) -> u64 {
    expect(200, server.anonymous().get("/__calls"))[fault].as_u64().unwrap_or_default()
}

/// Waits until a fault has happened since the server started.
pub fn wait_until_happened(server: &Server, fault: &str) {
    wait::until(&format!("{fault} to happen"), || happened(server, fault), |times| *times > 0);
}

#[test]
fn kv_down_fails_no_write_and_no_read_and_catches_up() {
    let server = server();
    let client = server.new_client();
    let near = near(&client, 5);
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "u00" })).status, 201);
    from_edge(&near, "/v1/end-users/u00");
    set(&server, &json!({ "kv": true }));
    expect(200, client.patch("/v1/end-users/u00", &json!({ "metadata": { "is": "new" } })));
    for index in 1..30 {
        let path = format!("/v1/end-users/u{index:02}");
        assert_eq!(client.post("/v1/end-users", &json!({ "user_id": format!("u{index:02}") })).status, 201);
        assert_eq!((client.get(&path).status, near.get(&path).status), (200, 200));
    }
    assert_eq!(expect(200, client.get("/v1/end-users"))["data"].as_array().map(Vec::len), Some(30));
    assert!(happened(&server, "kv.failed") > 0, "readers asked it");
    assert_eq!(server.anonymous().get("/ready").status, 503);
    set(&server, &json!({ "kv": false }));
    set_ahead(&server, REWRITTEN_AFTER);
    assert_eq!(from_edge(&near, "/v1/end-users/u00").json()["metadata"], json!({ "is": "new" }));
    assert_eq!(server.anonymous().get("/ready").status, 200);
}

#[test]
fn d1_down_fails_no_write_and_catches_up() {
    let server = server();
    let client = server.new_client();
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "before" })).status, 201);
    set(&server, &json!({ "d1": true }));
    for index in 0..30 {
        let created = client.post("/v1/end-users", &json!({ "user_id": format!("u{index:02}") }));
        assert_eq!(created.status, 201);
        assert_eq!(client.get(&format!("/v1/end-users/u{index:02}")).status, 200);
    }
    let listed = client.get("/v1/end-users");
    assert_eq!(listed.status, 503, "a listing that might lack something is not given");
    assert_eq!(listed.header("retry-after"), "1");
    assert_eq!(listed.json()["error"]["code"], "service_unavailable");
    assert!(!listed.body.contains("injected"), "the inside stays inside");
    assert_eq!(server.admin().get("/admin/v1/organizations").status, 503);
    assert!(happened(&server, "d1.failed") > 1, "the flushes failed too");
    set(&server, &json!({ "d1": false }));
    let page = expect(200, client.get("/v1/end-users"));
    assert_eq!(page["data"].as_array().map(Vec::len), Some(31), "at once, for who asks");
}

/// During a deployment an edge may call an object of another build. Callers come back when it is over.
#[test]
fn an_object_of_another_build_is_503_and_changes_nothing() {
    let server = server();
    let client = server.new_client();
    set(&server, &json!({ "build": true }));
    for response in [
        client.post("/v1/end-users", &json!({ "user_id": "ada" })),
        client.get("/v1/end-users/ada"),
        client.get("/v1/end-users"),
    ] {
        assert_eq!((response.status, response.header("retry-after")), (503, "1"), "{response:?}");
        assert_eq!(response.json()["error"]["code"], "service_unavailable");
    }
    set(&server, &json!({ "build": false }));
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "ada" })).status, 201);
}

/// A build that was rolled back too far leaves the tables of the newer one alone. Writes go on: the object commits
/// them, and the listing follows when the newer build is back.
#[test]
fn a_listing_of_a_newer_build_is_left_alone() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let mut client = server.client(&organization, "live", "read_write");
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "ada" })).status, 201);
    Store::D1.assert_users_eventually(server.state(), &format!("{}/live", organization.id), 1);
    for (version, served_from, status) in
        [(VERSION + 1, VERSION + 1, 503), (VERSION + 1, VERSION, 200), (VERSION, VERSION - 1, 200)]
    {
        server.kill();
        let statement = format!("UPDATE schema SET version = {version}, served_from = {served_from}");
        for file in Store::D1.files(server.state()) {
            let database = Connection::open(&file).expect("the store");
            // The runtime keeps a file of its own beside the database.
            if database.prepare("SELECT 1 FROM schema").is_ok() {
                database.execute(&statement, []).expect("a version");
            }
        }
        server.restart();
        client.move_to(server.url());
        let listed = client.get("/v1/end-users");
        assert_eq!(listed.status, status, "{listed:?}");
        assert_eq!(server.anonymous().get("/ready").status, status);
        assert_eq!(
            client.post("/v1/end-users", &json!({ "user_id": "bob" })).status,
            if status == 503 { 201 } else { 200 }
        );
    }
}

/// The Worker gives up a store that does not answer. Each wait has its own limit, also one that begins after the
/// request has waited for another store.
#[test]
fn what_never_answers_holds_nobody_up_for_ever() {
    let server = server();
    let client = server.new_client();
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "before" })).status, 201);
    assert_eq!(client.get("/v1/end-users").status, 200);

    let near = near(&client, 5);
    from_edge(&near, "/v1/end-users/before");
    set(&server, &json!({ "kv": "hang" }));
    assert_eq!(client.get("/v1/end-users/before").status, 200);
    let look = || near.get("/v1/end-users/before");
    assert_eq!(look().status, 200);
    wait::until("an answer of the object", look, |read| read.status == 200 && !is_from_edge(read));
    assert!(happened(&server, "kv.hang") > 0);

    set(&server, &json!({ "kv": false, "d1": "hang" }));
    thread::scope(|scope| {
        let query = scope.spawn(|| client.get("/v1/end-users"));
        let directory = scope.spawn(|| server.admin().get("/admin/v1/organizations"));
        assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "meanwhile" })).status, 201);
        for response in [query, directory].map(|thread| thread.join().expect("an answer")) {
            assert_eq!((response.status, response.header("retry-after")), (503, "1"), "{response:?}");
        }
    });
    // A list that has to wait for the object, which waits for D1.
    assert_eq!(client.get("/v1/end-users").status, 503);

    set(&server, &json!({ "d1": false, "objects": "hang" }));
    assert_eq!(client.get("/v1/end-users/before").status, 503);

    set(&server, &json!({ "objects": false }));
    let page = expect(200, client.get("/v1/end-users"));
    assert_eq!(page["data"].as_array().map(Vec::len), Some(2), "nothing is lost");
}

/// A kept answer sets the alarm to its expiry, a day away. A later change does not wait for that alarm.
#[test]
fn an_alarm_for_tomorrow_does_not_put_off_the_backstop() {
    let server = server();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let keyed = client.clone().with_header("Idempotency-Key", "k");
    assert_eq!(keyed.post("/v1/end-users", &json!({ "user_id": "first" })).status, 201);
    let tenant = format!("{}/live", organization.id);
    let hour_ms = 3_600_000;
    let alarm = || next_alarm_ms(server.state());
    let is_far_off = |alarm: &Option<i64>| alarm.is_some_and(|at_ms| at_ms >= now_ms() + hour_ms);
    wait::until("the alarm to be set for the expiry", alarm, is_far_off);
    set(&server, &json!({ "d1": true }));
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "second" })).status, 201);
    wait_until_happened(&server, "d1.failed");
    set(&server, &json!({ "d1": false }));
    Store::D1.assert_users_eventually(server.state(), &tenant, 2);
}

/// The runtime is killed while both stores are down. What is to be written and the alarm are durable, so the alarm brings
/// both stores up to date without a request: the listing at once, and the copy a minute after it was last written.
#[test]
fn a_crash_with_both_stores_down_loses_nothing() {
    let mut server = server();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "copied" })).status, 201);
    from_edge(&near(&client, 5), "/v1/end-users/copied");
    set(&server, &json!({ "kv": true, "d1": true }));
    expect(200, client.patch("/v1/end-users/copied", &json!({ "metadata": { "is": "canary-after-the-crash" } })));
    for index in 1..150 {
        let created = client.post("/v1/end-users", &json!({ "user_id": format!("u{index:03}") }));
        assert_eq!(created.status, 201);
    }
    wait_until_happened(&server, "d1.failed");
    server.kill_and_restart();
    let tenant = format!("{}/live", organization.id);
    for store in [Store::Objects, Store::D1] {
        store.assert_users_eventually(server.state(), &tenant, 150);
    }
    let is_copied = || kv_holds(server.state(), "canary-after-the-crash");
    wait::until("the copy to be written again", is_copied, |is_copied| *is_copied);
}

/// D1 takes no parameter of more than 2,000,000 bytes. These relationships change together, and need more.
#[test]
fn the_relationships_of_many_people_reach_the_listing_whatever_their_size() {
    let server = server();
    let client = server.client(&server.organization_with_quota(10_000, 10_000), "live", "read_write");
    let (people, agents) = (44, 50);
    let user_id = |index: usize| format!("{index:02}{}", "🦀".repeat(253));
    set(&server, &json!({ "d1": true }));
    let agents: Vec<String> = (0..agents).map(|index| make_agent(&client, &format!("agent {index}"))).collect();
    thread::scope(|scope| {
        for part in 0..4 {
            let (client, agents) = (&client, &agents);
            scope.spawn(move || {
                for agent in agents {
                    (part..people).step_by(4).for_each(|index| drop(turn(client, agent, &user_id(index))));
                }
            });
        }
    });
    assert!(happened(&server, "d1.failed") > 0, "so they change together");
    set(&server, &json!({ "d1": false }));
    let look = || client.get(&format!("/api/v1/agents/{}/users?page_size=500", agents[0]));
    let page = wait::until("the listing to catch up", look, |response| response.status != 503);
    let page = expect(200, page);
    let users = page["users"].as_array().expect("users");
    let listed: Vec<&str> = users.iter().map(|user| user["user_id"].as_str().expect("an id")).collect();
    assert_eq!(listed, (0..people).map(user_id).collect::<Vec<_>>());
    // What waits behind them moves on too.
    let accepted = expect(202, client.delete(&format!("/v1/end-users/{}", encode(&user_id(0)))));
    completed(&client, accepted["deletion_id"].as_str().expect("an id"));
}
