//! `cargo deploy` against a stand-in of Cloudflare: see `cloudflare.mjs`.

mod button;
mod failures;
mod interruptions;
mod stand_in;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use stand_in::{Run, StandIn};

/// The names of what a first deployment prints.
const CREDENTIALS: [&str; 5] = ["ADMIN_TOKEN", "KEY_SECRET", "API key", "Test-mode key", "Service key"];

/// The one Worker of the account.
fn worker(stand_in: &StandIn) -> Value {
    let account = stand_in.account();
    assert_eq!(account["workers"].as_array().map(Vec::len), Some(1), "{account}");
    account["workers"][0].clone()
}

/// Asserts that a run ended with one deployment that answers, whose credentials it printed once. Returns them in the
/// order of [`CREDENTIALS`].
fn assert_first_deployment(stand_in: &StandIn, run: &Run) -> Vec<String> {
    assert!(run.succeeded, "{run:?}");
    let credentials: Vec<String> = CREDENTIALS.map(|name| run.credential(name)).into();
    for value in &credentials {
        assert!(value.len() >= 32, "{value}");
        assert_eq!(run.printed().matches(value.as_str()).count(), 1, "{value}: {run:?}");
        assert!(files_with(&stand_in.kept(), value).is_empty(), "{value} is kept after it was shown");
    }
    let account = stand_in.account();
    assert_eq!(account["namespaces"].as_array().map(Vec::len), Some(1), "{account}");
    assert_eq!(account["databases"].as_array().map(Vec::len), Some(1), "{account}");
    let Value::Object(bindings) = worker(stand_in)["bindings"].take() else { panic!("no bindings: {account}") };
    assert_eq!(bindings["ADMIN_TOKEN"], json!({ "type": "secret_text", "text": credentials[0] }));
    assert_eq!(bindings["KEY_SECRET"], json!({ "type": "secret_text", "text": credentials[1] }));
    assert_eq!(bindings["RECORDS"]["namespace_id"], account["namespaces"][0]["id"]);
    assert_eq!(bindings["LISTING"]["id"], account["databases"][0]["uuid"]);

    let (status, organizations) = stand_in.ask("GET", "/admin/v1/organizations", &credentials[0], None);
    assert_eq!((status, organizations["data"].as_array().map(Vec::len)), (200, Some(1)), "{organizations}");
    let id = organizations["data"][0]["id"].as_str().expect("an id");
    let (_, keys) = stand_in.ask("GET", &format!("/admin/v1/organizations/{id}/keys"), &credentials[0], None);
    let keys = keys["data"].as_array().expect("the keys");
    assert_eq!(keys.iter().filter(|key| key["revoked_at"].is_null()).count(), 3, "{keys:?}");
    assert_eq!(register(stand_in, &credentials[2], "ada"), 201);
    assert_eq!(register(stand_in, &credentials[3], "ada"), 201, "test data is another");
    credentials
}

fn register(stand_in: &StandIn, key: &str, user_id: &str) -> u16 {
    stand_in.ask("POST", "/v1/end-users", key, Some(&json!({ "user_id": user_id }))).0
}

fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let holds = |path: &std::path::PathBuf| fs::read_to_string(path).is_ok_and(|content| content.contains(text));
    entries.filter(holds).map(|path| path.display().to_string()).collect()
}

#[test]
fn the_first_run_makes_a_deployment_and_the_next_ones_replace_the_worker_alone() {
    let stand_in = StandIn::start();
    let first = stand_in.deploy_and_verify();
    assert!(first.stdout.contains("deletion                ok"), "it is verified: {first:?}");
    let credentials = assert_first_deployment(&stand_in, &first);
    assert!(first.stdout.contains(&format!("curl -i {}/v1/end-users", stand_in.url)), "{first:?}");
    assert_eq!(worker(&stand_in)["crons"], json!(["*/15 * * * *"]));
    assert_eq!(worker(&stand_in)["update"], json!({ "mode": "immediate" }), "of objects that run");
    let before = stand_in.account();
    assert_eq!(before["deployed"], 1, "{before}");

    let nameless = stand_in.deploy(None);
    assert!(!nameless.succeeded && nameless.stderr.contains("ROLLCALL_ADMIN_TOKEN"), "{nameless:?}");
    assert_eq!(stand_in.account(), before, "a run without the operator's token changed something");

    let second = stand_in.deploy(Some(&credentials[0]));
    assert!(second.succeeded, "{second:?}");
    assert!(second.stdout.contains(&format!("Rollcall is serving at {}", stand_in.url)), "{second:?}");
    for value in &credentials {
        assert!(!second.printed().contains(value), "{value}: {second:?}");
    }
    let mut after = stand_in.account();
    assert_eq!(after["deployed"].take(), 2, "{after}");
    after["deployed"] = json!(1);
    assert_eq!(after, before, "a second deployment changed more than the version");
    assert_eq!(register(&stand_in, &credentials[2], "ada"), 200, "the user is there");
    assert!(
        fs::read_dir(stand_in.kept())
            .expect("a folder")
            .all(|entry| { !entry.expect("an entry").file_name().to_string_lossy().contains("rollcall") })
    );

    let wrong = stand_in.deploy(Some("another-token-of-thirty-two-characters"));
    assert!(!wrong.succeeded && wrong.stderr.contains("another ADMIN_TOKEN"), "{wrong:?}");

    stand_in.query("INSERT INTO d1_migrations (name) VALUES ('9999_later.sql')");
    let deployed = stand_in.account()["deployed"].clone();
    let older = stand_in.deploy(Some(&credentials[0]));
    assert!(!older.succeeded && older.stderr.contains("9999_later.sql"), "{older:?}");
    assert_eq!(stand_in.account()["deployed"], deployed, "an older build was deployed over a newer database");
}

#[test]
fn without_a_login_it_says_how_to_log_in() {
    let stand_in = StandIn::start();
    let run = stand_in::run(stand_in.command().env_remove("CLOUDFLARE_API_TOKEN"));
    assert!(!run.succeeded && run.stderr.contains("npx wrangler login"), "{run:?}");
    assert_eq!(stand_in.calls(), Vec::<String>::new());
    assert!(
        fs::read_dir(stand_in.kept()).expect("a folder").all(|entry| entry.expect("an entry").file_name() == "lock")
    );
}

#[test]
fn without_a_workers_dev_subdomain_it_says_where_to_register_one() {
    let stand_in = StandIn::start_with_subdomain("");
    let run = stand_in.deploy(None);
    assert!(!run.succeeded && run.stderr.contains("https://dash.cloudflare.com/"), "{run:?}");
    assert!(run.stderr.contains("Register a workers.dev subdomain where wrangler says"), "{run:?}");
    assert_eq!(stand_in.account()["deployed"], 0);
}

#[test]
fn the_operators_token_goes_to_no_plain_address() {
    let stand_in = StandIn::start();
    for url in ["http://users.example.com", "users.example.com", "https://", "http://127.0.0.1.example.com", "ftp://a"]
    {
        let run = stand_in::run(stand_in.command().args(["--url", url]));
        assert!(!run.succeeded && run.stderr.contains("https://"), "{url}: {run:?}");
    }
    assert_eq!(stand_in.calls(), Vec::<String>::new());
}
