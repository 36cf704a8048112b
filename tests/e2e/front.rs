//! The front's own rules (`tests/runtime/front.mjs`). Every other test runs behind them.

use std::time::Duration;

use serde_json::json;

use crate::agents::make_agent;
use crate::clock::{self, Clock};
use crate::metering::turns_of_relationships;
use crate::respond::PATH;
use crate::server::{Options, Server, expect, roomy, shared};
use crate::upstream::{Behaviour, Steps, Upstream};
use crate::wait;

/// How often a rule was applied.
pub fn applied(server: &Server, rule: &str) -> u64 {
    let applied = expect(200, server.anonymous().get("/__front"));
    applied[rule].as_u64().unwrap_or_else(|| panic!("no rule {rule}: {applied}"))
}

/// The tag and the encoding of a response that a Worker gives.
fn departed(cache: &str, content_type: &str, etag: &str) -> (String, Option<String>) {
    let body = "a text of some length ".repeat(20);
    let answer = json!({ "cache": cache, "type": content_type, "etag": etag, "body": body });
    let (head, _) = shared().anonymous().open("/__front", &answer);
    (head.header("etag").to_owned(), head.headers.get("content-encoding").cloned())
}

#[test]
fn what_is_compressed_has_a_weak_tag() {
    let weak = (r#"W/"1""#.to_owned(), Some("br".to_owned()));
    assert_eq!(departed("no-store", "application/json", r#""1""#), weak);
    assert_eq!(departed("no-store", "application/json", r#"W/"1""#), weak);
    let strong = (r#""1""#.to_owned(), None);
    assert_eq!(departed("no-store, no-transform", "application/json", r#""1""#), strong);
    assert_eq!(departed("no-store", "application/octet-stream", r#""1""#), strong);
}

#[test]
fn a_url_arrives_without_double_slashes_and_an_id_as_it_is() {
    let client = shared().new_client();
    expect(201, client.post("//v1///end-users", &json!({ "user_id": "a//b\\c" })));
    let read = expect(200, client.get("/v1//end-users/a%2F%2Fb%5Cc"));
    assert_eq!(read["user_id"], "a//b\\c");
    assert_eq!(client.get("/v1/end-users/a//b").status, 404);
}

#[test]
fn a_message_to_an_object_has_at_most_32_mib() {
    let error = |bytes: u32| {
        let answer = expect(200, shared().anonymous().post("/__call", &json!({ "bytes": bytes })));
        answer["error"].as_str().expect("these are no calls").to_owned()
    };
    assert!(error(33 << 20).contains("limited to 32MiB"), "{}", error(33 << 20));
    assert!(!error(31 << 20).contains("limited to 32MiB"), "{}", error(31 << 20));
}

/// The front itself asks KV that often at once.
#[test]
fn what_is_beyond_six_connections_waits_for_its_turn() {
    const READS: u64 = 20;
    let server = Server::start(Options { vars: roomy(), entry: None });
    let read = expect(200, server.anonymous().post("/__reads", &json!({ "reads": READS })));
    assert_eq!(read, json!({ "reads": READS, "most_at_once": 6 }));
    assert_eq!(applied(&server, "queued"), READS - 6);
}

/// A model answers when nobody listens any more. The Worker that asked it has ended by then.
#[test]
fn nothing_is_done_thirty_seconds_after_the_caller_has_gone() {
    let upstream = Upstream::start();
    let (permit, steps) = Steps::new();
    upstream.otherwise(move |_| Behaviour::Held(steps.clone()));
    let vars = [roomy(), vec![("RESPONDER_URL", upstream.url())]].concat();
    let server = Server::start(Options { vars, entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let client = server.new_client();
    let agent = make_agent(&client, "Echo");
    let body = json!({ "message": "hello", "personality_id": agent, "user_id": "ada", "stream": true });
    let connection = client.post_unread(PATH, &body);
    wait::until("the model to be asked", || upstream.asked().len(), |asked| *asked == 1);
    drop(connection);
    wait::until("the end of the connection", || applied(&server, "hung_up"), |hung_up| *hung_up == 1);
    clock.advance(Duration::from_secs(30));
    assert_eq!(applied(&server, "ended"), 0);
    permit.send(()).expect("a model that waits");
    wait::until("what the Worker does then", || applied(&server, "ended"), |ended| *ended > 0);
    assert_eq!(turns_of_relationships(&client), 0);
}
