//! Projections that were damaged from outside. The object finds and mends the damage: on demand, when a flush
//! notices it, and once a day.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::Client;
use crate::edge_reads::{from_edge, near};
use crate::pages::PageCount;
use crate::respond::feel;
use crate::server::{Options, Organization, Server, expect, roomy};
use crate::stores::{self, Store};
use crate::wait;

const USERS: usize = 250;
/// How many of them have copies in KV.
const COPIED: usize = 20;
/// Longer than KV may take to show a copy that was written, in milliseconds. An audit judges no younger one.
const SHOWN_AFTER_MS: i64 = 360_000;

struct Damaged {
    server: Server,
    organization: Organization,
    client: Client,
}

impl Damaged {
    /// An organization with users in all three stores.
    fn populated() -> Self {
        let server = Server::start(Options { vars: roomy(), entry: None });
        let organization = server.organization();
        let client = server.client(&organization, "live", "read_write");
        let rows: Vec<_> = (0..USERS).map(|index| json!({ "user_id": format!("u{index:03}") })).collect();
        expect(200, client.post("/v1/end-users/batch", &json!({ "users": rows })));
        expect(200, client.get("/v1/end-users"));
        let damaged = Self { server, organization, client };
        for index in 0..COPIED {
            from_edge(&near(&damaged.client, 5), &format!("/v1/end-users/u{index:03}"));
        }
        assert_eq!(damaged.copies().len(), COPIED);
        // A running flush would mend the damage before an audit sees it.
        let under_way = || stores::changes_under_way(damaged.server.state(), &damaged.tenant());
        wait::until("the listing to be confirmed", under_way, |changes| *changes == 0);
        damaged
    }

    fn tenant(&self) -> String {
        format!("{}/live", self.organization.id)
    }

    fn copies(&self) -> BTreeSet<String> {
        stores::kv_keys(self.server.state(), &self.tenant())
    }

    /// Runs statements on a store's own file while the runtime is stopped. `?1` is the tenant.
    fn damage(&mut self, store: Store, table: &str, statements: &[&str]) {
        self.server.kill();
        let open = |file: &PathBuf| {
            let database = Connection::open(file).expect("the store");
            let found = database.query_row("SELECT 1 FROM sqlite_schema WHERE name = ?", [table], |_| Ok(()));
            found.is_ok().then_some(database)
        };
        let database = store.files(self.server.state()).iter().find_map(open).expect("the store's own file");
        for statement in statements {
            assert!(database.execute(statement, [self.tenant()]).expect("damage") > 0, "{statement}");
        }
        drop(database);
        self.server.restart();
        let url = self.server.url().to_owned();
        self.client.move_to(&url);
    }

    /// Requests a repair, waits until it completes, and returns the report of mode live.
    fn repair(&self) -> Value {
        let path = format!("{}/repair", self.organization.path());
        let answer = self.server.admin().post(&path, &json!({}));
        assert!([200, 202].contains(&answer.status), "{answer:?}");
        let report = self.completed();
        assert_eq!(report["organization_id"], self.organization.id);
        let [live, test] = [&report["modes"][0], &report["modes"][1]];
        assert_eq!((&live["mode"], &test["mode"]), (&json!("live"), &json!("test")));
        assert_eq!(differences(test), (false, json!([0, 0, 0]), json!([0, 0, 0])), "the other mode is not touched");
        live.clone()
    }

    /// Waits until the last repair completes, and returns its report.
    fn completed(&self) -> Value {
        let path = format!("{}/repair", self.organization.path());
        let report = || expect(200, self.server.admin().get(&path));
        wait::until("the end of a repair", report, |report| report["status"] == "completed")
    }

    /// Damages copies while the runtime is stopped, and makes them old enough for an audit. Returns the keys of the copies.
    fn damage_copies(&mut self) -> BTreeSet<String> {
        let copies = self.copies();
        let keys: Vec<&String> = copies.iter().collect();
        let (epoch, _) = keys[0].rsplit_once('/').expect("a key of a copy");
        // Three are missing under their own keys, and stand under one of an earlier build, one of another epoch, and one of
        // a user who is not there.
        let to = ["?1 || '/end-users/x'".to_owned(), "?1 || '/copies/12345/x'".to_owned(), format!("'{epoch}/x'")];
        let moved = std::iter::zip(&to, &keys)
            .map(|(to, from)| format!("UPDATE _mf_entries SET key = {to} WHERE key = '{from}' AND ?1 <> ''"));
        let missing = format!("DELETE FROM _mf_entries WHERE key IN ('{}', '{}') AND ?1 <> ''", keys[3], keys[4]);
        // Two have each other's values.
        let [first, second] = [keys[5].as_str(), keys[6].as_str()];
        let exchanged = [(first, "other"), (second, first), ("other", second)]
            .map(|(from, to)| format!("UPDATE _mf_entries SET key = '{to}' WHERE key = '{from}' AND ?1 <> ''"));
        let statements: Vec<String> = moved.chain([missing]).chain(exchanged).collect();
        self.server.kill();
        let age = "UPDATE copies SET written_at = written_at - ?";
        let aged = stores::object_of(self.server.state(), &self.tenant()).execute(age, [SHOWN_AFTER_MS]);
        assert_eq!(aged.expect("the copies"), COPIED);
        self.damage(Store::Kv, "_mf_entries", &statements.iter().map(String::as_str).collect::<Vec<_>>());
        copies
    }

