//! Who pays for a refused request: the client's address, and neither the object nor the memory that a body takes.

use std::time::Duration;

use rollcall::directory::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::client::{Client, Response};
use crate::clock::{self, Clock};
use crate::faults;
use crate::server::{Options, Organization, Server, expect, roomy};

const PATH: &str = "/v1/end-users";

/// Clients whose key is revoked, expired and of too small a scope, each with the status that it is answered with. The
/// clock stands past the expiry.
fn bad_keys(server: &Server, clock: &mut Clock<'_>, organization: &Organization) -> [(Client, u16); 3] {
    let issue = |more: &Value| {
        let mut request = json!({ "kind": "api", "mode": "live", "name": "test" });
        request.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let issued = server.issue(organization, &request);
        (server.with_key(issued["key"].as_str().expect("a key")), issued["id"].as_str().expect("an id").to_owned())
    };
    let (revoked, id) = issue(&json!({}));
    assert_eq!(server.admin().delete(&format!("{}/keys/{id}", organization.path())).status, 204);
    let expires_at = Timestamp::from_millis(clock.at_ms() + 60_000).to_string();
    let (expired, _) = issue(&json!({ "expires_at": expires_at }));
    clock.advance(Duration::from_mins(1));
    let (small, _) = issue(&json!({ "scope": "read" }));
    [(revoked, 401), (expired, 401), (small, 403)]
}

fn create(client: &Client) -> Response {
    client.post(PATH, &json!({ "user_id": "ada" }))
}

#[test]
fn a_bad_key_that_was_refused_a_moment_ago_is_refused_unread_and_without_the_object() {
    let server = Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") });
    let mut clock = Clock::stop(&server);
    let organization = server.organization();
    let good = server.client(&organization, "live", "read_write");
    for (bad, status) in bad_keys(&server, &mut clock, &organization) {
        let told = create(&bad);
        assert_eq!(told.status, status, "{told:?}");
        faults::set(&server, &json!({ "objects": true }));
        let again = create(&bad);
        assert_eq!(again.status, status, "{again:?}");
        let names = |response: &Response| response.headers.keys().cloned().collect::<Vec<_>>();
        assert_eq!((names(&again), &again.json()["error"]["code"]), (names(&told), &told.json()["error"]["code"]));
        assert_eq!(bad.post_head(PATH, 1_000), status, "the body is not waited for");
        let row = json!({ "users": [{ "user_id": "ada" }] });
        assert_eq!(bad.post("/v1/end-users/batch", &row).status, status, "whatever the request costs");
        assert_eq!(create(&good).status, 503, "of any other key the object knows");
        clock.advance(Duration::from_millis(999));
        assert_eq!(create(&bad).status, status);
        clock.advance(Duration::from_millis(1));
        assert_eq!(create(&bad).status, 503, "now the object is asked");
        faults::set(&server, &json!({ "objects": false }));
    }
    let small = server.client(&organization, "live", "read");
    assert_eq!(create(&small).status, 403);
    assert_eq!(small.get(PATH).status, 200, "the scope is enough for this");
}

