//! `POST /v1/respond`: one metered turn, answered by the built-in echo.

use std::collections::BTreeSet;
use std::thread;

use rollcall::directory::identifiers::RequestId;
use rollcall::directory::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::agents::{make_agent, make_twins};
use crate::client::{Client, Response, encode};
use crate::clock::{now_ms, tick};
use crate::faults;
use crate::server::{Options, Server, expect, roomy, shared};

pub const PATH: &str = "/v1/respond";

/// Takes one stateful turn.
pub fn turn(client: &Client, agent: &str, user: &str) -> Value {
    expect(200, client.post(PATH, &json!({ "message": "hello", "personality_id": agent, "user_id": user })))
}

/// Takes one stateful turn that reports what the user feels.
pub fn feel(client: &Client, agent: &str, user: &str, affect: &Value) -> Value {
    let body = json!({ "message": "hello", "personality_id": agent, "user_id": user, "affect": affect });
    expect(200, client.post(PATH, &body))
}

/// The relationships that a query selects, on one page.
pub fn relationships(client: &Client, query: &str) -> Vec<Value> {
    let page = expect(200, client.get(&format!("/v1/relationships?{query}")));
    page["data"].as_array().expect("data").clone()
}

/// The only relationship of a user.
pub fn relationship_of(client: &Client, user: &str) -> Value {
    let all = relationships(client, &format!("user_id={}", encode(user)));
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().expect("one")
}

/// Used turns and active relationships.
pub fn used(client: &Client) -> (u64, u64) {
    let of = |what: &str| expect(200, client.get(&format!("/v1/usage/{what}")))["used"].as_u64().expect("a count");
    (of("turns"), of("active-relationships"))
}

/// A ULID in its canonical form, which is the only accepted one.
pub fn assert_ulid(value: &Value) {
    let text = value.as_str().unwrap_or_default();
    assert!(text.parse::<RequestId>().is_ok(), "{value}");
}

/// Asserts the five headers of the quota, each with used and limit.
pub fn assert_quota(response: &Response, turns: (u64, u64), relationships: (u64, u64)) {
    for (name, value) in [
        ("x-quota-turns-used", turns.0),
        ("x-quota-turns-limit", turns.1),
        ("x-quota-relationships-used", relationships.0),
        ("x-quota-relationships-limit", relationships.1),
    ] {
        assert_eq!(response.header(name), value.to_string(), "{name}: {response:?}");
    }
    assert!(response.header("x-quota-reset").ends_with("T00:00:00.000Z"), "{response:?}");
}

pub fn assert_error(response: &Response, status: u16, code: &str, kind: &str) -> Value {
    assert_eq!(response.status, status, "{response:?}");
    let error = response.json()["error"].clone();
    assert_eq!((&error["code"], &error["type"]), (&json!(code), &json!(kind)), "{response:?}");
    assert_eq!(error["request_id"], response.header("x-request-id"));
    error["details"].clone()
}

fn member_names(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Runs this many threads at once, each with its share of the requests.
pub fn race(threads: usize, each: usize, request: impl Fn(usize) -> Response + Sync) -> Vec<Response> {
    thread::scope(|scope| {
        let request = &request;
        let share = move |first: usize| (0..each).map(|index| request(first * each + index)).collect::<Vec<_>>();
        let racers: Vec<_> = (0..threads).map(|racer| scope.spawn(move || share(racer))).collect();
        racers.into_iter().flat_map(|racer| racer.join().expect("a racer")).collect()
    })
}

#[test]
fn a_stateful_turn_is_answered_and_counted() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let request = json!({ "message": "Good morning 🦀", "personality_id": agent, "user_id": "ada" });
    let answered = client.post(PATH, &request);
    assert_eq!(answered.status, 200, "{answered:?}");
    assert!(answered.header("content-type").starts_with("application/json"));
    assert_quota(&answered, (1, 10_000), (1, 1_000));
    let body = answered.json();
    assert_ulid(&body["interaction_id"]);
    let response = body["response"].as_str().expect("a response");
    assert!(response.contains("Good morning 🦀"), "{response}");
    assert!(response.to_lowercase().contains("echo"), "it says that it is an echo: {response}");
    assert!(body["latency_ms"].is_u64(), "{body}");
    assert!(body["usage"]["llm_provider"].is_string() && body["usage"]["llm_model"].is_string(), "{body}");
    assert_eq!(
        body,
        json!({
            "interaction_id": body["interaction_id"], "response": response, "inferred_emotional_state": null,
            "usage": {
                "turns_consumed": 1, "active_relationship_counted": true,
                "llm_provider": body["usage"]["llm_provider"], "llm_model": body["usage"]["llm_model"],
            },
            "latency_ms": body["latency_ms"],
        })
    );
}

