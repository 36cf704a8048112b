//! `cargo xtask verify` against deployments that are right, and against each of many that are not.

use serde_json::{Value, json};
use xtask::verify::examine;
use xtask::verify::report::{Finding, Report};

use crate::migrations;
use crate::server::{Options, Server, expect, roomy};
use crate::upstream::{Behaviour, Upstream};

const ENTRY: &str = "tests/runtime/misdeployed.mjs";

/// KV refuses to remove a copy that it has just taken, when the organization is deleted so soon.
fn start() -> Server {
    let server = Server::start(Options { vars: roomy(), entry: Some(ENTRY) });
    server.expect_refusals();
    server
}

fn deploy(server: &Server, deployment: &Value) {
    expect(200, server.anonymous().post("/__deployment", deployment));
}

fn verify(server: &Server) -> Report {
    examine(server.url(), server.admin_token()).expect("a report")
}

#[track_caller]
fn assert_good(report: &Report) {
    assert!(report.is_good(), "{report}");
    assert_eq!(report.distances.len(), 3, "{report}");
}

/// Asserts that the report has a fault of this check, with this in its message and this in what to do.
#[track_caller]
fn assert_fault(report: &Report, check: &str, what: &str, remedy: &str) {
    let mut faults = report.faults();
    let found = faults.any(|(name, fault)| name == check && fault.what.contains(what) && fault.remedy.contains(remedy));
    assert!(found, "no fault of {check} with {what:?} and {remedy:?}:\n{report}");
}

/// Deploys, and asserts that the report has the fault.
#[track_caller]
fn assert_wrong(server: &Server, deployment: &Value, check: &str, what: &str, remedy: &str) {
    println!("{deployment}");
    deploy(server, deployment);
    assert_fault(&verify(server), check, what, remedy);
}

/// None of the organizations that the command made is left.
#[track_caller]
fn assert_nothing_left(server: &Server) {
    deploy(server, &json!({}));
    assert_eq!(expect(200, server.admin().get("/admin/v1/organizations"))["data"], json!([]));
}

/// The statements of the first migrations.
fn first_migrations(count: usize) -> Vec<String> {
    migrations::statements(migrations::of(&xtask::root()).values().take(count))
}

#[test]
fn a_good_deployment_passes_and_nothing_is_left() {
    let server = start();
    let report = verify(&server);
    assert_good(&report);
    let cron = report.rows.iter().find(|row| row.check == "cron trigger").expect("a row");
    assert!(matches!(&cron.finding, Finding::Note(note) if note.contains("not run yet")), "{report}");
    assert_eq!(server.anonymous().get("/cdn-cgi/local/scheduled").status, 200);
    let report = verify(&server);
    assert_good(&report);
    let cron = report.rows.iter().find(|row| row.check == "cron trigger").expect("a row");
    assert_eq!(cron.finding, Finding::Good);
    assert_nothing_left(&server);
}

#[test]
fn settings_that_are_wrong_are_found() {
    let server = start();
    for (deployment, check, what, remedy) in [
        (
            json!({ "without": ["ADMIN_TOKEN"] }),
            "operator's token",
            "is not set",
            "npx wrangler secret put ADMIN_TOKEN",
        ),
        (
            json!({ "vars": { "ADMIN_TOKEN": "x".repeat(40) } }),
            "operator's token",
            "is another",
            "ROLLCALL_ADMIN_TOKEN",
        ),
        (json!({ "vars": { "ADMIN_TOKEN": "short" } }), "operator's token", "fewer than 32", "secret put ADMIN_TOKEN"),
        (
            json!({ "without": ["KEY_SECRET"] }),
            "settings",
            "KEY_SECRET: is not set",
            "npx wrangler secret put KEY_SECRET",
        ),
        (
            json!({ "vars": { "KEY_SECRET": "short" } }),
            "settings",
            "KEY_SECRET: a secret must have",
            "secret put KEY_SECRET",
        ),
        (
            json!({ "vars": { "CLERK_ISSUER": "https://clerk.example", "CLERK_JWKS_URL": "http://clerk.example/jwks" } }),
            "settings",
            "CLERK_JWKS_URL: must be a URL that begins with https://",
            "in wrangler.toml",
        ),
        (json!({ "vars": { "JURISDICTION": "mars" } }), "settings", "JURISDICTION: ", "set it"),
        (json!({ "vars": { "RESPONDER_URL": "api.example" } }), "settings", "RESPONDER_URL: must be a URL", "set it"),
    ] {
        assert_wrong(&server, &deployment, check, what, remedy);
    }
    assert_nothing_left(&server);
}

