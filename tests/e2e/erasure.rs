//! An erased person or agent leaves no trace: not in a row of any store, not in the stores' files, not in the log.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, types::ValueRef};
use serde_json::json;

use crate::agents::make_agent;
use crate::client::{Client, encode};
use crate::clock::{self, set_ahead};
use crate::delete_end_user::completed;
use crate::edge_reads::{REWRITTEN_AFTER, from_edge, near};
use crate::respond::{feel, turn};
use crate::server::{Options, Server, expect, roomy};
use crate::stores::{Store, kv_holds};
use crate::wait;

/// Text that cannot occur by chance.
const ID: &str = "canary-of-the-id/🦀@example.org";
const SECRETS: [&str; 5] =
    ["canary-first-name", "canary-first-plan", "canary-second-plan", "canary-last-plan", "canary-idempotency-key"];

/// Texts of an agent.
const AGENT: [&str; 5] = [
    "canary-external-id",
    "canary-first-agent",
    "canary-of-the-second-agent",
    "canary-first-role",
    "canary-of-the-second-role",
];

/// The first level of a mood as stores hold it: a turn moves it from 0 by a quarter of [`VALENCE`].
const MOOD: &str = "[[123457,";
const VALENCE: f64 = 0.493_828;

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

pub fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Every value of every row of every table of a database, as bytes.
pub fn values(file: &Path) -> Vec<(String, Vec<u8>)> {
    let database = Connection::open(file).expect("a database");
    let names = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).expect("a statement");
        let rows = statement.query_map([], |row| row.get(0)).expect("rows");
        rows.map(|row| row.expect("a name")).collect()
    };
    let mut values = Vec::new();
    for table in names("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        let mut statement = database.prepare(&format!("SELECT * FROM \"{table}\"")).expect("a table");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..columns {
                let bytes = match row.get_ref(column).expect("a column") {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
                    ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => continue,
                };
                values.push((format!("{table} in {}", file.display()), bytes));
            }
        }
    }
    values
}

/// Makes the person and changes them in every way. Their data gets into a copy in KV, the listing, an export and kept
/// answers.
fn live(client: &Client) {
    let path = format!("/v1/end-users/{}", encode(ID));
    let keyed = client.clone().with_header("Idempotency-Key", SECRETS[4]);
    let body = json!({ "user_id": ID, "display_name": SECRETS[0], "metadata": { "plan": SECRETS[1] } });
    assert_eq!(keyed.post("/v1/end-users", &body).status, 201);
    assert_eq!(keyed.post("/v1/end-users", &body).header("idempotency-replayed"), "true");
    let agent = make_agent(client, "kind");
    feel(client, &agent, ID, &json!({ "valence": VALENCE, "arousal": 0 }));
    // Its neighbour keeps SQLite from writing over the row by chance.
    turn(client, &agent, "other-00");
    expect(200, client.get("/v1/end-users"));
    // Each value is longer than the last, so that the old one stays behind in the file, and the last one needs
    // further pages.
    for (plan, padding) in [(SECRETS[2], 300), (SECRETS[3], 9_000)] {
        let metadata = json!({ "padding": "x".repeat(padding), "plan": plan });
        expect(200, client.patch(&path, &json!({ "metadata": metadata })));
        expect(200, client.get("/v1/end-users"));
        expect(200, client.get(&path));
    }
    from_edge(&near(client, 5), &path);
    expect(200, client.get(&format!("{path}/export")));
    let merge = ("application/merge-patch+json", br#"{"display_name":null}"#.as_slice());
    expect(200, client.send("PATCH", &path, Some(merge)));
}

/// Makes an agent and changes it. Returns its path.
fn live_as_agent(client: &Client) -> String {
    let [external_id, name, second_name, role, second_role] = AGENT;
    let body = json!({ "external_id": external_id, "name": name, "metadata": { "role": role } });
    let agent = expect(201, client.post("/api/v1/agents", &body));
    let path = format!("/api/v1/agents/{}", agent["agent_id"].as_str().expect("an id"));
    make_agent(client, "neighbour");
    let change = json!({ "name": second_name, "metadata": { "role": second_role } });
    expect(200, client.patch(&path, &change));
    path
}

#[test]
fn what_is_erased_leaves_no_trace() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let rows: Vec<_> = (0..40).map(|index| json!({ "user_id": format!("other-{index:02}") })).collect();
    expect(200, client.post("/v1/end-users/batch", &json!({ "users": rows })));
    live(&client);
    let agent = live_as_agent(&client);
    // The search finds the values while they exist.
    let databases = |folder: &Path| -> Vec<PathBuf> {
        files(folder).into_iter().filter(|file| file.extension().is_some_and(|name| name == "sqlite")).collect()
    };
    let held = |text: &str| {
        let found =
            databases(server.state()).iter().flat_map(|file| values(file)).any(|(_, value)| contains(&value, text));
        assert!(found, "{text} is nowhere to be found");
    };
    held(ID);
    held(SECRETS[3]);
    held(MOOD);
    held(AGENT[0]);
    held(AGENT[4]);
    assert!(kv_holds(server.state(), SECRETS[3]), "the copy is there");

    let accepted = expect(202, client.delete(&format!("/v1/end-users/{}", encode(ID))));
    set_ahead(&server, REWRITTEN_AFTER);
    completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    let accepted = expect(202, client.delete(&agent));
    completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    let tenant = format!("{}/live", organization.id);
    Store::D1.assert_users_eventually(server.state(), &tenant, 40);
    // The runtime removes overwritten values in the background.
    wait::until("KV to hold nothing", || kv_holds(server.state(), SECRETS[3]), |is_held| !is_held);
    server.kill();

    let canaries = [&[ID, MOOD], SECRETS.as_slice(), AGENT.as_slice()].concat();
    for (place, value) in databases(server.state()).iter().flat_map(|file| values(file)) {
        for canary in &canaries {
            assert!(!contains(&value, canary), "{canary} is left in {place}");
        }
    }
    for file in databases(server.state()) {
        let database = Connection::open(&file).expect("a database");
        let mode: String = database.query_row("PRAGMA journal_mode", [], |row| row.get(0)).expect("a mode");
        if mode == "wal" {
            database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
        }
    }
    for file in files(server.state()) {
        let bytes = std::fs::read(&file).expect("a file");
        for canary in &canaries {
            // The listing is ordered by ids, so ids are keys. SQLite cannot overwrite keys in place;
            // ARCHITECTURE.md says what happens to them.
            let key_of_the_listing = *canary == ID && file.to_string_lossy().contains("/d1/");
            assert!(!contains(&bytes, canary) || key_of_the_listing, "{canary} is left in {}", file.display());
        }
    }
    for line in server.log_lines() {
        for canary in &canaries {
            assert!(!line.contains(canary) && !line.contains(&encode(canary)), "{canary} was logged: {line}");
        }
    }
}