#[test]
fn the_first_turn_makes_the_user() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "a/b 🦀");
    let user = expect(200, client.get("/v1/end-users/a%2Fb%20%F0%9F%A6%80"));
    assert_eq!(
        (&user["user_id"], &user["display_name"], &user["metadata"], &user["status"]),
        (&json!("a/b 🦀"), &Value::Null, &json!({}), &json!("active"))
    );
    assert!(user["last_interaction_at"].is_string(), "{user}");
    let made = client.post("/v1/end-users", &json!({ "user_id": "a/b 🦀", "metadata": { "late": true } }));
    assert_eq!((made.status, &made.json()["metadata"]), (200, &json!({})), "it is the same row");
    assert_eq!(expect(200, client.get("/v1/end-users"))["data"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_turn_leaves_a_known_user_as_they_are() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let body = json!({ "user_id": "ada", "display_name": "Ada", "metadata": { "plan": "pro" } });
    let made = expect(201, client.post("/v1/end-users", &body));
    assert_eq!(made["last_interaction_at"], Value::Null);
    turn(&client, &agent, "ada");
    let user = expect(200, client.get("/v1/end-users/ada"));
    for member in ["display_name", "metadata", "created_at", "status"] {
        assert_eq!(user[member], made[member], "{member}");
    }
    assert!(user["last_interaction_at"].is_string(), "{user}");
}

#[test]
fn every_turn_stamps_the_interaction() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let stamp = |user: &Value| user["last_interaction_at"].as_str().expect("an instant").to_owned();
    turn(&client, &agent, "ada");
    let first = stamp(&expect(200, client.get("/v1/end-users/ada")));
    tick();
    turn(&client, &agent, "ada");
    let user = expect(200, client.get("/v1/end-users/ada"));
    // RFC 3339 in UTC at one precision is ordered as text.
    assert!(stamp(&user) > first);
    assert_eq!(stamp(&relationship_of(&client, "ada")), stamp(&user));
    assert_eq!(stamp(&expect(200, client.get("/v1/end-users"))["data"][0]), stamp(&user), "in lists too");
}

#[test]
fn a_relationship_is_counted_once_and_turns_each_time() {
    let client = shared().new_client();
    let (first, second) = (make_agent(&client, "First"), make_agent(&client, "Second"));
    let counted = |agent: &str, user: &str| turn(&client, agent, user)["usage"]["active_relationship_counted"] == true;
    assert!(counted(&first, "ada"));
    assert!(!counted(&first, "ada"));
    assert!(counted(&second, "ada"), "another agent");
    assert!(counted(&first, "eve"), "another user");
    assert!(!counted(&first, "eve"));
    assert_eq!(used(&client), (5, 3));
}

#[test]
fn an_agent_is_named_by_id_or_by_name() {
    let client = shared().new_client();
    let agent = make_agent(&client, "a/b 🦀");
    turn(&client, &agent, "ada");
    turn(&client, "a/b 🦀", "ada");
    let relationship = relationship_of(&client, "ada");
    assert_eq!((&relationship["personality_id"], &relationship["turns"]), (&json!(agent), &json!(2)));
    assert_eq!(used(&client), (2, 1));
}

