//! `Idempotency-Key` on `POST`.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use crate::agents::{PATH as AGENTS, assert_problem, make_agent};
use crate::client::{Client, Response};
use crate::delete_end_user::completed;
use crate::faults;
use crate::respond::PATH as RESPOND;
use crate::server::{Options, Server, expect, roomy, shared};

const PATH: &str = "/v1/end-users";

fn with_key(client: &Client, key: &str) -> Client {
    client.clone().with_header("Idempotency-Key", key)
}

fn replayed(response: &Response) -> bool {
    response.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
}

#[test]
fn the_first_answer_is_given_again_whatever_came_between() {
    let client = shared().new_client();
    let request = json!({ "user_id": "ada", "metadata": { "n": 1 } });
    let first = with_key(&client, "k-1").post(PATH, &request);
    assert_eq!(first.status, 201);
    assert!(!replayed(&first));
    expect(200, client.patch("/v1/end-users/ada", &json!({ "metadata": { "n": 2 } })));
    for key in ["k-1", "\"k-1\""] {
        let again = with_key(&client, key).post(PATH, &request);
        assert_eq!((again.status, &again.body), (201, &first.body), "{again:?}");
        assert!(replayed(&again));
        assert_eq!(again.header("location"), first.header("location"));
        assert_eq!(again.header("etag"), first.header("etag"));
        assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    }
    let without = client.post(PATH, &request);
    assert_eq!((without.status, &without.json()["metadata"]), (200, &json!({ "n": 2 })));
}

#[test]
fn a_key_is_for_one_request() {
    let client = shared().new_client();
    let keyed = with_key(&client, "k");
    assert_eq!(keyed.post(PATH, &json!({ "user_id": "a" })).status, 201);
    for (path, body) in [
        (PATH, json!({ "user_id": "b" })),
        (PATH, json!({ "user_id": "a", "metadata": {} })),
        ("/v1/end-users/batch", json!({ "users": [{ "user_id": "a" }] })),
    ] {
        let refused = keyed.post(path, &body);
        assert_eq!(refused.status, 422, "{refused:?}");
        let error = &refused.json()["error"];
        assert_eq!((&error["code"], &error["type"]), (&json!("idempotency_mismatch"), &json!("validation")));
    }
    assert_eq!(client.get("/v1/end-users/b").status, 404);
    assert_eq!(
        with_key(&shared().new_client(), "k").post(PATH, &json!({ "user_id": "b" })).status,
        201,
        "a key of theirs"
    );
}

#[test]
fn a_refused_request_may_be_mended_under_its_key() {
    let client = shared().new_client();
    let keyed = with_key(&client, "k");
    assert_eq!(keyed.post(PATH, &json!({ "user_id": 7 })).status, 422);
    assert_eq!(keyed.send("POST", PATH, Some(("text/plain", b"{}"))).status, 415);
    let made = keyed.post(PATH, &json!({ "user_id": "a" }));
    assert_eq!(made.status, 201);
    assert!(!replayed(&made));
}

#[test]
fn keys_are_1_to_255_visible_characters() {
    let client = shared().new_client();
    for bad in ["", "\"\"", "a b", &"x".repeat(256)] {
        let refused = with_key(&client, bad).post(PATH, &json!({ "user_id": "a" }));
        assert_eq!(refused.status, 400, "{bad}: {refused:?}");
    }
    for (index, good) in ["x", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "a:b/c-d_e.f~\"g", &"x".repeat(255)].iter().enumerate() {
        let made = with_key(&client, good).post(PATH, &json!({ "user_id": format!("u{index}") }));
        assert_eq!(made.status, 201, "{good}: {made:?}");
    }
}

#[test]
fn a_batch_is_replayed_row_by_row() {
    let client = shared().new_client();
    let request = json!({ "users": [{ "user_id": "a" }, { "user_id": "" }, { "user_id": "b" }] });
    let keyed = with_key(&client, "batch");
    let first = keyed.post("/v1/end-users/batch", &request);
    assert_eq!((&first.json()["created"], &first.json()["failed"]), (&json!(2), &json!(1)));
    let again = keyed.post("/v1/end-users/batch", &request);
    assert_eq!(again.body, first.body);
    assert!(replayed(&again));
}

