//! `GET /admin/v1/diagnostics`.

use serde_json::{Value, json};

use crate::server::{Options, Server, expect, roomy, shared};

const PATH: &str = "/admin/v1/diagnostics";

fn setting<'a>(diagnostics: &'a Value, name: &str) -> &'a Value {
    let settings = diagnostics["settings"].as_array().expect("settings");
    settings.iter().find(|setting| setting["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn the_operator_sees_what_is_deployed() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let diagnostics = expect(200, server.admin().get(PATH));
    assert_eq!(diagnostics["$schema"], "/api/v1/schemas/Diagnostics.json");
    assert_eq!(diagnostics["build"]["version"], env!("CARGO_PKG_VERSION"));
    let (bindings, build) = (&diagnostics["bindings"], &diagnostics["build"]);
    for binding in ["objects", "kv", "d1"] {
        assert_eq!(bindings[binding]["error"], Value::Null, "{binding}");
        assert!(bindings[binding]["latency_ms"].is_u64(), "{binding}");
    }
    assert_eq!(bindings["d1"]["schema_version"], build["d1_schema_version"]);
    assert_eq!((&bindings["organization"], &bindings["ai"]), (&Value::Null, &json!(false)));
    assert_eq!(diagnostics["has_client_address"], true);
    assert_eq!(setting(&diagnostics, "ALLOWED_ORIGINS")["value"], "https://app.example");
    assert_eq!(setting(&diagnostics, "JURISDICTION")["is_set"], false);
    assert!(diagnostics["settings"].as_array().expect("settings").iter().all(|setting| setting["fault"].is_null()));

    // The object of the newest organization.
    server.organization();
    let organization = server.organization();
    let object = &expect(200, server.admin().get(PATH))["bindings"]["organization"];
    assert_eq!((&object["id"], &object["error"]), (&json!(organization.id), &Value::Null));
    assert_eq!(object["schema_version"], build["object_schema_version"]);
}

#[test]
fn nothing_of_a_secret_is_told() {
    let server = Server::start(Options {
        vars: [roomy(), vec![("RESPONDER_URL", "http://127.0.0.1:1/?key=s3cr3t".to_owned())]].concat(),
        entry: None,
    });
    let response = server.admin().get(PATH);
    assert!(!response.body.contains(server.admin_token()) && !response.body.contains("s3cr3t"), "{}", response.body);
    for name in ["KEY_SECRET", "ADMIN_TOKEN", "RESPONDER_URL"] {
        let expected = json!({ "name": name, "is_set": true, "value": null, "fault": null, "doubt": null });
        assert_eq!(*setting(&response.json(), name), expected);
    }
}

#[test]
fn each_run_of_the_cron_trigger_is_noted() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let cron = || expect(200, server.admin().get(PATH))["cron"].clone();
    assert_eq!((&cron()["ran_at"], &cron()["ran_s_ago"]), (&Value::Null, &Value::Null));
    assert!(cron()["noted_for_s"].is_u64());
    assert_eq!(server.anonymous().get("/cdn-cgi/local/scheduled").status, 200);
    let first = cron();
    assert!(first["ran_at"].is_string() && first["ran_s_ago"].is_u64(), "{first}");
    assert_eq!(server.anonymous().get("/cdn-cgi/local/scheduled").status, 200);
    assert!(cron()["ran_at"].as_str() > first["ran_at"].as_str());
}

/// Every other answer is 500 then.
#[test]
fn what_is_wrong_with_a_configuration_is_told_to_the_operator_only() {
    let vars = [
        ("KEY_SECRET", "short"),
        ("CLERK_ISSUER", "https://clerk.example"),
        ("CLERK_JWKS_URL", "http://clerk.example/jwks.json"),
        ("PUBLIC_BURST", "0"),
    ];
    let vars = vars.map(|(name, value)| (name, value.to_owned())).to_vec();
    let server = Server::start(Options { vars, entry: None });
    let response = server.admin().get(PATH);
    assert_eq!(response.header("cache-control"), "no-store, no-transform");
    let diagnostics = expect(200, response);
    for (name, fault) in [
        ("KEY_SECRET", "a secret must have at least 32 characters"),
        ("CLERK_JWKS_URL", "must be a URL that begins with https://"),
        ("PUBLIC_BURST", "must be a whole number above 0"),
    ] {
        let expected = json!({ "name": name, "is_set": true, "value": null, "fault": fault, "doubt": null });
        assert_eq!(*setting(&diagnostics, name), expected);
    }
    assert_eq!(setting(&diagnostics, "CLERK_ISSUER")["fault"], Value::Null);
    for client in [server.anonymous(), server.with_key("another-token-of-at-least-32-bytes")] {
        let refused = client.get(PATH);
        assert_eq!(refused.status, 500);
        assert!(!refused.body.contains("KEY_SECRET") && !refused.body.contains("CLERK"), "{refused:?}");
    }
    assert_eq!(server.admin().get("/admin/v1/organizations").status, 500);
}

#[test]
fn it_is_read_and_nothing_else() {
    let admin = shared().admin();
    assert_eq!(admin.get(&format!("{PATH}?secrets=true")).status, 422);
    let head = admin.send("HEAD", PATH, None);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let refused = admin.send("POST", PATH, None);
    assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD, OPTIONS"));
    let unknown = shared().anonymous().get(PATH);
    assert_eq!((unknown.status, unknown.header("www-authenticate")), (401, "Bearer"));
}