#[test]
fn a_stateless_turn_counts_itself_and_nothing_else() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    for extra in [json!({}), json!({ "mode": "stateless" }), json!({ "mode": "stateless", "user_id": "ada" })] {
        let mut body = json!({ "message": "hello", "personality_id": agent });
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        let answered = expect(200, client.post(PATH, &body));
        assert_eq!(answered["usage"]["turns_consumed"], 1);
        assert_eq!(answered["usage"]["active_relationship_counted"], false, "{body}");
    }
    assert_eq!(used(&client), (3, 0));
    assert_eq!(client.get("/v1/end-users/ada").status, 404);
    assert_eq!(relationships(&client, ""), [] as [Value; 0]);
}

#[test]
fn the_mode_may_be_spelled_out() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let body = json!({ "message": "hello", "personality_id": agent, "user_id": "ada", "mode": "stateful" });
    assert_eq!(expect(200, client.post(PATH, &body))["usage"]["active_relationship_counted"], true);
}

#[test]
fn turns_of_the_modes_are_counted_apart() {
    let server = shared();
    let organization = server.organization();
    let [live, test] = ["live", "test"].map(|mode| server.client(&organization, mode, "read_write"));
    let (of_live, of_test) = (make_agent(&live, "Echo"), make_agent(&test, "Echo"));
    turn(&live, &of_live, "ada");
    turn(&live, &of_live, "ada");
    turn(&test, &of_test, "ada");
    assert_eq!((used(&live), used(&test)), ((2, 1), (1, 1)));
    let crossed = test.post(PATH, &json!({ "message": "x", "personality_id": of_live, "user_id": "eve" }));
    assert_error(&crossed, 404, "not_found", "not_found");
}

#[test]
fn an_unknown_agent_is_404_and_nothing_is_made() {
    let client = shared().new_client();
    let foreign = make_agent(&shared().new_client(), "Theirs");
    for agent in ["nobody", "Theirs", "00000000-0000-4000-8000-000000000000", &foreign] {
        for user in [json!({ "user_id": "ada" }), json!({})] {
            let mut body = json!({ "message": "hello", "personality_id": agent });
            body.as_object_mut().expect("an object").extend(user.as_object().expect("an object").clone());
            assert_error(&client.post(PATH, &body), 404, "not_found", "not_found");
        }
    }
    assert_eq!(used(&client), (0, 0));
    assert_eq!(client.get("/v1/end-users/ada").status, 404);
}

#[test]
fn a_name_borne_by_two_agents_is_409() {
    let client = shared().new_client();
    let [first, _] = make_twins(&client, "Twin");
    let refused = client.post(PATH, &json!({ "message": "hello", "personality_id": "Twin", "user_id": "ada" }));
    assert_error(&refused, 409, "conflict", "conflict");
    turn(&client, &first, "ada");
    assert_eq!(used(&client), (1, 1));
}

#[test]
fn wrong_fields_are_422_all_at_once() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let wrong = |extra: Value| -> BTreeSet<String> {
        let mut body = json!({ "message": "hello", "personality_id": agent, "user_id": "ada" });
        for (name, value) in extra.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let details = assert_error(&client.post(PATH, &body), 422, "validation_error", "validation");
        let fields = details["fields"].as_array().expect("fields");
        fields.iter().map(|field| field["path"].as_str().expect("a path").to_owned()).collect()
    };
    let several =
        json!({ "message": 7, "personality_id": "", "user_id": "..", "mode": "half", "stream": "yes", "x": 1 });
    let expected = ["message", "mode", "personality_id", "stream", "user_id", "x"].map(str::to_owned);
    assert_eq!(wrong(several), expected.into());
    for (extra, path) in [
        (json!({ "message": "" }), "message"),
        (json!({ "message": null }), "message"),
        (json!({ "mode": 1 }), "mode"),
        (json!({ "user_id": "a\u{0}b" }), "user_id"),
        (json!({ "affect": [] }), "affect"),
        (json!({ "affect": { "arousal": 0 } }), "affect.valence"),
        (json!({ "affect": { "valence": 0 } }), "affect.arousal"),
        (json!({ "affect": { "valence": 1.01, "arousal": 0 } }), "affect.valence"),
        (json!({ "affect": { "valence": 0, "arousal": -2 } }), "affect.arousal"),
        (json!({ "affect": { "valence": 0, "arousal": 0, "tension": "high" } }), "affect.tension"),
        (json!({ "affect": { "valence": 0, "arousal": 0, "affiliation": 1e300 } }), "affect.affiliation"),
        (json!({ "affect": { "valence": 0, "arousal": 0, "joy": 1 } }), "affect.joy"),
    ] {
        assert_eq!(wrong(extra.clone()), BTreeSet::from([path.to_owned()]), "{extra}");
    }
    assert_eq!(used(&client), (0, 0), "nothing is counted");
    assert_eq!(client.get("/v1/end-users/ada").status, 404, "nobody is made");
}

