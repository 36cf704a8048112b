//! `POST /webhooks/clerk`: signed events reach the mirror, in any order, and unsigned ones do not.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use xtask::webhooks::{random_secret, sign};

use crate::clerk;
use crate::client::{Client, Response};
use crate::clock::{self, Clock, now_ms};
use crate::server::{Options, Server, roomy};
use crate::stores::{self, Store};
use crate::{faults, me};

const PATH: &str = "/webhooks/clerk";

fn now_s() -> i64 {
    now_ms() / 1_000
}

pub fn tag() -> String {
    xtask::secrets::random_secret().expect("entropy")[..12].to_owned()
}

/// A sender that knows the secret.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    secret: String,
}

impl Sender {
    fn deliver(&self, event: &Value) -> Response {
        self.deliver_text(&event.to_string())
    }

    pub fn deliver_text(&self, body: &str) -> Response {
        self.deliver_at(now_s(), body)
    }

    fn deliver_at(&self, sent_at_s: i64, body: &str) -> Response {
        let id = format!("msg_{}", tag());
        let signature = sign(&self.secret, &id, sent_at_s, body.as_bytes());
        self.send(&[("svix-id", &id), ("svix-timestamp", &sent_at_s.to_string()), ("svix-signature", &signature)], body)
    }

    fn send(&self, headers: &[(&str, &str)], body: &str) -> Response {
        let client = headers.iter().fold(self.client.clone(), |client, (name, value)| client.with_header(name, value));
        client.send("POST", PATH, Some(("application/json", body.as_bytes())))
    }
}

/// A server that takes events, and two senders: one with the current secret and one with the previous.
pub struct Receiver {
    pub server: Server,
    pub sender: Sender,
    previous: Sender,
}

impl Receiver {
    fn start(vars: Vec<(&'static str, String)>) -> Self {
        Self::start_with(vars, None)
    }

    fn start_with(mut vars: Vec<(&'static str, String)>, entry: Option<&'static str>) -> Self {
        let (secret, previous) = (random_secret().expect("entropy"), random_secret().expect("entropy"));
        vars.extend([("CLERK_WEBHOOK_SECRET", secret.clone()), ("CLERK_WEBHOOK_SECRET_PREVIOUS", previous.clone())]);
        let server = Server::start(Options { vars, entry });
        let sender = |secret| Sender { client: server.anonymous(), secret };
        let (sender, previous) = (sender(secret), sender(previous));
        Self { server, sender, previous }
    }

    pub fn rows(&self, tag: &str) -> BTreeSet<String> {
        stores::listed(self.server.state(), clerk::ROWS, tag)
    }
}

pub fn receiver() -> &'static Receiver {
    static RECEIVER: OnceLock<Receiver> = OnceLock::new();
    RECEIVER.get_or_init(|| {
        let pem = me::key().public_pem().expect("a PEM").replace('\n', "\\n");
        let parties = ("CLERK_AUTHORIZED_PARTIES", "*".to_owned());
        let issuer = vec![("CLERK_ISSUER", me::ISSUER.to_owned()), ("CLERK_JWT_KEY", pem), parties];
        Receiver::start([roomy(), issuer].concat())
    })
}

fn user(id: &str, email: &str, updated_at: i64) -> Value {
    let addresses = [json!({ "id": "idn_1", "email_address": email })];
    json!({ "type": "user.updated", "data": {
        "id": id, "email_addresses": addresses, "primary_email_address_id": "idn_1", "updated_at": updated_at,
    } })
}

fn organization(id: &str, name: &str, updated_at: i64) -> Value {
    json!({ "type": "organization.updated", "data": {
        "id": id, "name": name, "slug": "acme", "created_at": 1, "updated_at": updated_at,
    } })
}

fn membership(id: &str, organization: &str, user: &str) -> Value {
    json!({ "type": "organizationMembership.created", "data": {
        "id": id, "organization": { "id": organization }, "public_user_data": { "user_id": user },
        "role": "org:admin", "created_at": 2, "updated_at": 2,
    } })
}

fn deleted(kind: &str, id: &str) -> Value {
    json!({ "type": kind, "data": { "id": id, "deleted": true, "object": "object" } })
}

fn set(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(ToString::to_string).collect()
}

/// A problem with exactly the members that problems have.
fn assert_problem(response: &Response, status: u16, code: &str) {
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("content-type"), "application/problem+json");
    let problem = response.json();
    let members: Vec<_> = problem.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, ["$schema", "detail", "errors", "instance", "status", "title", "type"]);
    assert_eq!(problem["type"], format!("urn:rollcall:problem:{code}"), "{response:?}");
    assert_eq!(problem["instance"], format!("urn:ulid:{}", response.header("x-request-id")));
}

