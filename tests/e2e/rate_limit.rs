//! The buckets as callers see them, compared with an oracle.

use std::thread;
use std::time::Duration;

use rollcall::directory::timestamp::Timestamp;
use serde_json::json;

use crate::client::{Client, Response};
use crate::clock::{self, Clock, now_ms};
use crate::faults;
use crate::server::{Options, Server, expect, roomy, shared};

const RATE: i64 = 50;
const BURST: i64 = 100;

/// A textbook token bucket, which is given the instants of the answers.
///
/// The oracle reads the object's clock out of `X-RateLimit-Reset`: the bucket is full `taken / rate` after the
/// object looked at it.
struct Oracle {
    /// Thousandths of a token, at `at_ms`.
    tokens_milli: i64,
    at_ms: i64,
}

impl Oracle {
    fn refill(&mut self, now_ms: i64) {
        self.tokens_milli = (self.tokens_milli + (now_ms - self.at_ms) * RATE).min(BURST * 1_000);
        self.at_ms = now_ms;
    }

    /// Whether it admits the request, and what it reports then: remaining tokens, milliseconds until full,
    /// milliseconds until a retry can succeed.
    fn take(&mut self, now_ms: i64) -> (bool, i64, i64, i64) {
        self.refill(now_ms);
        let admitted = self.tokens_milli >= 1_000;
        if admitted {
            self.tokens_milli -= 1_000;
        }
        let wait = |missing: i64| (missing + RATE - 1) / RATE;
        let full_in_ms = wait(BURST * 1_000 - self.tokens_milli);
        let retry_in_ms = if admitted { 0 } else { wait(1_000 - self.tokens_milli) };
        (admitted, self.tokens_milli / 1_000, full_in_ms, retry_in_ms)
    }
}

/// Checks a response against the oracle. The response does not name the instant at which the object looked. Only
/// instants between the sending and the arrival are possible, and one of them must explain all headers at once.
fn assert_explained(oracle: &mut Oracle, response: &Response, sent_ms: i64, arrived_ms: i64) -> bool {
    let reset_ms = Timestamp::parse(response.header("x-ratelimit-reset")).expect("an instant").millis();
    let remaining: i64 = response.header("x-ratelimit-remaining").parse().expect("a number");
    for now_ms in sent_ms.max(oracle.at_ms)..=arrived_ms.max(oracle.at_ms) {
        let mut candidate = Oracle { tokens_milli: oracle.tokens_milli, at_ms: oracle.at_ms };
        let (admitted, left, full_in_ms, retry_in_ms) = candidate.take(now_ms);
        if admitted != (response.status != 429) {
            continue;
        }
        let explains_retry = admitted || {
            let seconds: i64 = response.header("retry-after").parse().expect("a number");
            let retry_after_ms = &response.json()["error"]["details"]["retry_after_ms"];
            *retry_after_ms == retry_in_ms && seconds == (retry_in_ms + 999) / 1_000
        };
        let explains_bucket = now_ms + full_in_ms == reset_ms && left == remaining;
        if explains_bucket && explains_retry {
            *oracle = candidate;
            return admitted;
        }
    }
    panic!("no instant from {sent_ms} to {arrived_ms} explains {response:?}");
}

/// A burst of 200 on a bucket of 100 at 50/s, one request after the other, so that the order at the object is
/// known.
#[test]
fn a_burst_is_answered_as_the_oracle_says() {
    let server = shared();
    let organization = server.organization_with(&json!({ "requests_per_second": RATE, "burst": BURST }));
    let client = server.client(&organization, "live", "read_write");
    let mut oracle = Oracle { tokens_milli: BURST * 1_000, at_ms: 0 };
    let mut admitted = 0;
    for index in 0..200 {
        let sent_ms = now_ms();
        let response = client.post("/v1/end-users", &json!({ "user_id": format!("u{index}") }));
        assert_eq!(response.header("x-ratelimit-limit"), RATE.to_string());
        admitted += i64::from(assert_explained(&mut oracle, &response, sent_ms, now_ms()));
    }
    println!("200 requests on a bucket of {BURST} at {RATE}/s: {admitted} admitted, as the oracle says");
    assert!(admitted >= BURST);
}

/// 16 clients at once: the bucket never admits more than burst + rate·t.
#[test]
fn a_racing_burst_never_exceeds_the_bound() {
    let server = shared();
    let organization = server.organization_with(&json!({ "requests_per_second": RATE, "burst": BURST }));
    let client = server.client(&organization, "live", "read_write");
    let started_ms = now_ms();
    let admitted: i64 = thread::scope(|scope| {
        let racers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| (0..50).map(|_| i64::from(client.get("/v1/end-users").status == 200)).sum::<i64>()))
            .collect();
        racers.into_iter().map(|racer| racer.join().expect("a racer")).sum()
    });
    let elapsed_ms = now_ms() - started_ms;
    let bound = BURST + RATE * elapsed_ms / 1_000 + 1;
    println!("800 racing requests in {elapsed_ms} ms: {admitted} admitted, bound {bound}");
    assert!((BURST..=bound).contains(&admitted));
}

