//! An organization's usage of its billing period, as the organization and the operator see it.

use serde_json::{Value, json};

use crate::agents::{assert_problem, make_agent};
use crate::client::Client;
use crate::respond::{PATH as RESPOND, turn};
use crate::server::{Organization, Server, expect, shared};

const TURNS: &str = "/v1/usage/turns";
const RELATIONSHIPS: &str = "/v1/usage/active-relationships";

/// Asserts used, limit and the period, without further members. Returns the period.
fn assert_used(client: &Client, path: &str, used: u64, limit: u64) -> (String, String) {
    let usage = expect(200, client.get(path));
    let (start, end) = (&usage["period_start"], &usage["resets_at"]);
    assert_eq!(usage, json!({ "used": used, "limit": limit, "period_start": start, "resets_at": end }), "{path}");
    (start.as_str().expect("an instant").to_owned(), end.as_str().expect("an instant").to_owned())
}

fn usage_path(organization: &Organization) -> String {
    format!("{}/usage", organization.path())
}

/// Both modes as the operator sees them.
fn modes(server: &Server, organization: &Organization) -> Value {
    expect(200, server.admin().get(&usage_path(organization)))["modes"].clone()
}

#[test]
fn nothing_is_used_at_first() {
    let client = shared().new_client();
    assert_used(&client, TURNS, 0, 10_000);
    assert_used(&client, RELATIONSHIPS, 0, 1_000);
    make_agent(&client, "Echo");
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    assert_used(&client, TURNS, 0, 10_000);
    assert_used(&client, RELATIONSHIPS, 0, 1_000);
}

#[test]
fn the_period_is_a_month_around_now() {
    let client = shared().new_client();
    let period = assert_used(&client, TURNS, 0, 10_000);
    assert_eq!(assert_used(&client, RELATIONSHIPS, 0, 1_000), period, "one period for both");
    let (start, end) = period;
    assert!(start.ends_with("T00:00:00.000Z") && end.ends_with("T00:00:00.000Z"), "{start} {end}");
    let made = expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    let now = made["created_at"].as_str().expect("an instant");
    // RFC 3339 in UTC at one precision is ordered as text.
    assert!(start.as_str() <= now && now < end.as_str(), "{start} {now} {end}");
}

#[test]
fn every_turn_is_seen_at_once() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    for count in 1..=20 {
        turn(&client, &agent, &format!("u{}", count % 5));
        assert_used(&client, TURNS, count, 10_000);
        assert_used(&client, RELATIONSHIPS, count.min(5), 1_000);
    }
}

#[test]
fn the_headers_say_the_same() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    let answered = client.post(RESPOND, &json!({ "message": "hello", "personality_id": agent, "user_id": "eve" }));
    let (_, resets_at) = assert_used(&client, TURNS, 2, 10_000);
    assert_used(&client, RELATIONSHIPS, 2, 1_000);
    for (name, value) in [
        ("x-quota-turns-used", "2"),
        ("x-quota-turns-limit", "10000"),
        ("x-quota-relationships-used", "2"),
        ("x-quota-relationships-limit", "1000"),
        ("x-quota-reset", &resets_at),
    ] {
        assert_eq!(answered.header(name), value, "{name}");
    }
}

#[test]
fn a_reader_may_see_the_usage() {
    let server = shared();
    let organization = server.organization_with_quota(7, 3);
    let reader = server.client(&organization, "live", "read");
    assert_used(&reader, TURNS, 0, 7);
    assert_used(&reader, RELATIONSHIPS, 0, 3);
    for path in [TURNS, RELATIONSHIPS] {
        assert_eq!(server.anonymous().get(path).status, 401);
        assert_eq!(reader.get(&format!("{path}?period=last")).status, 422);
        assert_eq!(reader.send("HEAD", path, None).status, 200);
    }
}

#[test]
fn a_changed_limit_is_seen_at_once() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    let limits = json!({ "limits": { "turns_per_period": 5, "active_relationships": 4 } });
    expect(200, server.admin().patch(&organization.path(), &limits));
    assert_used(&client, TURNS, 1, 5);
    assert_used(&client, RELATIONSHIPS, 1, 4);
}

#[test]
fn usage_survives_a_crash() {
    let mut server = Server::start(crate::server::Options { vars: crate::server::roomy(), entry: None });
    let mut client = server.new_client();
    let agent = make_agent(&client, "Echo");
    for index in 0..25 {
        turn(&client, &agent, &format!("u{}", index % 4));
    }
    server.kill_and_restart();
    client.move_to(server.url());
    assert_used(&client, TURNS, 25, 10_000);
    assert_used(&client, RELATIONSHIPS, 4, 1_000);
}

#[test]
fn the_operator_sees_both_modes() {
    let server = shared();
    let organization = server.organization_with_quota(70, 30);
    let [live, test] = ["live", "test"].map(|mode| server.client(&organization, mode, "read_write"));
    let (of_live, of_test) = (make_agent(&live, "Echo"), make_agent(&test, "Echo"));
    for user in ["ada", "eve", "ada"] {
        turn(&live, &of_live, user);
    }
    turn(&test, &of_test, "ada");
    let (start, end) = assert_used(&live, TURNS, 3, 70);
    let mode = |mode: &str, turns: u64, relationships: u64| {
        json!({
            "mode": mode,
            "turns": { "used": turns, "limit": 70 },
            "active_relationships": { "used": relationships, "limit": 30 },
            "period_start": start, "resets_at": end,
        })
    };
    let usage = expect(200, server.admin().get(&usage_path(&organization)));
    assert_eq!(usage, json!({ "organization_id": organization.id, "modes": [mode("live", 3, 2), mode("test", 1, 1)] }));
}

#[test]
fn the_operator_sees_an_organization_that_was_never_used() {
    let server = shared();
    for mode in modes(server, &server.organization()).as_array().expect("modes") {
        assert_eq!(mode["turns"], json!({ "used": 0, "limit": 10_000 }), "{mode}");
        assert_eq!(mode["active_relationships"], json!({ "used": 0, "limit": 1_000 }), "{mode}");
    }
}

#[test]
fn usage_is_the_operators_business_only() {
    let server = shared();
    let path = usage_path(&server.organization());
    assert_problem(&server.anonymous().get(&path), 401, "authentication_error");
    assert_problem(&server.new_client().get(&path), 401, "invalid_token");
    let unknown = Organization { id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned() };
    assert_problem(&server.admin().get(&usage_path(&unknown)), 404, "not_found");
}