#[test]
fn events_make_the_mirror_and_tombstones_hold_nothing() {
    let (receiver, tag) = (receiver(), tag());
    let (user_id, organization_id, membership_id) = (format!("user_{tag}"), format!("org_{tag}"), format!("m_{tag}"));
    let deliver = |event: Value| {
        for _ in 0..2 {
            let response = receiver.sender.deliver(&event);
            assert_eq!((response.status, response.body.as_str()), (204, ""), "{response:?}");
            assert_eq!(response.header("x-request-id").len(), 26);
            assert!(!response.headers.contains_key("x-ratelimit-limit"), "no token is taken: {response:?}");
        }
    };
    deliver(membership(&membership_id, &organization_id, &user_id));
    deliver(organization(&organization_id, "Acme", 5));
    deliver(organization(&organization_id, "Older", 4));
    deliver(user(&user_id, "ada@example.org", 5));
    deliver(user(&user_id, "older@example.org", 4));
    let membership_row = json!(["membership", membership_id, organization_id, user_id, "org:admin", 2, 2, 0]);
    let organization_row = |members: u32| json!(["organization", organization_id, "Acme", "acme", 1, 5, 0, members]);
    let person_row = json!(["person", user_id, "ada@example.org", 5, 0]);
    assert_eq!(receiver.rows(&tag), set(&[membership_row, organization_row(1), person_row]));

    deliver(deleted("user.deleted", &user_id));
    deliver(user(&user_id, "ada@example.org", 9));
    deliver(membership(&membership_id, &organization_id, &user_id));
    let person_row = json!(["person", user_id, null, 0, 1]);
    assert_eq!(receiver.rows(&tag), set(&[organization_row(0), person_row.clone()]));

    deliver(deleted("organizationMembership.deleted", &membership_id));
    deliver(deleted("organization.deleted", &organization_id));
    deliver(organization(&organization_id, "Acme", 9));
    let organization_row = json!(["organization", organization_id, "", null, 0, 0, 1, 0]);
    let membership_row = json!(["membership", membership_id, "", "", "", 0, 0, 1]);
    assert_eq!(receiver.rows(&tag), set(&[organization_row, person_row, membership_row]));
}

