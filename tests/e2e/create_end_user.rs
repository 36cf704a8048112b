//! `POST /v1/end-users`: every status of its table, with the exact set of headers and the whole body; racing
//! creations; odd ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Client, Response, encode};
use crate::clock::{self, Clock};
use crate::server::{Options, Server, expect, roomy, shared};
use crate::stores::Store;

pub const ALWAYS: &[&str] = &[
    "cache-control",
    "content-security-policy",
    "content-type",
    "referrer-policy",
    "vary",
    "x-content-type-options",
    "x-request-id",
];
pub const BUCKET: &[&str] =
    &["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"];
const QUOTA: &[&str] = &[
    "x-quota-relationships-limit",
    "x-quota-relationships-used",
    "x-quota-reset",
    "x-quota-turns-limit",
    "x-quota-turns-used",
];

const PATH: &str = "/v1/end-users";

/// Asserts the error body of dialect 1, member by member.
fn assert_error(response: &Response, code: &str, kind: &str, message: &str, details: &Value) {
    assert_error_of(shared(), response, code, kind, message, details);
}

/// The same for a server other than the shared one.
fn assert_error_of(server: &Server, response: &Response, code: &str, kind: &str, message: &str, details: &Value) {
    let body = response.json();
    let url = server.url();
    assert_eq!(
        body,
        json!({ "error": {
            "code": code,
            "message": message,
            "type": kind,
            "request_id": response.header("x-request-id"),
            "details": details,
            "documentation_url": format!("{url}/errors#{code}"),
        }}),
    );
    assert_eq!(response.header("content-type"), "application/json");
}

fn send(client: &Client, content_type: &str, body: &[u8]) -> Response {
    client.send("POST", PATH, Some((content_type, body)))
}

#[test]
fn a_new_user_is_201_and_a_known_one_200_with_what_is_stored() {
    let client = shared().new_client();
    let request = json!({ "user_id": "ada", "display_name": "Ada", "metadata": { "plan": "pro" } });
    let created = client.post(PATH, &request);
    assert_eq!(created.status, 201);
    created.assert_header_names(&[ALWAYS, BUCKET, &["etag", "location"]]);
    assert_eq!(created.header("location"), "/v1/end-users/ada");
    assert_eq!(created.header("cache-control"), "no-store, no-transform");
    let body = created.json();
    let created_at = body["created_at"].as_str().expect("created_at").to_owned();
    let version = body["version"].as_i64().expect("a version");
    assert_eq!(created.header("etag"), format!("\"{version}\""));
    assert_eq!(
        body,
        json!({
            "user_id": "ada", "display_name": "Ada", "metadata": { "plan": "pro" }, "status": "active", "version": version,
            "created_at": created_at, "updated_at": created_at, "last_interaction_at": null,
        })
    );
    assert!(created_at.len() == 24 && created_at.ends_with('Z'), "{created_at}");

    let again = client.post(PATH, &json!({ "user_id": "ada", "display_name": "Eve", "metadata": { "plan": "x" } }));
    assert_eq!(again.status, 200);
    again.assert_header_names(&[ALWAYS, BUCKET, &["etag"]]);
    assert_eq!(again.body, created.body);
    assert_ne!(again.header("x-request-id"), created.header("x-request-id"));
}

#[test]
fn metadata_keeps_its_order_and_every_digit() {
    let client = shared().new_client();
    let metadata = r#"{"z":12345678901234567890123,"a":0.10000000000000000000001,"e":1e999,"m":-0,"u":"\u00e9é"}"#;
    let body = format!("{{ \"user_id\" : \"n\",\n \"metadata\" : {metadata} }}");
    let created = send(&client, "application/json; charset=utf-8", body.as_bytes());
    assert_eq!(created.status, 201, "{created:?}");
    for response in [created, client.get("/v1/end-users/n"), client.get(PATH)] {
        assert!(response.body.contains(&format!("\"metadata\":{metadata}")), "{response:?}");
    }
}

#[test]
fn malformed_bodies_are_400() {
    let client = shared().new_client();
    for (body, message) in [
        (&b""[..], "the body is empty; a JSON object is expected"),
        (b"[]", "the body must be a JSON object"),
        (b"\"x\"", "the body must be a JSON object"),
        (b"{\"user_id\":\"a\",\"user_id\":\"b\"}", "the body names the member \"user_id\" twice in one object"),
        (
            b"{\"user_id\":\"a\",\"metadata\":{\"k\":{\"x\":1,\"\\u0078\":2}}}",
            "the body names the member \"x\" twice in one object",
        ),
        (b"{\"user_id\":\"\xff\"}", "the body is not valid UTF-8"),
        (b"{\"user_id\":\"\\ud800\"}", "the body is not valid JSON: a string escapes half a surrogate pair"),
        (b"{", "the body is not valid JSON: EOF while parsing an object at line 1 column 1"),
    ] {
        let response = send(&client, "application/json", body);
        assert_eq!(response.status, 400, "{response:?}");
        response.assert_header_names(&[ALWAYS, BUCKET]);
        assert_error(&response, "invalid_request", "validation", message, &Value::Null);
    }
}

