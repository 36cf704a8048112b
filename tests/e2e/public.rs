//! Public paths, unknown paths, CORS, the log.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{Options, Server, expect, roomy, shared};
use crate::wait;

#[test]
fn health_and_readiness() {
    let server = shared();
    let health = server.anonymous().get("/health");
    assert_eq!(health.status, 200);
    assert_eq!(health.json(), json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }));
    let ready = expect(200, server.anonymous().get("/ready"));
    assert_eq!(ready["status"], "ready");
    for check in ["configuration", "objects", "kv", "d1"] {
        assert_eq!(ready["checks"][check]["ok"], true, "{check}");
        assert!(ready["checks"][check]["latency_ms"].is_u64(), "{check}");
    }
}

#[test]
fn unknown_paths_and_methods_are_refused_in_their_dialect() {
    let client = shared().anonymous();
    for (method, path, status, content_type) in [
        ("GET", "/v1/nothing", 404, "application/json"),
        ("GET", "/v1/end-users/", 404, "application/json"),
        ("GET", "/nothing", 404, "application/problem+json"),
        ("GET", "/api/v1/nothing", 404, "application/problem+json"),
        ("GET", "/api/v1/principals/x/y/z", 404, "application/json"),
        ("DELETE", "/v1/end-users", 405, "application/json"),
        ("PUT", "/v1/end-users/ada", 405, "application/json"),
        ("POST", "/health", 405, "application/problem+json"),
    ] {
        let response = client.send(method, path, None);
        assert_eq!(response.status, status, "{method} {path}: {response:?}");
        assert_eq!(response.header("content-type"), content_type, "{method} {path}");
        assert_eq!(response.header("x-request-id").len(), 26);
        assert_eq!(response.header("x-content-type-options"), "nosniff");
        assert!(response.body.contains(response.header("x-request-id")));
        assert_eq!(response.headers.contains_key("allow"), status == 405);
    }
    assert_eq!(client.send("DELETE", "/v1/end-users", None).header("allow"), "POST, GET, HEAD, OPTIONS");
}

#[test]
fn cross_origin_calls_are_for_allowed_origins_only() {
    let client = shared().new_client();
    let from = |origin: &str| client.clone().with_header("Origin", origin);
    let preflight = |path: &str, origin: &str| {
        shared()
            .anonymous()
            .with_header("Origin", origin)
            .with_header("Access-Control-Request-Method", "POST")
            .with_header("Access-Control-Request-Headers", "authorization, content-type")
            .send("OPTIONS", path, None)
    };
    let allowed = from("https://app.example").get("/v1/end-users");
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.example");
    assert!(allowed.header("access-control-expose-headers").contains("X-RateLimit-Remaining"));
    assert_eq!(allowed.header("vary"), "Origin");
    let answered = preflight("/v1/end-users", "https://app.example");
    assert_eq!((answered.status, answered.body.as_str()), (204, ""));
    assert_eq!(answered.header("access-control-allow-origin"), "https://app.example");
    assert!(answered.header("access-control-allow-methods").contains("POST"));
    let headers = answered.header("access-control-allow-headers").to_lowercase();
    let headers: Vec<&str> = headers.split(", ").collect();
    // Whatever published clients send, but the credential of services.
    for sent in ["authorization", "content-type", "idempotency-key", "user-agent", "x-api-key", "x-uniqos-sdk"] {
        assert!(headers.contains(&sent), "{sent}: {headers:?}");
    }
    assert!(!headers.contains(&"x-assistant-service-key") && !headers.contains(&"x-rollcall-distance"));

    for stranger in ["https://evil.example", "https://app.example.evil.example", "null", "http://app.example"] {
        for response in [from(stranger).get("/v1/end-users"), preflight("/v1/end-users", stranger)] {
            assert!(!response.headers.keys().any(|name| name.starts_with("access-control")), "{response:?}");
            assert_eq!(response.header("vary"), "Origin");
        }
    }
    for path in ["/admin/v1/organizations", "/api/v1/principals"] {
        for response in [from("https://app.example").get(path), preflight(path, "https://app.example")] {
            assert!(!response.headers.keys().any(|name| name.starts_with("access-control")), "{path}: {response:?}");
        }
    }
}

/// A deployment is never reached by a local host name.
#[test]
fn the_demo_key_is_for_the_pages_of_the_machine_itself() {
    let key = "sk_live_0123456789";
    let told_to = |server: &Server, host: &str, site: &[&str]| {
        let client = server.anonymous().with_header("Host", host);
        let client = site.iter().fold(client, |client, site| client.with_header("Sec-Fetch-Site", site));
        let response = client.get("/demo.json");
        assert_eq!(response.header("cache-control"), "no-store, no-transform");
        expect(200, response)
    };
    let told = |server: &Server, host: &str| told_to(server, host, &["same-origin"]);
    let day_ms = 86_400_000;
    assert_eq!(
        told(shared(), "localhost"),
        json!({ "api_key": null, "distance_ms_max": 0, "mood_half_life_ms": day_ms }),
        "none is set"
    );
    let vars = [("DEMO_API_KEY", key.to_owned()), ("MOOD_HALF_LIFE_HOURS", "2".to_owned())];
    let vars = [roomy(), vars.to_vec()].concat();
    let server = Server::start(Options { vars, entry: None });
    assert_eq!(
        told(&server, "127.0.0.1:8787"),
        json!({ "api_key": key, "distance_ms_max": 0, "mood_half_life_ms": 7_200_000 })
    );
    for host in ["rollcall.example.workers.dev", "localhost.example", "127.0.0.1.example:8787"] {
        assert_eq!(
            told(&server, host),
            json!({ "api_key": null, "distance_ms_max": 0, "mood_half_life_ms": 7_200_000 }),
            "{host}"
        );
    }
    // A page whose own name points at this machine can claim a local URL, but no relation to it.
    for site in [[].as_slice(), &["none"], &["same-site"], &["cross-site"]] {
        assert_eq!(told_to(&server, "127.0.0.1:8787", site)["api_key"], Value::Null, "{site:?}");
    }
}