/// What is asked for is compared, and not how it is spelled.
#[test]
fn another_spelling_of_a_request_is_the_same_request() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let service = server.service(&organization, "live", "read_write");
    make_agent(&client, "Tutor");
    for (client, path, spellings) in [
        (
            &client,
            PATH,
            [
                r#"{"user_id":"a/b","metadata":{"n":1,"m":{"x":[1,{"p":1,"q":2}],"y":null}}}"#,
                "{ \"metadata\" : { \"m\": {\"y\":null,\"x\":[1, {\"q\":2,\"p\":1}]},\n\"n\":1 },\t\"user_id\":\"\\u0061\\/b\" }",
            ],
        ),
        (
            &client,
            "/v1/end-users/batch",
            [
                r#"{"users":[{"user_id":"c","metadata":{}},{"user_id":"d"}]}"#,
                r#" {"users": [ {"metadata":{ },"user_id":"c"}, {"user_id":"d"} ]}"#,
            ],
        ),
        (
            &client,
            RESPOND,
            [
                r#"{"message":"hi","personality_id":"Tutor","user_id":"e","context":{"a":1,"b":2}}"#,
                r#"{"context":{"b":2,"a":1},"user_id":"e","personality_id":"Tutor","message":"hi"}"#,
            ],
        ),
        (
            &client,
            AGENTS,
            [r#"{"name":"Coach","metadata":{"a":1,"b":2}}"#, r#"{"metadata":{"b":2, "a":1}, "name":"Coach"}"#],
        ),
        (
            &service,
            "/api/v1/principals",
            [
                r#"{"external_id":"f","type":"human","name":"F","metadata":{"a":1,"b":2}}"#,
                r#"{"metadata":{"b":2,"a":1},"name":"F","type":"human","external_id":"f"}"#,
            ],
        ),
    ] {
        let keyed = with_key(client, path);
        let [first, again] =
            spellings.map(|body| keyed.send("POST", path, Some(("application/json", body.as_bytes()))));
        assert!(matches!(first.status, 200 | 201) && !replayed(&first), "{first:?}");
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}: {again:?}");
        assert!(replayed(&again), "{path}");
        let other = spellings[0].replace('1', "1.0").replace("\"c\"", "\"c2\"");
        let other = other.replace("Tutor", "Coach").replace("\"message\":\"hi\"", "\"message\":\"ho\"");
        let refused = keyed.send("POST", path, Some(("application/json", other.as_bytes())));
        assert_eq!(refused.status, 422, "{path}: {refused:?}");
    }
}

/// Repeats requests, and returns their answers.
fn repeat(requests: &[(&str, Client, &str, Value)]) -> Vec<Response> {
    requests.iter().map(|(_, client, path, body)| client.post(path, body)).collect()
}