#[test]
fn what_is_not_signed_is_refused() {
    let (receiver, tag) = (receiver(), tag());
    let (id, now) = ("msg_1", now_s());
    let (body, timestamp) = (user(&format!("user_{tag}"), "forged@example.org", 1).to_string(), now.to_string());
    let good = sign(&receiver.sender.secret, id, now, body.as_bytes());
    let stranger = sign(&random_secret().expect("entropy"), id, now, body.as_bytes());
    let flipped = body.replace("forged", "gorfed");
    let send = |headers: &[(&str, &str)], body: &str| receiver.sender.send(headers, body);
    let with = |id: &str, timestamp: &str, signature: &str, body: &str| {
        send(&[("svix-id", id), ("svix-timestamp", timestamp), ("svix-signature", signature)], body)
    };
    let later = (now + 1).to_string();
    for response in [
        with(id, &timestamp, &stranger, &body),
        with(id, &timestamp, &good, &flipped),
        with(id, &timestamp, &good, &format!("{body} ")),
        with("msg_2", &timestamp, &good, &body),
        with(id, &later, &good, &body),
        with(id, "now", &good, &body),
        with(id, &timestamp, &good.replace("v1,", "v2,"), &body),
        with(id, &timestamp, good.trim_start_matches("v1,"), &body),
        with(id, &timestamp, &format!("{stranger} v1,"), &body),
        with(id, &timestamp, &good, "not JSON"),
    ] {
        assert_problem(&response, 401, "invalid_token");
        assert_eq!(response.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        assert!(response.headers.contains_key("x-ratelimit-remaining"), "a token is taken");
    }
    let all = [("svix-id", id), ("svix-timestamp", timestamp.as_str()), ("svix-signature", good.as_str())];
    for missing in 0..3 {
        let mut headers = all.to_vec();
        headers.remove(missing);
        assert_problem(&send(&headers, &body), 401, "authentication_error");
        headers.push((all[missing].0, ""));
        assert_problem(&send(&headers, &body), 401, "authentication_error");
    }
    assert_problem(&receiver.server.admin().post(PATH, &json!({})), 401, "authentication_error");
    // More than five minutes away, by a margin longer than the test's delays.
    for offset_s in [-301, 600, -1_000_000] {
        assert_problem(&receiver.sender.deliver_at(now_s() + offset_s, &body), 401, "token_expired");
    }
    assert_eq!(receiver.rows(&tag), set(&[]));
}

#[test]
fn what_is_signed_in_any_way_is_taken() {
    let (receiver, tag) = (receiver(), tag());
    let (id, now) = ("msg_1", now_s());
    let timestamp = now.to_string();
    let mut version = 0;
    let mut taken = |deliver: &dyn Fn(&str) -> Response| {
        version += 1;
        let response = deliver(&user(&format!("user_{tag}"), "ada@example.org", version).to_string());
        assert_eq!(response.status, 204, "{response:?}");
        let row = json!(["person", format!("user_{tag}"), "ada@example.org", version, 0]);
        assert_eq!(receiver.rows(&tag), set(&[row]));
    };
    taken(&|body| receiver.previous.deliver_text(body));
    // Less than five minutes away, by a margin longer than the test's delays.
    taken(&|body| receiver.sender.deliver_at(now_s() - 100, body));
    taken(&|body| receiver.sender.deliver_at(now_s() + 299, body));
    let good = |body: &str| sign(&receiver.sender.secret, id, now, body.as_bytes());
    let with = |signatures: &str, body: &str| {
        let headers = [("svix-id", id), ("svix-timestamp", &timestamp), ("svix-signature", signatures)];
        receiver.sender.send(&headers, body)
    };
    taken(&|body| with(&format!("v1,{} v1a,xyz {} v2,", "A".repeat(43), good(body)), body));
    taken(&|body| with(&format!("{} v1,{}", good(body), "A".repeat(43)), body));
    taken(&|body| {
        let signature = good(body);
        let headers = [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)];
        receiver.sender.send(&headers, body)
    });
}

