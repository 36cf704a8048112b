//! `limits.turns_per_user`: one person does not use up everybody's turns. And `GET /v1/end-users/{user_id}/usage`.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::{Client, Response, encode};
use crate::clock::{self, now_ms, set_ahead};
use crate::delete_end_user::completed;
use crate::metering::{is_replayed, server};
use crate::respond::{PATH, assert_error, assert_no_room, assert_quota, race, turn, used};
use crate::server::{Options, Organization, Server, expect, roomy, shared};
use crate::upstream::{Behaviour, Steps, Upstream};
use crate::wait;

const EXHAUSTED: &str = "user_quota_exhausted";

fn limited(server: &Server, turns_per_user: u64) -> Organization {
    server.organization_with(&json!({
        "requests_per_second": 100_000, "burst": 1_000_000, "turns_per_user": turns_per_user,
    }))
}

fn limit(server: &Server, organization: &Organization, limits: &Value) -> Value {
    expect(200, server.admin().patch(&organization.path(), &json!({ "limits": limits })))["limits"].clone()
}

fn ask(client: &Client, agent: &str, user: &str) -> Response {
    client.post(PATH, &json!({ "message": "hello", "personality_id": agent, "user_id": user }))
}

fn path(user: &str) -> String {
    format!("/v1/end-users/{}/usage", encode(user))
}

/// The turns of a person: used, reserved, the limit and what remains.
fn turns(client: &Client, user: &str) -> Value {
    expect(200, client.get(&path(user)))["turns"].clone()
}

fn of(used: u64, reserved: u64, limit: u64) -> Value {
    json!({ "used": used, "reserved": reserved, "limit": limit, "remaining": limit - used - reserved })
}