#[test]
fn a_body_without_anything_lacks_both_fields() {
    let client = shared().new_client();
    let details = assert_error(&client.post(PATH, &json!({})), 422, "validation_error", "validation");
    let fields = details["fields"].as_array().expect("fields");
    let paths: BTreeSet<_> = fields.iter().filter_map(|field| field["path"].as_str()).collect();
    assert_eq!(paths, BTreeSet::from(["message", "personality_id"]));
}

#[test]
fn a_stateful_turn_needs_a_user() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let refused = client.post(PATH, &json!({ "message": "hello", "personality_id": agent, "mode": "stateful" }));
    let details = assert_error(&refused, 422, "validation_error", "validation");
    assert_eq!(details["fields"][0]["path"], "user_id");
}

#[test]
fn a_turn_is_checked_like_everything_else() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let send = |content_type: &str, body: &[u8]| client.send("POST", PATH, Some((content_type, body)));
    assert_error(&send("application/json", b"{"), 400, "invalid_request", "validation");
    assert_error(&send("text/plain", b"{}"), 415, "unsupported_media_type", "validation");
    assert_error(&send("application/json", &b" ".repeat(70_000)), 413, "payload_too_large", "validation");
    let missing = server.anonymous().post(PATH, &json!({}));
    assert_error(&missing, 401, "authentication_error", "authentication");
    let refused = server.client(&organization, "live", "read").post(PATH, &json!({}));
    assert_error(&refused, 403, "permission_denied", "permission");
    assert_quota(&refused, (0, 10_000), (0, 1_000));
}

#[test]
fn whoever_is_being_erased_takes_no_turn() {
    let server = Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") });
    let client = server.new_client();
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    // No store can confirm the removal, so the erasure stays pending.
    faults::set(&server, &json!({ "d1": true }));
    expect(202, client.delete("/v1/end-users/ada"));
    faults::wait_until_happened(&server, "d1.failed");
    let body = json!({ "message": "hello", "personality_id": agent, "user_id": "ada" });
    assert_error(&client.post(PATH, &body), 409, "deletion_pending", "conflict");
    assert_eq!(used(&client), (1, 1), "the refused turn is not counted, the earlier one still is");
    faults::set(&server, &json!({ "d1": false }));
}

#[test]
fn a_turn_asked_for_again_is_answered_again_and_counted_once() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let keyed = client.clone().with_header("Idempotency-Key", "k");
    let body = json!({ "message": "hello", "personality_id": agent, "user_id": "ada" });
    let first = keyed.post(PATH, &body);
    assert_eq!(first.status, 200, "{first:?}");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    for _ in 0..3 {
        let again = keyed.post(PATH, &body);
        assert_eq!((again.status, &again.body), (200, &first.body));
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_quota(&again, (1, 10_000), (1, 1_000));
    }
    let other = json!({ "message": "good bye", "personality_id": agent, "user_id": "ada" });
    assert_error(&keyed.post(PATH, &other), 422, "idempotency_mismatch", "validation");
    assert_eq!((used(&client), &relationship_of(&client, "ada")["turns"]), ((1, 1), &json!(1)));
}