#[test]
fn events_that_do_not_read_are_refused_and_others_are_let_be() {
    let receiver = receiver();
    let deliver = |body: &str| receiver.sender.deliver_text(body);
    for body in [r#"{"type":"session.created","data":{"id":"sess_1"}}"#, r#"{"type":"email.created","data":null}"#] {
        assert_eq!(deliver(body).status, 204, "{body}");
    }
    for body in ["", "not JSON", "[]", "{\"type\":\"a\",\"type\":\"b\"}", "\"x\""] {
        assert_problem(&deliver(body), 400, "invalid_request");
    }
    for (body, locations) in [
        ("{}", json!(["body.type"])),
        (r#"{"type":"user.created"}"#, json!(["body.data"])),
        (r#"{"type":"user.deleted","data":{}}"#, json!(["body.data.id"])),
        (
            r#"{"type":"user.created","data":{"id":7,"email_addresses":{},"updated_at":"now"}}"#,
            json!(["body.data.email_addresses", "body.data.id", "body.data.updated_at"]),
        ),
        (
            r#"{"type":"organizationMembership.created","data":{"id":"m","organization":{},"role":"r",
                "created_at":1,"updated_at":1}}"#,
            json!(["body.data.organization.id", "body.data.public_user_data"]),
        ),
    ] {
        let response = deliver(body);
        assert_problem(&response, 422, "validation_error");
        let errors = response.json()["errors"].as_array().expect("errors").clone();
        assert_eq!(errors.iter().map(|error| error["location"].clone()).collect::<Value>(), locations, "{body}");
    }
    let large = |bytes: usize| {
        let body = json!({ "type": "session.created", "data": "x".repeat(bytes) });
        receiver.sender.deliver(&body)
    };
    assert_eq!(large(255 * 1024).status, 204);
    assert_problem(&large(256 * 1024), 413, "payload_too_large");

    let (now, body) = (now_s(), "{}");
    let (timestamp, signature) = (now.to_string(), sign(&receiver.sender.secret, "msg_1", now, body.as_bytes()));
    let client = receiver.sender.client.clone();
    let signed = client
        .with_header("svix-id", "msg_1")
        .with_header("svix-timestamp", &timestamp)
        .with_header("svix-signature", &signature);
    assert_problem(&signed.send("POST", PATH, Some(("text/plain", body.as_bytes()))), 415, "unsupported_media_type");
    assert_problem(
        &signed.send("POST", &format!("{PATH}?x=1"), Some(("application/json", b"{}"))),
        422,
        "validation_error",
    );
    assert_problem(&signed.get(PATH), 405, "method_not_allowed");
}

/// A forged event takes tokens of its sender's address. A signed event takes none.
#[test]
fn forgers_are_limited_and_the_sender_is_not() {
    let vars = vec![("PUBLIC_REQUESTS_PER_SECOND", "1".to_owned()), ("PUBLIC_BURST", "3".to_owned())];
    let receiver = Receiver::start_with(vars, Some(clock::ENTRY));
    let mut clock = Clock::stop(&receiver.server);
    // The test's own requests so far have taken tokens.
    clock.advance(Duration::from_mins(1));
    let forger = Sender { secret: random_secret().expect("entropy"), ..receiver.sender.clone() };
    let event = user("user_1", "ada@example.org", 1);
    let statuses: Vec<_> = (0..30).map(|_| forger.deliver(&event).status).collect();
    assert_eq!(statuses, [[401; 3].as_slice(), &[429; 27]].concat());
    let elsewhere = receiver.sender.client.clone().with_header("CF-Connecting-IP", "192.0.2.1");
    let sender = Sender { client: elsewhere, ..receiver.sender.clone() };
    for _ in 0..30 {
        assert_eq!(sender.deliver(&event).status, 204);
    }
    // From an address without tokens nothing is read, not even what is signed.
    assert_eq!(receiver.sender.deliver(&event).status, 429);
    assert_eq!(announced(&receiver.sender.client, &now_s().to_string()), 429);
}

/// The status for a delivery of which only the head arrives.
fn announced(client: &Client, timestamp: &str) -> u16 {
    let headers = [("svix-id", "msg_1"), ("svix-timestamp", timestamp), ("svix-signature", "v1,x")];
    headers.iter().fold(client.clone(), |client, (name, value)| client.with_header(name, value)).post_head(PATH, 1_000)
}

#[test]
fn a_delivery_under_an_impossible_time_is_refused_unread() {
    let client = &receiver().sender.client;
    let (stale, early) = ((now_s() - 1_000).to_string(), (now_s() + 1_000).to_string());
    for timestamp in ["now", "-1", "1.5", "99999999999999999999", &stale, &early] {
        assert_eq!(announced(client, timestamp), 401, "{timestamp}");
    }
}