/// 100 racing attempts of one person at 10 turns: exactly 10 are answered, and nobody else notices.
#[test]
fn a_person_takes_their_turns_to_the_last_and_no_more() {
    const LIMIT: u64 = 10;
    let server = shared();
    let client = server.client(&limited(server, LIMIT), "live", "read_write");
    let agents = ["Echo", "Second"].map(|name| make_agent(&client, name));
    let answers = race(20, 5, |index| ask(&client, &agents[index % 2], "ada"));
    let (answered, refused): (Vec<&Response>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    println!("{} attempts at {LIMIT} turns: {} answered, {} refused", answers.len(), answered.len(), refused.len());
    assert_eq!((answered.len(), refused.len()), (10, 90));
    for refused in refused {
        assert_no_room(refused, (429, EXHAUSTED));
    }
    assert_eq!(turns(&client, "ada"), of(LIMIT, 0, LIMIT));
    assert_error(&ask(&client, &agents[0], "ada"), 429, EXHAUSTED, "quota");
    turn(&client, &agents[0], "eve");
    assert_eq!(turns(&client, "eve"), of(1, 0, LIMIT));
    assert_eq!(used(&client).0, LIMIT + 1, "a refused turn counts for nobody");
}

#[test]
fn a_person_without_turns_is_told_when_there_are_new_ones() {
    let server = shared();
    let client = server.client(&limited(server, 1), "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    let asked_at_ms = now_ms();
    let refused = ask(&client, &agent, "ada");
    let details = assert_error(&refused, 429, EXHAUSTED, "quota");
    // The headers tell of the organization.
    assert_quota(&refused, (1, 10_000), (1, 1_000));
    let resets_at = refused.header("x-quota-reset");
    assert_eq!(details, json!({ "component": "turns", "used": 1, "limit": 1, "resets_at": resets_at }));
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
        refused.header(name);
    }
    let retry_after_ms = refused.header("retry-after").parse::<i64>().expect("whole seconds") * 1_000;
    let at = rollcall::directory::timestamp::Timestamp::parse(resets_at).expect("an instant").millis();
    let range = at - now_ms()..=at - asked_at_ms + 1_000;
    assert!(range.contains(&retry_after_ms), "{retry_after_ms} ms are not within {range:?}");
}

/// One token for a refused turn, as for a refusal by the organization's quota.
#[test]
fn a_refused_turn_takes_one_token() {
    let server = clock::stopped();
    let organization = server.organization_with(&json!({
        "requests_per_second": 1, "burst": 100, "turns_per_user": 1, "turns_per_period": 3,
    }));
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    let left = |response: &Response| response.header("x-ratelimit-remaining").parse::<u64>().expect("a number");
    let before = left(&client.get("/v1/usage/turns"));
    let of_person = ask(&client, &agent, "ada");
    assert_error(&of_person, 429, EXHAUSTED, "quota");
    assert_eq!(left(&of_person), before - 1);
    turn(&client, &agent, "eve");
    turn(&client, &agent, "joe");
    let of_organization = ask(&client, &agent, "ada");
    assert_error(&of_organization, 429, "quota_exhausted", "quota");
    assert_eq!(left(&of_organization), before - 4);
}

#[test]
fn the_usage_of_a_person_is_read_in_this_form() {
    let server = shared();
    let organization = limited(server, 5);
    let client = server.client(&organization, "live", "read_write");
    let reader = server.client(&organization, "live", "read");
    let agent = make_agent(&client, "Echo");
    let user = "ada/🦀";
    assert_error(&reader.get(&path(user)), 404, "not_found", "not_found");
    expect(201, client.post("/v1/end-users", &json!({ "user_id": user })));
    turn(&client, &agent, user);
    turn(&client, &agent, user);
    let period = expect(200, reader.get("/v1/usage/turns"));
    let expected = json!({
        "user_id": user, "turns": of(2, 0, 5), "period_start": period["period_start"], "resets_at": period["resets_at"],
    });
    assert_eq!(expect(200, reader.get(&path(user))), expected);
    assert_eq!(reader.send("HEAD", &path(user), None).status, 200);
    assert_eq!(reader.get(&format!("{}?period=last", path(user))).status, 422);
    assert_eq!(server.anonymous().get(&path(user)).status, 401);
    assert_error(&client.send("DELETE", &path(user), None), 405, "method_not_allowed", "validation");
    // The modes are counted apart.
    let test_mode = server.client(&organization, "test", "read_write");
    assert_eq!(test_mode.get(&path(user)).status, 404);

    assert_eq!(limit(server, &organization, &json!({ "turns_per_user": 1 }))["turns_per_user"], 1);
    let over = json!({ "used": 2, "reserved": 0, "limit": 1, "remaining": 0 });
    assert_eq!(turns(&client, user), over, "nothing is left, and no less");
    assert_eq!(limit(server, &organization, &json!({ "turns_per_user": 0 }))["turns_per_user"], 0);
    let without = json!({ "used": 2, "reserved": 0, "limit": null, "remaining": null });
    assert_eq!(turns(&client, user), without);
}

#[test]
fn a_limit_holds_from_the_next_turn_and_knows_what_was_used() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    for _ in 0..3 {
        turn(&client, &agent, "ada");
    }
    limit(server, &organization, &json!({ "turns_per_user": 3 }));
    let details = assert_error(&ask(&client, &agent, "ada"), 429, EXHAUSTED, "quota");
    assert_eq!((&details["used"], &details["limit"]), (&json!(3), &json!(3)));
    limit(server, &organization, &json!({ "turns_per_user": 4 }));
    turn(&client, &agent, "ada");
    assert_error(&ask(&client, &agent, "ada"), 429, EXHAUSTED, "quota");
    for wrong in [json!(-1), json!(1.5), json!("3"), json!(null), json!(1_000_000_000_001_u64)] {
        let body = json!({ "limits": { "turns_per_user": wrong } });
        assert_eq!(server.admin().patch(&organization.path(), &body).status, 422, "{body}");
    }
}