/// A deployment is as far from its objects as it is, whatever a request says.
#[test]
fn a_request_waits_for_the_distance_it_asks_for_only_where_the_variable_is_set() {
    const ASKED: Duration = Duration::from_secs(1);
    let vars = [roomy(), vec![("DEMO_DISTANCE_MS_MAX", "1000".to_owned())]].concat();
    let far = Server::start(Options { vars, entry: None });
    let timed = |client: &Client| {
        let started = Instant::now();
        expect(200, client.get("/v1/usage/turns"));
        started.elapsed()
    };
    let asks = |server: &Server| server.new_client().with_header("X-Rollcall-Distance", "1000");
    let client = asks(&far);
    for _ in 0..3 {
        assert!(timed(&client) >= ASKED);
    }
    // A busy machine may be as slow once, but not each time.
    let is_near = |took: &Duration| *took < ASKED;
    for (what, client) in [
        ("the variable is not set", asks(shared())),
        ("a deployment's name", client.with_header("Host", "rollcall.example.workers.dev")),
    ] {
        wait::until(what, || timed(&client), is_near);
    }
    let told = |host: &str| expect(200, far.anonymous().with_header("Host", host).get("/demo.json"));
    assert_eq!(told("localhost")["distance_ms_max"], 1_000);
    assert_eq!(told("rollcall.example.workers.dev")["distance_ms_max"], 0);
}

#[test]
fn answers_say_that_they_are_no_pages() {
    let client = shared().anonymous();
    for path in ["/health", "/v1/end-users", "/nothing"] {
        let response = client.get(path);
        assert_eq!(response.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{path}");
        assert_eq!(response.header("referrer-policy"), "no-referrer", "{path}");
        assert!(!response.headers.contains_key("strict-transport-security"), "by http, as here");
    }
}

#[test]
fn every_request_leaves_one_log_line_without_secrets() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let issued = server.issue(&organization, &json!({ "kind": "api", "mode": "live", "name": "k" }));
    let key = issued["key"].as_str().expect("a key").to_owned();
    let client = server.with_key(&key);
    let canary = "canary-5f2d";
    let responses = [
        (
            "POST",
            "/v1/end-users",
            client.post("/v1/end-users", &json!({ "user_id": canary, "metadata": { "m": canary } })),
        ),
        ("GET", "/v1/end-users/{user_id}", client.get(&format!("/v1/end-users/{canary}"))),
        ("POST", "/v1/end-users", client.post("/v1/end-users", &json!({ "user_id": [canary] }))),
        ("GET", "/v1/end-users", server.with_key(&format!("{canary}{key}")).get("/v1/end-users")),
        ("GET", "unmatched", client.get(&format!("/v1/{canary}"))),
    ];
    for (method, route, response) in &responses {
        let line = server.log_line(response.header("x-request-id"));
        assert_eq!((&line["method"], &line["route"]), (&json!(method), &json!(route)));
        assert_eq!(line["status"], response.status);
        assert!(line["durationMs"].is_u64());
        // A key that is none is refused by its tag.
        assert_eq!(line["objectMs"].is_u64(), response.status != 401 && *route != "unmatched", "{line}");
        assert!(line["listingMs"].is_null() && line["recordsMs"].is_null(), "{line}");
        let outcome = if response.status < 400 { json!("ok") } else { response.json()["error"]["code"].clone() };
        assert_eq!(line["outcome"], outcome);
        let known = response.status != 401 && *route != "unmatched";
        assert_eq!(line["organizationId"], if known { json!(organization.id) } else { Value::Null });
        let text = line.to_string();
        assert!(!text.contains(canary) && !text.contains(&key), "{text}");
    }
    let listed = client.get("/v1/end-users");
    let line = server.log_line(listed.header("x-request-id"));
    assert!(line["objectMs"].is_u64() && line["listingMs"].is_u64() && line["recordsMs"].is_null(), "{line}");
    let rest = server.log_lines().join("\n");
    assert!(!rest.contains(canary) && !rest.contains(&key), "{rest}");
}

#[test]
fn a_worker_without_its_secrets_says_so_and_leaks_nothing() {
    let server = Server::start(Options { vars: vec![("KEY_SECRET", String::new())], entry: None });
    let response = server.with_key("sk_live_x").get("/v1/end-users");
    assert_eq!(response.status, 500);
    assert_eq!(response.json()["error"]["code"], "internal_error");
    assert!(!response.body.contains("KEY_SECRET"));
    let line = server.log_line(response.header("x-request-id"));
    assert!(line["reason"].as_str().is_some_and(|reason| reason.contains("KEY_SECRET: is not set")), "{line}");
}