#[test]
fn a_missing_or_wrong_credential_is_401() {
    let server = shared();
    let client = server.new_client();
    let ada = json!({ "user_id": "ada" });

    let missing = server.anonymous().post(PATH, &ada);
    assert_eq!(missing.status, 401);
    missing.assert_header_names(&[ALWAYS, BUCKET, &["www-authenticate"]]);
    assert_eq!(missing.header("www-authenticate"), "Bearer");
    let message = "No credential was sent, or not in the way this path expects it.";
    assert_error(&missing, "authentication_error", "authentication", message, &Value::Null);

    let organization = server.organization();
    let service = server.issue(&organization, &json!({ "kind": "service", "mode": "live", "name": "s" }));
    let service = service["key"].as_str().expect("a key");
    let mut forged = service.to_owned();
    forged.replace_range(forged.len() - 1.., if forged.ends_with('x') { "y" } else { "x" });
    for wrong in ["x", "sk_live_", &forged, service] {
        let refused = server.with_key(wrong).post(PATH, &ada);
        assert_eq!(refused.status, 401, "{refused:?}");
        refused.assert_header_names(&[ALWAYS, BUCKET, &["www-authenticate"]]);
        assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_token\"");
        let message = "The credential is not valid here.";
        assert_error(&refused, "invalid_token", "authentication", message, &Value::Null);
    }
    // The Worker judges the credential before the body.
    assert_eq!(send(&server.with_key("x"), "text/plain", b"{").status, 401);
    assert_eq!(client.post(PATH, &ada).status, 201);
}

#[test]
fn an_expired_key_is_401_token_expired() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let organization = server.organization();
    let soon = clock::text(clock.at_ms() + 1_000);
    let request = json!({ "kind": "api", "mode": "live", "name": "short", "expires_at": soon });
    let issued = server.issue(&organization, &request);
    assert_eq!(issued["expires_at"], soon.as_str());
    let client = server.with_key(issued["key"].as_str().expect("a key"));
    assert_eq!(client.get(PATH).status, 200);
    clock.advance(Duration::from_secs(1));
    let expired = client.post(PATH, &json!({ "user_id": "ada" }));
    assert_eq!(expired.status, 401);
    assert_eq!(expired.header("www-authenticate"), "Bearer error=\"token_expired\"");
    let message = "The credential has expired.";
    assert_error_of(&server, &expired, "token_expired", "authentication", message, &Value::Null);
}

#[test]
fn a_read_key_is_403_with_the_quota() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read");
    let refused = client.post(PATH, &json!({ "user_id": "ada" }));
    assert_eq!(refused.status, 403);
    refused.assert_header_names(&[ALWAYS, BUCKET, QUOTA]);
    assert!(refused.header("ratelimit-policy").starts_with("\"ip\";"), "the address pays: {refused:?}");
    assert_eq!(refused.header("x-quota-turns-used"), "0");
    assert_eq!(refused.header("x-quota-turns-limit"), "10000");
    assert_eq!(refused.header("x-quota-relationships-used"), "0");
    assert_eq!(refused.header("x-quota-relationships-limit"), "1000");
    assert!(refused.header("x-quota-reset").ends_with("T00:00:00.000Z"));
    let message = "The key's scope does not allow this request.";
    assert_error(&refused, "permission_denied", "permission", message, &Value::Null);
    // The Worker judges the scope before the body, and made nothing.
    assert_eq!(send(&client, "application/json", b"{").status, 403);
    assert_eq!(expect(200, client.get(PATH))["data"], json!([]));
}