/// Every kind of request that names a person, each with its key. The last is a batch with another person in it.
fn requests_about(api: &Client, service: &Client, user: &str) -> Vec<(&'static str, Client, &'static str, Value)> {
    let turn = |more: &Value| {
        let mut body = json!({ "message": "hi", "personality_id": "Tutor", "user_id": user });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let human = json!({ "external_id": user, "type": "human", "name": "Ada" });
    let batch = json!({ "users": [{ "user_id": user }, { "user_id": "bob" }] });
    let requests = [
        ("a stateless turn", api, RESPOND, turn(&json!({ "mode": "stateless" }))),
        ("a streamed stateless turn", api, RESPOND, turn(&json!({ "mode": "stateless", "stream": true }))),
        ("a creation", api, PATH, json!({ "user_id": user, "metadata": { "plan": "old" } })),
        ("a principal", service, "/api/v1/principals", human),
        ("a turn", api, RESPOND, turn(&json!({}))),
        ("a streamed turn", api, RESPOND, turn(&json!({ "stream": true }))),
        ("a batch", api, "/v1/end-users/batch", batch),
    ];
    requests
        .map(|(name, client, path, body)| {
            (name, with_key(client, &format!("{name} of {user}").replace(' ', "-")), path, body)
        })
        .into()
}

#[test]
fn no_repetition_makes_an_erased_person_anew_or_tells_of_them() {
    let server = Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") });
    let organization = server.organization();
    let api = server.client(&organization, "live", "read_write");
    let service = server.service(&organization, "live", "read_write");
    make_agent(&api, "Tutor");
    let requests = requests_about(&api, &service, "ada");
    for first in repeat(&requests) {
        assert!(matches!(first.status, 200 | 201) && !replayed(&first), "{first:?}");
    }
    assert!(repeat(&requests).iter().all(replayed));

    // While D1 is down, no erasure is completed.
    faults::set(&server, &json!({ "d1": true }));
    let receipt = expect(202, api.delete("/v1/end-users/ada"));
    let deletion_id = receipt["deletion_id"].as_str().expect("an id");
    faults::wait_until_happened(&server, "d1.failed");
    let message = format!("This is being erased and takes no change. Its receipt is {deletion_id}.");
    assert_refused(&requests, "deletion_pending", &message);

    faults::set(&server, &json!({ "d1": false }));
    completed(&api, deletion_id);
    let message = "What this Idempotency-Key was used for has been erased since.";
    assert_refused(&requests, "idempotency_of_erased", message);
    assert_eq!(api.get("/v1/end-users/ada").status, 404, "no repetition made her");

    // A new key makes her anew, and the old ones stay as they are.
    assert_eq!(with_key(&api, "new").post(PATH, &json!({ "user_id": "ada" })).status, 201);
    assert_refused(&requests, "idempotency_of_erased", message);
    assert_eq!(expect(200, api.get("/v1/end-users/ada"))["metadata"], json!({}));
    let other = requests[2].1.post(PATH, &json!({ "user_id": "eve" }));
    assert_eq!(other.json()["error"]["code"], "idempotency_of_erased", "of the request nothing is left to compare");
}

/// Asserts that every request is refused, and of a batch the one row.
fn assert_refused(requests: &[(&str, Client, &str, Value)], code: &str, message: &str) {
    for ((name, ..), response) in requests.iter().zip(repeat(requests)) {
        let body = response.json();
        if *name == "a batch" {
            assert_eq!(
                (response.status, &body["failed"], &body["results"][1]["status"]),
                (200, &json!(1), &json!(201))
            );
            let row = &body["results"][0];
            assert_eq!((&row["status"], &row["error"]["code"]), (&json!(409), &json!(code)), "{response:?}");
            continue;
        }
        assert_eq!(response.status, 409, "{name}: {response:?}");
        assert!(!replayed(&response), "{name}");
        if *name == "a principal" {
            assert_eq!(body["error"], message, "{name}");
        } else {
            assert_eq!(body["error"]["code"], code, "{name}");
        }
    }
}

/// A stateless turn may name a person who is registered only later.
#[test]
fn an_answer_that_named_a_person_before_they_were_registered_goes_with_them() {
    let client = shared().new_client();
    make_agent(&client, "Tutor");
    let keyed = with_key(&client, "k");
    let turn = json!({ "message": "hi", "personality_id": "Tutor", "user_id": "eve", "mode": "stateless" });
    expect(200, keyed.post(RESPOND, &turn));
    assert_eq!(client.get("/v1/end-users/eve").status, 404, "the turn left nothing");
    assert_eq!(client.post(PATH, &json!({ "user_id": "eve" })).status, 201);
    assert!(replayed(&keyed.post(RESPOND, &turn)));
    let export = expect(200, client.get("/v1/end-users/eve/export"));
    assert_eq!(export["kept_answers"].as_array().map(Vec::len), Some(1), "{export}");
    let receipt = expect(202, client.delete("/v1/end-users/eve"));
    completed(&client, receipt["deletion_id"].as_str().expect("an id"));
    assert_eq!(expect(409, keyed.post(RESPOND, &turn))["error"]["code"], "idempotency_of_erased");
}

/// What a person said is gone with their relationships. Answers that hold nothing of a turn stay.
#[test]
fn who_forgets_the_relationships_of_a_user_forgets_the_answers_to_their_turns() {
    let client = shared().new_client();
    make_agent(&client, "Tutor");
    let (made, said) = (with_key(&client, "a"), with_key(&client, "b"));
    let (user, turn) =
        (json!({ "user_id": "eve" }), json!({ "message": "hi", "personality_id": "Tutor", "user_id": "eve" }));
    assert_eq!(made.post(PATH, &user).status, 201);
    expect(200, said.post(RESPOND, &turn));
    let forget = json!({ "cascade": "memory_only" }).to_string();
    expect(202, client.send("DELETE", "/v1/end-users/eve", Some(("application/json", forget.as_bytes()))));
    assert_eq!(expect(409, said.post(RESPOND, &turn))["error"]["code"], "idempotency_of_erased");
    let export = expect(200, client.get("/v1/end-users/eve/export"));
    assert_eq!(export["kept_answers"].as_array().map(Vec::len), Some(1), "{export}");
    assert!(replayed(&made.post(PATH, &user)));
}

#[test]
fn who_forgets_one_relationship_forgets_the_answers_to_its_turns() {
    let client = shared().new_client();
    let turns = ["Tutor", "Coach"].map(|agent| {
        make_agent(&client, agent);
        let turn = json!({ "message": "hi", "personality_id": agent, "user_id": "eve" });
        let said = with_key(&client, agent);
        expect(200, said.post(RESPOND, &turn));
        (said, turn)
    });
    let list = expect(200, client.get("/v1/relationships?user_id=eve&personality_id=Tutor"));
    let path = format!("/v1/relationships/{}", list["data"][0]["id"].as_str().expect("the tutor's"));
    let forget = json!({ "cascade": "memory_only" }).to_string();
    expect(202, client.send("DELETE", &path, Some(("application/json", forget.as_bytes()))));
    let [(tutor, said_to_tutor), (coach, said_to_coach)] = turns;
    assert_eq!(expect(409, tutor.post(RESPOND, &said_to_tutor))["error"]["code"], "idempotency_of_erased");
    assert!(replayed(&coach.post(RESPOND, &said_to_coach)));
    let export = expect(200, client.get("/v1/end-users/eve/export"));
    assert_eq!(export["kept_answers"].as_array().map(Vec::len), Some(1), "{export}");
}

#[test]
fn no_repetition_makes_a_deleted_agent_anew() {
    let server = shared();
    let organization = server.organization();
    let api = server.client(&organization, "live", "read_write");
    let service = server.service(&organization, "live", "read_write");
    let (saved, made) = (with_key(&api, "a"), with_key(&service, "b"));
    let (agent, principal) = (
        json!({ "name": "Tutor", "external_id": "t" }),
        json!({ "external_id": "t", "type": "agent", "name": "Tutor" }),
    );
    let id = expect(201, saved.post(AGENTS, &agent))["agent_id"].as_str().expect("an id").to_owned();
    expect(200, made.post("/api/v1/principals", &principal));
    expect(202, api.delete(&format!("{AGENTS}/{id}")));
    let refused = saved.post(AGENTS, &agent);
    assert_problem(&refused, 409, "idempotency_of_erased");
    assert_eq!(made.post("/api/v1/principals", &principal).status, 409);
    assert_eq!(api.get(&format!("{AGENTS}/{id}")).status, 404);
    assert_eq!(with_key(&api, "c").post(AGENTS, &agent).status, 201);
}

/// 32 racing copies of each of 100 requests: each request has one effect, and every copy gets the first answer or a
/// refusal because the request is in flight.
#[test]
fn racing_copies_have_one_effect_and_one_answer() {
    const COPIES: usize = 32;
    const KEYS: usize = 100;
    let client = shared().new_client();
    let answers: Vec<Vec<Response>> = thread::scope(|scope| {
        let racers: Vec<_> = (0..COPIES)
            .map(|_| {
                scope.spawn(|| {
                    let send = |index: usize| {
                        let body = json!({ "user_id": format!("u{index:03}") });
                        with_key(&client, &format!("key-{index}")).post(PATH, &body)
                    };
                    (0..KEYS).map(send).collect()
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().expect("a racer")).collect()
    });
    for index in 0..KEYS {
        let copies: Vec<&Response> = answers.iter().map(|racer| &racer[index]).collect();
        let answered: Vec<&&Response> = copies.iter().filter(|copy| copy.status != 409).collect();
        assert!(answered.iter().all(|copy| copy.status == 201 && copy.body == answered[0].body));
        assert_eq!(answered.iter().filter(|copy| !replayed(copy)).count(), 1, "one effect");
    }
    let listed = expect(200, client.get("/v1/end-users?limit=200"));
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(KEYS));
    let versions: BTreeSet<u64> = listed["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|user| user["version"].as_u64().expect("a version"))
        .collect();
    let (first, last) = (versions.first().expect("a version"), versions.last().expect("a version"));
    assert_eq!((versions.len(), last - first), (KEYS, KEYS as u64 - 1), "one change each");
}