/// Racing copies of each of 10 turns: each turn is taken once, and every copy gets its answer.
#[test]
fn racing_copies_are_one_turn() {
    const COPIES: usize = 16;
    const KEYS: usize = 10;
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    for key in 0..KEYS {
        let keyed = client.clone().with_header("Idempotency-Key", &format!("key-{key}"));
        let body = json!({ "message": "hello", "personality_id": agent, "user_id": "ada" });
        let answers = race(COPIES, 1, |_| keyed.post(PATH, &body));
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body), "{answers:?}");
        let first = answers.iter().filter(|answer| !answer.headers.contains_key("idempotency-replayed"));
        assert_eq!(first.count(), 1, "one turn");
    }
    let turns = u64::try_from(KEYS).expect("few");
    assert_eq!((used(&client), &relationship_of(&client, "ada")["turns"]), ((turns, 1), &json!(turns)));
}

#[test]
fn racing_first_turns_make_one_user_and_one_relationship() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let body = json!({ "message": "hello", "personality_id": agent, "user_id": "ada" });
    // Some users are made explicitly at the same time.
    let answers = race(32, 1, |index| {
        if index % 4 == 0 {
            client.post("/v1/end-users", &json!({ "user_id": "ada" }))
        } else {
            client.post(PATH, &body)
        }
    });
    let turns: Vec<Value> =
        answers.iter().map(Response::json).filter(|answer| answer["interaction_id"].is_string()).collect();
    assert_eq!(turns.len(), 24);
    let counted = |turn: &&Value| turn["usage"]["active_relationship_counted"] == true;
    assert_eq!(turns.iter().filter(counted).count(), 1);
    let ids: BTreeSet<&str> = turns.iter().filter_map(|turn| turn["interaction_id"].as_str()).collect();
    assert_eq!(ids.len(), 24, "every turn is one of its own");
    assert_eq!(used(&client), (24, 1));
    assert_eq!(relationship_of(&client, "ada")["turns"], 24);
    assert_eq!(expect(200, client.get("/v1/end-users"))["data"].as_array().map(Vec::len), Some(1));
}

/// A turn that found no room in the quota: because the quota is used up, or because turns in progress hold the rest.
pub fn assert_no_room(response: &Response, exhausted: (u16, &str)) {
    if response.json()["error"]["code"] == "quota_reserved" {
        assert_error(response, 429, "quota_reserved", "rate_limit");
    } else {
        assert_error(response, exhausted.0, exhausted.1, "quota");
    }
}