#[test]
fn retry_after_is_when_a_retry_succeeds() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 2 }));
    let client = server.client(&organization, "live", "read");
    let limited = exhaust(&client, 2);
    assert_eq!(limited.header("retry-after"), "1");
    clock.advance(Duration::from_millis(999));
    assert_eq!(client.get("/v1/end-users").status, 429, "not before");
    clock.advance(Duration::from_millis(1));
    assert_eq!(client.get("/v1/end-users").status, 200);
}

#[test]
fn public_paths_and_failed_logins_share_the_bucket_of_an_address() {
    let vars = vec![("PUBLIC_REQUESTS_PER_SECOND", "1".to_owned()), ("PUBLIC_BURST", "5".to_owned())];
    let server = Server::start(Options { vars, entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let organization = server.organization();
    let good = server.client(&organization, "live", "read");
    // The test's own requests so far have taken tokens.
    clock.advance(Duration::from_mins(1));
    let (anonymous, guesser) = (server.anonymous(), server.with_key("guess"));
    assert_eq!(anonymous.get("/health").header("x-ratelimit-remaining"), "4");
    assert_eq!(guesser.get("/v1/end-users").header("x-ratelimit-remaining"), "3", "one bucket for both");
    for _ in 0..3 {
        assert_eq!(guesser.get("/v1/end-users").status, 401);
    }
    let limited = guesser.get("/v1/end-users");
    assert_eq!((limited.status, limited.header("x-ratelimit-limit")), (429, "1"));
    assert!(limited.header("ratelimit-policy").starts_with("\"ip\";q=5;"));
    assert!(!limited.headers.contains_key("x-quota-reset"), "nobody's quota");
    assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");
    // A caller with a valid key is not slowed by other callers at its address.
    assert_eq!(good.get("/v1/end-users").status, 200);
}

/// Takes all tokens of a bucket while no time passes, and returns the first refusal.
fn exhaust(client: &Client, tokens: usize) -> Response {
    for _ in 0..tokens {
        assert_eq!(client.get("/v1/end-users/nobody").status, 404);
    }
    let refused = client.get("/v1/end-users/nobody");
    assert_eq!(refused.status, 429, "{refused:?}");
    refused
}

#[test]
fn who_was_refused_a_moment_ago_is_refused_without_the_object() {
    let server = Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") });
    let mut clock = Clock::stop(&server);
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 2 }));
    let client = server.client(&organization, "live", "read");
    let neighbour = server.client(&organization, "live", "read");
    let told = exhaust(&client, 2);
    faults::set(&server, &json!({ "objects": true }));
    let again = client.get("/v1/end-users/nobody");
    assert_eq!(again.status, 429);
    assert_eq!(neighbour.get("/v1/end-users/nobody").status, 503, "of any other key the object knows");
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-quota-turns-limit"] {
        assert_eq!(again.header(name), told.header(name));
    }
    let retry_after_ms = |response: &Response| response.json()["error"]["details"]["retry_after_ms"].clone();
    assert_eq!((retry_after_ms(&told), retry_after_ms(&again)), (json!(1_000), json!(1_000)));
    clock.advance(Duration::from_millis(999));
    let last = client.get("/v1/end-users/nobody");
    assert_eq!((last.status, retry_after_ms(&last)), (429, json!(1)));
    clock.advance(Duration::from_millis(1));
    assert_eq!(client.get("/v1/end-users/nobody").status, 503, "now the object is asked");
    faults::set(&server, &json!({ "objects": false }));
    assert_eq!(client.get("/v1/end-users/nobody").status, 404);
}

#[test]
fn what_the_operator_changes_counts_for_the_refused_from_their_next_request_on() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 1 }));
    let key = server.issue(&organization, &json!({ "kind": "api", "mode": "live", "scope": "read", "name": "test" }));
    let client = server.with_key(key["key"].as_str().expect("a key"));
    exhaust(&client, 1);
    let limits = json!({ "limits": { "requests_per_second": 1_000, "burst": 1_000 } });
    expect(200, server.admin().patch(&organization.path(), &limits));
    // The old rate left a debt of one second, which is a whole bucket: the first token comes after it.
    clock.advance(Duration::from_millis(1));
    assert_eq!(client.get("/v1/end-users/nobody").status, 404);
    let limits = json!({ "limits": { "requests_per_second": 1, "burst": 1 } });
    expect(200, server.admin().patch(&organization.path(), &limits));
    exhaust(&client, 0);
    let id = key["id"].as_str().expect("an id");
    assert_eq!(server.admin().delete(&format!("{}/keys/{id}", organization.path())).status, 204);
    assert_eq!(client.get("/v1/end-users/nobody").status, 401);
}