    fn assert_lists_everybody(&self) {
        let (mut listed, mut pages) = (Vec::new(), PageCount::default());
        let mut path = "/v1/end-users?limit=200".to_owned();
        loop {
            pages.add();
            let page = expect(200, self.client.get(&path));
            listed.extend(page["data"].as_array().expect("a list").iter().map(|user| user["user_id"].clone()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("/v1/end-users?limit=200&cursor={cursor}");
        }
        let expected: Vec<Value> = (0..USERS).map(|index| json!(format!("u{index:03}"))).collect();
        assert_eq!(listed, expected);
    }
}

/// Repairs an organization, and asserts that there was nothing to repair.
pub fn assert_nothing_differs(server: &Server, organization: &Organization) {
    let path = format!("{}/repair", organization.path());
    let asked = server.admin().post(&path, &json!({}));
    assert!([200, 202].contains(&asked.status), "{asked:?}");
    let report = || expect(200, server.admin().get(&path));
    let report = wait::until("the end of a repair", report, |report| report["status"] == "completed");
    for mode in report["modes"].as_array().expect("modes") {
        assert_eq!(differences(mode), (false, json!([0, 0, 0]), json!([0, 0, 0])), "{report}");
    }
}

/// Whether the fence was reset, and the differences of listing and cache.
fn differences(mode: &Value) -> (bool, Value, Value) {
    let of = |store: &Value| json!([store["missing"], store["outdated"], store["foreign"]]);
    (mode["listing_fence_reset"] == true, of(&mode["listing"]), of(&mode["cache"]))
}

#[test]
fn damage_is_reported_and_mended() {
    let mut damaged = Damaged::populated();
    damaged.damage(
        Store::D1,
        "end_users",
        &[
            "DELETE FROM end_users WHERE tenant = ?1 AND user_id IN ('u001', 'u002', 'u249')",
            "UPDATE end_users SET document = '{\"user_id\":\"u100\"}' WHERE tenant = ?1 AND user_id = 'u100'",
            "UPDATE end_users SET version = 7 WHERE tenant = ?1 AND user_id = 'u101'",
            "INSERT INTO end_users VALUES (?1, 'nobody', 1, 5, NULL, '{}', '{\"user_id\":\"nobody\"}')",
        ],
    );
    damaged.damage_copies();
    let report = damaged.repair();
    // A repair begins an epoch, so the object overwrites all copies of its own. The others go as foreign.
    assert_eq!(differences(&report), (false, json!([3, 2, 1]), json!([0, 0, 3])), "{report}");
    assert_eq!(report["users_compared"], json!(USERS));
    let holds_copies = || stores::has_copy_with(damaged.server.state(), &damaged.tenant(), "\"user_id\"");
    wait::until("KV to hold no copy", holds_copies, |holds| !holds);
    damaged.assert_lists_everybody();
    Store::D1.assert_users_eventually(damaged.server.state(), &damaged.tenant(), 250);
    for index in 0..COPIED {
        let read = from_edge(&near(&damaged.client, 5), &format!("/v1/end-users/u{index:03}"));
        assert_eq!(read.json()["user_id"], json!(format!("u{index:03}")), "no reader gets what was damaged");
    }
    let again = damaged.repair();
    let (is_reset, listing, _) = differences(&again);
    assert_eq!((is_reset, listing), (false, json!([0, 0, 0])), "{again}");
}

/// D1 is set back to an earlier moment. The next flush notices that the fence has moved, and the object mends the
/// listing without a request.
#[test]
fn a_listing_that_was_lost_mends_itself() {
    let mut damaged = Damaged::populated();
    let lost = ["DELETE FROM end_users WHERE tenant = ?1", "DELETE FROM projections WHERE tenant = ?1"];
    damaged.damage(Store::D1, "end_users", &lost);
    assert_eq!(damaged.client.post("/v1/end-users", &json!({ "user_id": "later" })).status, 201);
    Store::D1.assert_users_eventually(damaged.server.state(), &damaged.tenant(), 251);
    expect(202, damaged.client.delete("/v1/end-users/later"));
    damaged.assert_lists_everybody();
    let report = damaged.completed();
    let live = &report["modes"].as_array().expect("the modes that had one")[0];
    assert_eq!((&live["listing_fence_reset"], &live["listing"]["foreign"]), (&json!(true), &json!(0)), "{live}");
}

/// The cron trigger starts the audits that are due, although the row of another organization does not read.
#[test]
fn an_audit_comes_by_itself() {
    let mut damaged = Damaged::populated();
    let lost = "DELETE FROM end_users WHERE tenant = ?1 AND user_id > 'u200'";
    let unreadable =
        "INSERT INTO organizations (id, slug, version, document, live_audited_at) VALUES ('0', ?1, 1, '{', -1)";
    damaged.damage(Store::D1, "end_users", &[lost, unreadable]);
    let copies = damaged.damage_copies();
    let path = format!("{}/repair", damaged.organization.path());
    assert_eq!(damaged.server.admin().get(&path).status, 404, "there was none yet");
    assert_eq!(damaged.server.anonymous().get("/cdn-cgi/local/scheduled").status, 200);
    let is_tick = |line: &String| line.contains("\"scheduled\"");
    let tick = wait::until("the log line", || damaged.server.log_lines().into_iter().find(is_tick), Option::is_some);
    let tick: Value = serde_json::from_str(&tick.expect("it has come")).expect("JSON");
    assert_eq!((&tick["started"], &tick["unreadable"]), (&json!(1), &json!(1)), "{tick}");
    let listed = expect(200, damaged.server.admin().get("/admin/v1/organizations"));
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "what does not read is left out: {listed}");
    Store::D1.assert_users_eventually(damaged.server.state(), &damaged.tenant(), 250);
    damaged.assert_lists_everybody();
    let report = damaged.completed();
    assert_eq!(differences(&report["modes"][0]), (false, json!([49, 0, 0]), json!([5, 2, 3])), "{report}");
    wait::until("the copies to be written again", || damaged.copies(), |kept| *kept == copies);
    for index in 0..COPIED {
        let read = from_edge(&near(&damaged.client, 5), &format!("/v1/end-users/u{index:03}"));
        assert_eq!(read.json()["user_id"], json!(format!("u{index:03}")));
    }
    let started_at = report["modes"][0]["started_at"].clone();
    assert_eq!(damaged.server.anonymous().get("/cdn-cgi/local/scheduled").status, 200);
    let report = expect(200, damaged.server.admin().get(&path));
    assert_eq!(report["modes"][0]["started_at"], started_at, "the next is due in a day");
}

#[test]
fn repairs_are_the_operators() {
    let server = crate::server::shared();
    let organization = server.organization();
    let path = format!("{}/repair", organization.path());
    assert_eq!(server.anonymous().post(&path, &json!({})).status, 401);
    assert_eq!(server.client(&organization, "live", "read_write").post(&path, &json!({})).status, 401);
    assert_eq!(server.admin().send("POST", &path, Some(("application/json", b"{\"force\":true}"))).status, 422);
    assert_eq!(server.admin().send("POST", &path, Some(("application/json", b"[]"))).status, 400);
    assert_eq!(
        server.admin().post("/admin/v1/organizations/01ARZ3NDEKTSV4RRFFQ69G5FAV/repair", &json!({})).status,
        404
    );
    assert_eq!(server.admin().send("POST", &path, None).status, 200, "no body is none to read");
}

/// A restored D1 holds persons again whom the object has erased, with their moods.
#[test]
fn nobody_inherits_what_a_restored_listing_holds_of_an_erased_person() {
    let mut damaged = Damaged::populated();
    make_agent(&damaged.client, "tutor");
    feel(&damaged.client, "tutor", "u000", &json!({ "valence": 1, "arousal": 1 }));
    let users = |damaged: &Damaged| -> Vec<Value> {
        let page = expect(200, damaged.client.get("/api/v1/agents/tutor/users"));
        page["users"].as_array().expect("a list").iter().map(|user| user["user_id"].clone()).collect()
    };
    assert_eq!(users(&damaged), ["u000"]);
    let under_way = || stores::changes_under_way(damaged.server.state(), &damaged.tenant());
    wait::until("the listing to be confirmed", under_way, |changes| *changes == 0);
    let relationship = |user: &str| {
        format!(
            "INSERT INTO agent_users SELECT tenant, agent_id, '{user}', entry FROM agent_users
             WHERE tenant = ?1 AND user_id = 'u000'"
        )
    };
    let row = "INSERT INTO end_users VALUES (?1, 'erased', 1, 5, NULL, '{}', '{\"user_id\":\"erased\"}')";
    damaged.damage(Store::D1, "end_users", &[row, &relationship("erased"), &relationship("made-again")]);
    assert_eq!(damaged.client.post("/v1/end-users", &json!({ "user_id": "made-again" })).status, 201);
    expect(200, damaged.client.get("/v1/end-users"));
    assert_eq!(users(&damaged), ["erased", "u000"], "who is made again begins with no relationships, repaired or not");
    assert_eq!(damaged.repair()["listing"]["foreign"], 1);
    assert_eq!(users(&damaged), ["u000"]);
    let related = "SELECT user_id AS text FROM agent_users WHERE tenant = ?1";
    let related = stores::listed(damaged.server.state(), related, &damaged.tenant());
    assert_eq!(related.into_iter().collect::<Vec<_>>(), ["u000"]);
}