/// 400 racing attempts at a quota of 100 turns: exactly 100 are answered.
#[test]
fn a_quota_is_used_to_the_last_turn_and_not_beyond() {
    const LIMIT: u64 = 100;
    let server = shared();
    let organization = server.organization_with_quota(LIMIT, 1_000);
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    let answers = race(16, 25, |index| {
        let user = format!("u{}", index % 10);
        client.post(PATH, &json!({ "message": "hello", "personality_id": agent, "user_id": user }))
    });
    let (answered, refused): (Vec<&Response>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    println!("{} attempts at {LIMIT} turns: {} answered, {} refused", answers.len(), answered.len(), refused.len());
    assert_eq!((answered.len(), refused.len()), (100, 300));
    for refused in refused {
        assert_no_room(refused, (429, "quota_exhausted"));
    }
    assert_eq!(used(&client), (LIMIT, 10));
    let turns: u64 =
        relationships(&client, "limit=200").iter().map(|one| one["turns"].as_u64().expect("a count")).sum();
    assert_eq!(turns, LIMIT, "no more and no fewer than the relationships saw");
}

#[test]
fn an_exhausted_quota_says_when_it_is_renewed() {
    let server = shared();
    let organization = server.organization_with_quota(1, 10);
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    let asked_at_ms = now_ms();
    let refused = client.post(PATH, &json!({ "message": "hello", "personality_id": agent, "user_id": "ada" }));
    let details = assert_error(&refused, 429, "quota_exhausted", "quota");
    assert_quota(&refused, (1, 1), (1, 10));
    let resets_at = refused.header("x-quota-reset").to_owned();
    assert_eq!(details, json!({ "component": "turns", "used": 1, "limit": 1, "resets_at": resets_at }));
    assert_eq!(refused.header("x-ratelimit-limit"), "100000");
    refused.header("x-ratelimit-remaining");
    refused.header("x-ratelimit-reset");
    let retry_after_s: i64 = refused.header("retry-after").parse().expect("whole seconds");
    let until_reset_ms = Timestamp::parse(&resets_at).expect("an instant").millis() - now_ms();
    let early_ms = until_reset_ms - retry_after_s * 1_000;
    let held_up_ms = now_ms() - asked_at_ms;
    assert!(
        (-1_000 - held_up_ms..=0).contains(&early_ms),
        "{retry_after_s} s is not when it is renewed: {early_ms} ms"
    );
}

#[test]
fn an_exhausted_quota_refuses_turns_and_nothing_else() {
    let server = shared();
    let organization = server.organization_with_quota(1, 10);
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    let keyed = client.clone().with_header("Idempotency-Key", "k");
    let body = json!({ "message": "hello", "personality_id": agent, "user_id": "ada" });
    let first = expect(200, keyed.post(PATH, &body));
    let stateless = json!({ "message": "hello", "personality_id": agent });
    assert_error(&client.post(PATH, &stateless), 429, "quota_exhausted", "quota");
    let newcomer = json!({ "message": "hello", "personality_id": agent, "user_id": "eve" });
    assert_error(&client.post(PATH, &newcomer), 429, "quota_exhausted", "quota");
    assert_eq!(client.get("/v1/end-users/eve").status, 404, "a refused turn makes nobody");
    assert_eq!(expect(200, keyed.post(PATH, &body)), first, "a retry is not refused for being one");
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "eve" })));
    let test_mode = server.client(&organization, "test", "read_write");
    let of_test = make_agent(&test_mode, "Echo");
    turn(&test_mode, &of_test, "ada");
}

#[test]
fn a_raised_quota_holds_from_the_next_turn() {
    let server = shared();
    let organization = server.organization_with_quota(0, 10);
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    let body = json!({ "message": "hello", "personality_id": agent, "user_id": "ada" });
    assert_error(&client.post(PATH, &body), 429, "quota_exhausted", "quota");
    expect(200, server.admin().patch(&organization.path(), &json!({ "limits": { "turns_per_period": 1 } })));
    turn(&client, &agent, "ada");
    assert_quota(&client.post(PATH, &body), (1, 1), (1, 10));
}

#[test]
fn no_relationship_is_begun_beyond_the_limit() {
    let server = shared();
    let organization = server.organization_with_quota(100, 2);
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    turn(&client, &agent, "eve");
    let refused = client.post(PATH, &json!({ "message": "hello", "personality_id": agent, "user_id": "third" }));
    assert_error(&refused, 403, "relationship_limit_reached", "quota");
    assert_quota(&refused, (2, 100), (2, 2));
    assert_eq!(used(&client), (2, 2), "the refused turn is not counted");
    assert_eq!(client.get("/v1/end-users/third").status, 404, "and makes nobody");
    // A user with an active relationship can continue, and a stateless turn needs no relationship.
    turn(&client, &agent, "ada");
    expect(200, client.post(PATH, &json!({ "message": "hello", "personality_id": agent })));
    assert_eq!(used(&client), (4, 2));
}

#[test]
fn racing_newcomers_do_not_exceed_the_limit() {
    let server = shared();
    let organization = server.organization_with_quota(1_000, 10);
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    let answers = race(16, 4, |index| {
        client.post(PATH, &json!({ "message": "hello", "personality_id": agent, "user_id": format!("u{index}") }))
    });
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 10);
    let refused: Vec<&Response> = answers.iter().filter(|answer| answer.status != 200).collect();
    for refused in &refused {
        assert_no_room(refused, (403, "relationship_limit_reached"));
    }
    assert_eq!(refused.len(), 54);
    assert_eq!(used(&client), (10, 10));
    assert_eq!(relationships(&client, "limit=200").len(), 10);
}