#[test]
fn settings_that_are_of_no_use_are_found() {
    let (server, upstream) = (start(), Upstream::start());
    upstream.otherwise(|_| Behaviour::Drop);
    let deployment = json!({ "vars": {
        "ALLOWED_ORIGINS": "https://app.example/",
        "CLERK_ISSUER": "https://clerk.example/",
        "CLERK_JWKS_URL": upstream.url(),
        "CLERK_AUTHORIZED_PARTIES": "https://app.example",
        "RESPONDER_URL": upstream.url(),
    } });
    deploy(&server, &deployment);
    let report = verify(&server);
    for (check, what, remedy) in [
        ("settings", "ALLOWED_ORIGINS: a browser never sends", "correct ALLOWED_ORIGINS"),
        ("settings", "CLERK_ISSUER: Clerk never names", "correct CLERK_ISSUER"),
        ("session tokens", "cannot be fetched", "CLERK_JWKS_URL"),
        ("turn", "the service that answers turns gives no answer", "RESPONDER_URL"),
    ] {
        assert_fault(&report, check, what, remedy);
    }
    assert_nothing_left(&server);
}

#[test]
fn bindings_that_are_missing_or_of_another_build_are_found() {
    let server = start();
    let migrate = "npx wrangler d1 migrations apply LISTING --remote";
    let other = |sql: Vec<String>| json!({ "d1": "OTHER", "sql": sql });
    let newer = vec!["UPDATE schema SET version = 99, served_from = 99".to_owned()];
    for (deployment, check, what, remedy) in [
        (json!({ "without": ["RECORDS"] }), "KV", "the binding RECORDS of KV is missing", "wrangler.toml"),
        (json!({ "without": ["LISTING"] }), "D1", "the binding LISTING of D1 is missing", "wrangler.toml"),
        (json!({ "d1": "OTHER" }), "D1", "no migration is applied", migrate),
        (other(first_migrations(1)), "D1", "no migration is applied", migrate),
        (
            other(first_migrations(4)[first_migrations(1).len()..].to_vec()),
            "D1",
            "have version 4, and this build expects 6",
            migrate,
        ),
        (other(newer), "D1", "have version 99", "deploy the build that made them"),
    ] {
        assert_wrong(&server, &deployment, check, what, remedy);
    }
    assert_nothing_left(&server);
}

#[test]
fn a_cron_trigger_that_does_not_run_is_found() {
    let server = start();
    let sql = |statement: &str| json!({ "sql": [statement] });
    let never = sql("UPDATE cron SET made_at = made_at - 3600000");
    assert_wrong(&server, &never, "cron trigger", "minutes since its table was made", "[triggers]");
    let long_ago = sql("UPDATE cron SET ran_at = made_at - 3600000");
    assert_wrong(&server, &long_ago, "cron trigger", "last ran", "[triggers]");
    assert_nothing_left(&server);
}

#[test]
fn what_stands_in_front_is_found() {
    let server = start();
    for (front, check, what, remedy) in [
        ("strips", "rate-limit headers", "has no header x-ratelimit-limit", "pass all its headers on"),
        ("strips", "security headers", "lacks the header x-content-type-options", "in front of the Worker"),
        ("marks", "request ids", " and ", "in front of the Worker"),
        ("caches", "nothing is cached", "of an earlier answer, so it comes from a cache", "no cache in front"),
        ("publishes", "nothing is cached", "public, max-age=60", "in front of the Worker"),
        ("compresses", "tags", "compresses or changes answers that say no-transform", "switch off compression"),
        ("hides", "client address", "without CF-Connecting-IP", "through Cloudflare"),
        ("secures", "address", "redirects to https://", "cargo xtask verify https://"),
        ("welcomes", "address", "is no Rollcall", "give the URL of the Worker"),
    ] {
        assert_wrong(&server, &json!({ "front": front }), check, what, remedy);
    }
    assert_nothing_left(&server);
}

#[test]
fn where_nothing_answers_the_command_says_so() {
    let server = start();
    let url = server.url().to_owned();
    server.kill();
    let report = examine(&url, "a-token").expect("a report");
    let faults: Vec<_> = report.faults().collect();
    assert_eq!(faults.len(), 1, "{report}");
    assert!(faults[0].1.what.contains("has no answer"), "{report}");
}