#[test]
fn a_body_over_64_kib_is_413_whatever_its_length_says() {
    let client = shared().new_client();
    let body = json!({ "user_id": "a", "x": "y".repeat(64 * 1024) }).to_string();
    let response = send(&client, "application/json", body.as_bytes());
    assert_eq!(response.status, 413);
    response.assert_header_names(&[ALWAYS, BUCKET]);
    let message = "The body is larger than 65536 bytes.";
    assert_error(&response, "payload_too_large", "validation", message, &Value::Null);

    let chunked = client.clone().with_header("Transfer-Encoding", "chunked");
    assert_eq!(send(&chunked, "application/json", body.as_bytes()).status, 413);
    // Larger than what the connection holds, so that an answer before the end of the body could be lost.
    let large = body.repeat(80);
    assert!(large.len() > 5_000_000);
    assert_eq!(send(&client, "application/json", large.as_bytes()).status, 413);
    assert_eq!(send(&chunked, "application/json", large.as_bytes()).status, 413);
    assert_eq!(client.post_head(PATH, 9 * 1024 * 1024), 413, "it is not waited for");
    assert_eq!(client.post_endless(PATH), 413, "without a length the server reads up to a bound");
    let exactly = json!({ "user_id": "a", "x": "" }).to_string();
    let exactly = json!({ "user_id": "a", "x": "y".repeat(64 * 1024 - exactly.len()) }).to_string();
    assert_eq!(exactly.len(), 64 * 1024);
    assert_eq!(send(&client, "application/json", exactly.as_bytes()).status, 422);
}

#[test]
fn another_media_type_is_415() {
    let client = shared().new_client();
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let response = send(&client, content_type, b"{\"user_id\":\"a\"}");
        assert_eq!(response.status, 415, "{content_type}: {response:?}");
        response.assert_header_names(&[ALWAYS, BUCKET]);
        let message = "The body must be sent as Content-Type: application/json.";
        assert_error(&response, "unsupported_media_type", "validation", message, &Value::Null);
    }
}

#[test]
fn wrong_fields_are_422_all_at_once() {
    let client = shared().new_client();
    let deep = (0..8).fold(json!(1), |inner, _| json!({ "a": inner }));
    let body = json!({ "display_name": 7, "metadata": { "x": deep }, "admin": true });
    let response = client.post(PATH, &body);
    assert_eq!(response.status, 422);
    response.assert_header_names(&[ALWAYS, BUCKET]);
    let fields = json!([
        { "path": "user_id", "message": "is required" },
        { "path": "display_name", "message": "must be a string" },
        { "path": "metadata", "message": "must not be nested deeper than 8 levels" },
        { "path": "admin", "message": "is not a known field" },
    ]);
    let message = "user_id is required; display_name must be a string; \
                   metadata must not be nested deeper than 8 levels; admin is not a known field";
    assert_error(&response, "validation_error", "validation", message, &json!({ "fields": fields }));

    for (body, path) in [
        (json!({ "user_id": "" }), "user_id"),
        (json!({ "user_id": "." }), "user_id"),
        (json!({ "user_id": ".." }), "user_id"),
        (json!({ "user_id": "a\u{0}b" }), "user_id"),
        (json!({ "user_id": "a\u{9f}b" }), "user_id"),
        (json!({ "user_id": "é".repeat(256) }), "user_id"),
        (json!({ "user_id": 7 }), "user_id"),
        (json!({ "user_id": null }), "user_id"),
        (json!({ "user_id": "a", "display_name": "" }), "display_name"),
        (json!({ "user_id": "a", "display_name": "x".repeat(256) }), "display_name"),
        (json!({ "user_id": "a", "metadata": [] }), "metadata"),
        (json!({ "user_id": "a", "metadata": null }), "metadata"),
        (json!({ "user_id": "a", "metadata": { "x": "y".repeat(16 * 1024) } }), "metadata"),
    ] {
        let response = client.post(PATH, &body);
        assert_eq!(response.status, 422, "{body}");
        assert_eq!(response.json()["error"]["details"]["fields"][0]["path"], path, "{body}");
    }
    let both = client.post("/v1/end-users?dry_run=1", &json!({ "user_id": 7 })).json();
    let fields = both["error"]["details"]["fields"].as_array().expect("fields");
    let paths: Vec<_> = fields.iter().map(|field| &field["path"]).collect();
    assert_eq!(paths, ["dry_run", "user_id"], "query and body at once");
    let unreadable = client.send("POST", "/v1/end-users?dry_run=1", Some(("text/plain", b"{}")));
    assert_eq!(unreadable.status, 415, "what cannot be read wins over what is wrong");
    assert_eq!(expect(200, client.get(PATH))["data"], json!([]));
}