#[test]
fn only_stateful_turns_are_a_persons() {
    let server = shared();
    let client = server.client(&limited(server, 1), "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    let anonymous = json!({ "message": "hello", "personality_id": agent });
    let named = json!({ "message": "hello", "personality_id": agent, "user_id": "ada", "mode": "stateless" });
    for body in [anonymous, named] {
        expect(200, client.post(PATH, &body));
    }
    assert_eq!((turns(&client, "ada"), used(&client)), (of(1, 0, 1), (3, 1)));
}

#[test]
fn a_repeated_turn_is_answered_as_the_first_time() {
    let server = shared();
    let client = server.client(&limited(server, 1), "live", "read_write");
    let agent = make_agent(&client, "Echo");
    let keyed = client.clone().with_header("Idempotency-Key", "k");
    let first = expect(200, ask(&keyed, &agent, "ada"));
    assert_error(&ask(&client, &agent, "ada"), 429, EXHAUSTED, "quota");
    let again = ask(&keyed, &agent, "ada");
    assert!(is_replayed(&again), "{again:?}");
    assert_eq!((expect(200, again), turns(&client, "ada")), (first, of(1, 0, 1)));
}

#[test]
fn the_organizations_quota_wins() {
    let server = shared();
    let organization = limited(server, 1);
    let client = server.client(&organization, "live", "read_write");
    let [agent, other] = ["Echo", "Other"].map(|name| make_agent(&client, name));
    turn(&client, &agent, "ada");
    limit(server, &organization, &json!({ "active_relationships": 1 }));
    assert_error(&ask(&client, &other, "ada"), 403, "relationship_limit_reached", "quota");
    assert_error(&ask(&client, &agent, "ada"), 429, EXHAUSTED, "quota");
    limit(server, &organization, &json!({ "turns_per_period": 1 }));
    assert_error(&ask(&client, &agent, "ada"), 429, "quota_exhausted", "quota");
}

/// The only turn of a person is in progress, and fails. Until then the person is told to try again, and others take turns.
#[test]
fn a_turn_in_progress_holds_the_rest_and_gives_it_back() {
    let upstream = Upstream::start();
    let server = server(&upstream, 30_000);
    let client = server.client(&limited(&server, 1), "live", "read_write");
    let agent = make_agent(&client, "Held");
    let body = |message: &str, user: &str| json!({ "message": message, "personality_id": agent, "user_id": user });
    let (permit, steps) = Steps::new();
    upstream.when("held", Behaviour::Held(steps));
    thread::scope(|scope| {
        let held = scope.spawn(|| client.post(PATH, &body("held", "ada")));
        wait::until("the responder is asked", || upstream.asked_about("held").len(), |asked| *asked == 1);
        assert_eq!(turns(&client, "ada"), of(0, 1, 1));
        let refused = client.post(PATH, &body("soon", "ada"));
        let details = assert_error(&refused, 429, "quota_reserved", "rate_limit");
        let millis = details["retry_after_ms"].as_u64().expect("a time");
        assert_eq!(refused.header("retry-after"), millis.div_ceil(1_000).max(1).to_string());
        expect(200, client.post(PATH, &body("meanwhile", "eve")));
        drop(permit);
        assert_eq!(held.join().expect("an answer").status, 502);
    });
    assert_eq!(turns(&client, "ada"), of(0, 0, 1), "a turn that fails is not counted");
    expect(200, client.post(PATH, &body("again", "ada")));
    assert_eq!(turns(&client, "ada"), of(1, 0, 1));
}

#[test]
fn a_new_period_begins_with_none_of_a_persons_turns_used() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let client = server.client(&limited(&server, 2), "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    turn(&client, &agent, "ada");
    let refused = ask(&client, &agent, "ada");
    assert_error(&refused, 429, EXHAUSTED, "quota");
    set_ahead(&server, Duration::from_hours(32 * 24));
    let usage = expect(200, client.get(&path("ada")));
    assert!(usage["period_start"].as_str() >= Some(refused.header("x-quota-reset")), "{usage}");
    assert_eq!(usage["turns"], of(0, 0, 2));
    turn(&client, &agent, "ada");
    assert_eq!(turns(&client, "ada"), of(1, 0, 2));
}

/// The count goes with the person. The organization's stays, because the turns were taken.
#[test]
fn who_is_made_again_begins_at_0_and_the_organization_does_not() {
    let server = shared();
    let client = server.client(&limited(server, 2), "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    turn(&client, &agent, "ada");
    let export = expect(200, client.get("/v1/end-users/ada/export"));
    let usage = expect(200, client.get(&path("ada")));
    assert_eq!(export["turns"], json!([{ "period_start": usage["period_start"], "used": 2 }]));
    let erasure = expect(202, client.delete("/v1/end-users/ada"));
    completed(&client, erasure["deletion_id"].as_str().expect("an id"));
    assert_eq!(client.get(&path("ada")).status, 404);
    assert_eq!(used(&client), (2, 1));
    turn(&client, &agent, "ada");
    assert_eq!((turns(&client, "ada"), used(&client)), (of(1, 0, 2), (3, 2)));
}

#[test]
fn the_count_of_a_person_survives_a_crash() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let mut client = server.client(&limited(&server, 3), "live", "read_write");
    let agent = make_agent(&client, "Echo");
    for _ in 0..3 {
        turn(&client, &agent, "ada");
    }
    server.kill_and_restart();
    client.move_to(server.url());
    assert_eq!(turns(&client, "ada"), of(3, 0, 3));
    assert_error(&ask(&client, &agent, "ada"), 429, EXHAUSTED, "quota");
}