#[test]
fn every_refused_key_costs_a_token_of_the_address() {
    let vars = vec![("PUBLIC_REQUESTS_PER_SECOND", "1".to_owned()), ("PUBLIC_BURST", "5".to_owned())];
    let server = Server::start(Options { vars, entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let organization = server.organization();
    for (place, (bad, status)) in bad_keys(&server, &mut clock, &organization).into_iter().enumerate() {
        let bad = bad.with_header("CF-Connecting-IP", &format!("192.0.2.{place}"));
        let answers: Vec<Response> = (0..7).map(|_| create(&bad)).collect();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [[status; 5].as_slice(), &[429; 2]].concat());
        for answer in &answers {
            assert!(answer.header("ratelimit-policy").starts_with("\"ip\";q=5;"), "{answer:?}");
            let has_quota = answer.headers.contains_key("x-quota-reset");
            assert_eq!(has_quota, status == 403, "a key that is in force has a quota: {answer:?}");
        }
        assert!(answers[6].header("retry-after") == "1");
    }
}

/// An address without tokens reaches the object all the same, as good callers may share it.
#[test]
fn from_an_address_without_tokens_no_body_of_a_bad_key_is_read() {
    let vars = vec![("PUBLIC_REQUESTS_PER_SECOND", "1".to_owned()), ("PUBLIC_BURST", "3".to_owned())];
    let server = Server::start(Options { vars, entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let organization = server.organization();
    let good = server.client(&organization, "live", "read_write").with_header("CF-Connecting-IP", "192.0.2.1");
    let bad = bad_keys(&server, &mut clock, &organization);
    let guesser = server.with_key("guess").with_header("CF-Connecting-IP", "192.0.2.1");
    let statuses: Vec<u16> = (0..4).map(|_| create(&guesser).status).collect();
    assert_eq!(statuses, [401, 401, 401, 429]);
    for (bad, _) in bad {
        assert_eq!(bad.with_header("CF-Connecting-IP", "192.0.2.1").post_head(PATH, 1_000), 429);
    }
    let remaining = |response: &Response| response.header("x-ratelimit-remaining").parse::<u64>().expect("a number");
    let made = create(&good);
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(remaining(&create(&good)), remaining(&made) - 1, "each takes one token");
}

#[test]
fn a_request_beyond_the_rate_is_refused_unread_for_a_moment() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 1 }));
    let client = server.client(&organization, "live", "read_write");
    assert_eq!([create(&client), create(&client)].map(|answer| answer.status), [201, 429]);
    let told = create(&client);
    assert_eq!(client.post_head(PATH, 1_000), 429, "the body is not waited for");
    assert_eq!((told.status, told.header("retry-after")), (429, "1"));
    clock.advance(Duration::from_secs(1));
    assert_eq!([create(&client), create(&client)].map(|answer| answer.status), [200, 429]);
}

#[test]
fn a_batch_that_was_refused_a_moment_ago_is_refused_without_the_object() {
    let server = Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") });
    let mut clock = Clock::stop(&server);
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 10 }));
    let client = server.client(&organization, "live", "read_write");
    let batch = |rows: usize| {
        let users: Vec<Value> = (0..rows).map(|row| json!({ "user_id": format!("u{row}") })).collect();
        client.post("/v1/end-users/batch", &json!({ "users": users }))
    };
    expect(200, batch(50));
    let told = batch(100);
    let retry_after_ms = |response: &Response| response.json()["error"]["details"]["retry_after_ms"].clone();
    assert_eq!((told.status, retry_after_ms(&told)), (429, json!(5_000)));
    faults::set(&server, &json!({ "objects": true }));
    let again = batch(100);
    assert_eq!((again.status, retry_after_ms(&again)), (429, json!(5_000)));
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-quota-turns-limit"] {
        assert_eq!(again.header(name), told.header(name));
    }
    assert_eq!(batch(500).status, 429, "no batch costs more than a whole bucket");
    assert_eq!(batch(50).status, 503, "a smaller one the object may admit");
    assert_eq!(create(&client).status, 503);
    clock.advance(Duration::from_millis(999));
    assert_eq!(batch(100).status, 429);
    clock.advance(Duration::from_millis(1));
    assert_eq!(batch(100).status, 503, "now the object is asked");
    faults::set(&server, &json!({ "objects": false }));
    expect(200, batch(50));
    assert_eq!(create(&client).status, 201, "one token has come in this second");
    // A bucket that refuses one token refuses a batch, and says when the whole batch can succeed.
    assert_eq!(create(&client).status, 429);
    faults::set(&server, &json!({ "objects": true }));
    let refused = batch(40);
    assert_eq!((refused.status, retry_after_ms(&refused)), (429, json!(4_000)));
}
