//! `Idempotency-Key` on `POST`.

use std::collections::BTreeSet;
use std::thread;

use serde_json::json;

use crate::client::{Client, Response};
use crate::server::{expect, shared};

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
    assert_eq!(versions, (1..=KEYS as u64).collect(), "one change each");
}