#[test]
fn without_a_secret_the_sender_is_asked_to_come_back() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let sender = Sender { client: server.anonymous(), secret: random_secret().expect("entropy") };
    let response = sender.deliver(&user("user_1", "ada@example.org", 1));
    assert_problem(&response, 503, "service_unavailable");
    assert_eq!(response.header("retry-after"), "300");
    assert!(response.headers.contains_key("x-ratelimit-remaining"), "anybody may ask, and pays");
    let line = server.log_line(response.header("x-request-id"));
    assert_eq!(line["reason"], "CLERK_WEBHOOK_SECRET is not set");
}

/// Neither the secret nor the signed body gets into a log line or an answer. Nothing of a replaced or deleted
/// address is left in the database's files.
#[test]
fn nothing_is_told_and_nothing_is_left() {
    let receiver = Receiver::start(roomy());
    let canary = |name: &str| format!("canary-{name}@example.org");
    let (first, second, third) = (canary("a"), canary("that-is-longer"), canary("b"));
    let mut responses = Vec::new();
    for (version, email) in [&first, &second, &third].into_iter().enumerate() {
        let version = i64::try_from(version).expect("a small number");
        responses.push(receiver.sender.deliver(&user("user_1", email, version)));
        // Other rows share the page.
        responses.push(receiver.sender.deliver(&user(&format!("user_{version}0"), "other@example.org", 1)));
    }
    responses.push(receiver.sender.deliver_at(now_s() - 1_000, &user("user_1", &first, 9).to_string()));
    responses.push(receiver.sender.deliver(&json!({ "type": "user.updated", "data": { "id": "u", "updated_at": 1 } })));
    let secret = receiver.sender.secret.trim_start_matches("whsec_");
    let now = now_s();
    let good = sign(secret, "msg_1", now, b"{}");
    let timestamp = now.to_string();
    let headers = [("svix-id", "canary-id"), ("svix-timestamp", &*timestamp), ("svix-signature", &*good)];
    responses.push(receiver.sender.send(&headers, "{}"));
    assert!(receiver.rows("user_1").iter().any(|row| row.contains(&third)), "what is looked for was there");
    responses.push(receiver.sender.deliver(&deleted("user.deleted", "user_1")));
    let canaries = [secret, good.trim_start_matches("v1,"), "canary-"];
    for response in &responses {
        let line = receiver.server.log_line(response.header("x-request-id")).to_string();
        assert!(line.contains(PATH), "{line}");
        for canary in canaries {
            assert!(!line.contains(canary), "{line}");
            assert!(!format!("{response:?}").contains(canary), "{response:?}");
        }
    }
    receiver.server.kill();
    for file in Store::D1.files(receiver.server.state()) {
        let database = Connection::open(&file).expect("a database");
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
        let bytes = std::fs::read(&file).expect("the database");
        let found = bytes.windows(7).any(|window| window == b"canary-");
        assert!(!found, "an address is left in {}", file.display());
    }
}

/// The Worker asks the sender to deliver an event again that it could not store.
#[test]
fn while_d1_is_down_the_sender_is_asked_to_come_back() {
    let secret = random_secret().expect("entropy");
    let vars = [roomy(), vec![("CLERK_WEBHOOK_SECRET", secret.clone())]].concat();
    let server = Server::start(Options { vars, entry: Some("tests/runtime/faults.mjs") });
    let sender = Sender { client: server.anonymous(), secret };
    let event = user("user_1", "ada@example.org", 1);
    faults::set(&server, &json!({ "d1": true }));
    let response = sender.deliver(&event);
    assert_problem(&response, 503, "service_unavailable");
    assert_eq!(response.header("retry-after"), "1");
    assert_eq!(sender.deliver(&json!({ "type": "session.created", "data": {} })).status, 204);
    faults::set(&server, &json!({ "d1": false }));
    assert_eq!(sender.deliver(&event).status, 204);
    let row = json!(["person", "user_1", "ada@example.org", 1, 0]);
    assert_eq!(stores::listed(server.state(), clerk::ROWS, "user_1"), set(&[row]));
}