#[test]
fn an_affect_is_told_back() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let state =
        feel(&client, &agent, "ada", &json!({ "valence": 0.8, "arousal": 0.4 }))["inferred_emotional_state"].clone();
    assert_eq!(member_names(&state), ["arousal", "confidence", "intensity", "primary", "secondary", "valence"]);
    assert_eq!((state["valence"].as_f64(), state["arousal"].as_f64()), (Some(0.8), Some(0.4)));
    assert!(state["primary"].is_string(), "{state}");
}

/// A turn moves each level a quarter of the way to the reported one.
#[test]
fn an_affect_moves_the_mood() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let level = |name: &str| relationship_of(&client, "ada")["mood"][name].as_f64().expect("a number");
    let assert_near = |name: &str, expected: f64| {
        let given = level(name);
        // The mood has decayed a little since.
        assert!((given - expected).abs() < 0.01, "{name}: {given}, not {expected}");
    };
    feel(&client, &agent, "ada", &json!({ "valence": 0.4, "arousal": 0.4, "tension": -1, "affiliation": 1 }));
    for (name, expected) in [("valence", 0.1), ("arousal", 0.1), ("tension", -0.25), ("affiliation", 0.25)] {
        assert_near(name, expected);
    }
    feel(&client, &agent, "ada", &json!({ "valence": -1, "arousal": 0.5 }));
    for (name, expected) in [("valence", -0.175), ("arousal", 0.2), ("tension", -0.25), ("affiliation", 0.25)] {
        assert_near(name, expected);
    }
    assert_eq!(relationship_of(&client, "ada")["mood"]["label"], "distressed");
}

#[test]
fn an_affect_moves_one_relationship_only() {
    let client = shared().new_client();
    let (first, second) = (make_agent(&client, "First"), make_agent(&client, "Second"));
    turn(&client, &second, "ada");
    turn(&client, &first, "eve");
    feel(&client, &first, "ada", &json!({ "valence": 1, "arousal": 1 }));
    for relationship in relationships(&client, "") {
        let felt = relationship["user_id"] == "ada" && relationship["personality_id"] == first.as_str();
        assert_eq!(relationship["mood"].is_object(), felt, "{relationship}");
    }
}

#[test]
fn a_turn_without_an_affect_leaves_the_levels() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    assert_eq!(relationship_of(&client, "ada")["mood"], Value::Null, "nothing is known yet");
    feel(&client, &agent, "ada", &json!({ "valence": 0.8, "arousal": 0.4 }));
    let before = relationship_of(&client, "ada")["mood"]["valence"].as_f64().expect("a number");
    turn(&client, &agent, "ada");
    let after = relationship_of(&client, "ada")["mood"]["valence"].as_f64().expect("a number");
    assert!(after <= before && before - after < 0.01, "{before} {after}");
}

/// No server listens at the responder's address.
#[test]
fn a_turn_whose_responder_fails_is_not_counted() {
    let responder = [("RESPONDER_URL", "http://127.0.0.1:9/v1"), ("RESPONDER_MODEL", "none"), ("RESPONDER_KEY", "x")];
    let mut vars = roomy();
    vars.extend(responder.map(|(name, value)| (name, value.to_owned())));
    let server = Server::start(Options { vars, entry: None });
    let client = server.new_client();
    let agent = make_agent(&client, "Mute");
    let keyed = client.clone().with_header("Idempotency-Key", "k");
    let body = json!({ "message": "hello", "personality_id": agent, "user_id": "ada" });
    for _ in 0..2 {
        let failed = keyed.post(PATH, &body);
        assert_error(&failed, 502, "upstream_error", "internal");
        assert!(!failed.headers.contains_key("idempotency-replayed"), "it may be tried again");
        assert!(!failed.body.contains("127.0.0.1:9/"), "the inside stays inside");
        assert_quota(&failed, (0, 10_000), (0, 1_000));
    }
    assert_eq!(used(&client), (0, 0));
    assert!(relationships(&client, "").iter().all(|relationship| relationship["turns"] == 0));
}