#[test]
fn an_exhausted_bucket_is_429_with_everything_a_client_needs() {
    let server = clock::stopped();
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 2 }));
    let client = server.client(&organization, "live", "read_write");
    let fresh = send(&client, "application/json", b"{");
    assert_eq!((fresh.status, fresh.header("x-ratelimit-remaining")), (400, "1"), "a bad body takes a token too");
    assert_eq!(client.post(PATH, &json!({ "user_id": "a" })).status, 201);
    let limited = client.post(PATH, &json!({ "user_id": "a" }));
    assert_eq!(limited.status, 429);
    limited.assert_header_names(&[ALWAYS, BUCKET, QUOTA, &["retry-after"]]);
    assert_eq!(limited.header("x-ratelimit-limit"), "1");
    assert_eq!(limited.header("x-ratelimit-remaining"), "0");
    assert_eq!(limited.header("retry-after"), "1");
    assert_eq!(limited.header("ratelimit-policy"), "\"org\";q=2;w=2");
    assert!(limited.header("ratelimit").starts_with("\"org\";r=0;t="));
    let message = "Too many requests; retry after the time in Retry-After.";
    let details = json!({ "retry_after_ms": 1_000 });
    assert_error_of(server, &limited, "rate_limit_exceeded", "rate_limit", message, &details);
    // The object judges the bucket before the body.
    assert_eq!(send(&client, "text/plain", b"{").status, 429);
}

#[test]
fn ids_round_trip_whatever_they_hold() {
    let client = shared().new_client();
    let ids = [
        "a/b/c".to_owned(),
        "a b".to_owned(),
        "100%".to_owned(),
        "%2F".to_owned(),
        "ada@example.com".to_owned(),
        "🦀".to_owned(),
        "🦀".repeat(255),
        "u\u{308}".to_owned(),
        "ü".to_owned(),
        "?#&=+;\\".to_owned(),
        "...".to_owned(),
        "\u{10FFFF}".to_owned(),
        "\u{FFFD}".to_owned(),
        " ".to_owned(),
        "'; DROP TABLE users; --".to_owned(),
        "\u{202E}abc".to_owned(),
    ];
    for id in &ids {
        let created = client.post(PATH, &json!({ "user_id": id }));
        assert_eq!(created.status, 201, "{id}: {created:?}");
        assert_eq!(created.json()["user_id"], id.as_str());
        let location = created.header("location").to_owned();
        assert_eq!(location, format!("/v1/end-users/{}", encode(id)));
        let read = client.get(&location);
        assert_eq!(read.status, 200, "{id}: {read:?}");
        assert_eq!(read.json()["user_id"], id.as_str());
        assert_eq!(client.post(PATH, &json!({ "user_id": id })).status, 200, "{id}");
    }
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let page = expect(200, client.get("/v1/end-users?limit=200"));
    let listed: Vec<&str> =
        page["data"].as_array().expect("data").iter().map(|user| user["user_id"].as_str().expect("an id")).collect();
    assert_eq!(listed, sorted, "byte order");
}

/// 64 racing creations of each of 200 ids: each id gets exactly one 201, one record for all, and one row each in
/// the object and in D1.
#[test]
fn racing_creations_make_one_user_each() {
    const RACERS: usize = 64;
    const IDS: usize = 200;
    let server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let client = Arc::new(server.client(&organization, "live", "read_write"));
    let threads: Vec<_> = (0..RACERS)
        .map(|racer| {
            let client = Arc::clone(&client);
            thread::spawn(move || {
                (0..IDS)
                    .map(|index| {
                        let body = json!({ "user_id": format!("racer-{index}"), "metadata": { "by": racer } });
                        let response = client.post(PATH, &body);
                        (index, response.status, response.json())
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut created: HashMap<usize, usize> = HashMap::new();
    let mut bodies: HashMap<usize, Value> = HashMap::new();
    let mut known = 0;
    for (index, status, body) in threads.into_iter().flat_map(|thread| thread.join().expect("a racer")) {
        match status {
            201 => *created.entry(index).or_default() += 1,
            200 => known += 1,
            other => panic!("{other}: {body}"),
        }
        assert_eq!(*bodies.entry(index).or_insert_with(|| body.clone()), body, "one record for all");
    }
    assert_eq!(created.len(), IDS);
    assert!(created.values().all(|count| *count == 1));
    assert_eq!(known, IDS * (RACERS - 1));
    println!("{RACERS} × {IDS}: 201 {} times, 200 {known} times", created.len());
    let page = expect(200, client.get("/v1/end-users?limit=200"));
    assert_eq!(page["data"].as_array().map(Vec::len), Some(IDS));
    assert_eq!(page["has_more"], false);
    let tenant = format!("{}/live", organization.id);
    for store in [Store::Objects, Store::D1] {
        store.assert_users_eventually(server.state(), &tenant, i64::try_from(IDS).expect("few"));
        println!("{store:?}: {IDS} rows");
    }
}
