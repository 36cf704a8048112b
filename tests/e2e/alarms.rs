//! The alarm of an object, which the platform forgets after six failures.

use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::json;

use crate::clock::now_ms;
use crate::server::{Options, Server, expect, roomy};
use crate::stores::{Store, next_alarm_ms};
use crate::wait;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Changes what the runtime has noted of alarms, while it is down: the time at which each object's alarm comes, in
/// milliseconds, as the object sees it, and as the runtime does.
fn set_alarms(server: &Server, of_object: Option<i64>, of_runtime: Option<i64>) {
    let change = |file: PathBuf, at_ms: Option<i64>, update: &str, delete: &str| {
        let database = Connection::open(file).expect("a store");
        match at_ms {
            Some(at_ms) => database.execute(update, [at_ms * 1_000_000]),
            None => database.execute(delete, []),
        }
        .unwrap_or_default()
    };
    let objects = Store::Objects.files(server.state()).into_iter().map(|file| {
        let update = "UPDATE _cf_METADATA SET value = ? WHERE key = 1";
        change(file, of_object, update, "DELETE FROM _cf_METADATA WHERE key = 1")
    });
    assert!(objects.sum::<usize>() > 0, "an object has an alarm");
    let runtime = server.state().join(Store::Objects.folder()).join("metadata.sqlite");
    let update = "UPDATE _cf_ALARM SET scheduled_time = ?";
    assert!(change(runtime, of_runtime, update, "DELETE FROM _cf_ALARM") > 0, "an alarm is set");
}

#[test]
fn an_object_without_an_alarm_sets_it_when_it_is_called() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let mut client = server.new_client();
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    // Either the object notes none, or one that should have come long ago.
    for of_object in [None, Some(now_ms() - DAY_MS)] {
        let alarm = || next_alarm_ms(server.state());
        let is_a_days = |at_ms: &Option<i64>| at_ms.is_some_and(|at_ms| at_ms > now_ms() + DAY_MS / 2);
        let at_ms = wait::until("the alarm for the next audit", alarm, is_a_days).expect("an alarm");
        assert!(at_ms <= now_ms() + DAY_MS);

        server.kill();
        set_alarms(&server, of_object, None);
        server.restart();
        client.move_to(server.url());
        assert_eq!(next_alarm_ms(server.state()), None);
        // A read that changes nothing.
        expect(200, client.get("/v1/end-users/ada"));
        let alarm = || next_alarm_ms(server.state());
        wait::until("the alarm to be set again", alarm, Option::is_some);
    }
}

/// No request and no cron trigger begins the audit.
#[test]
fn an_object_audits_itself_once_a_day() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let tenant = format!("{}/live", organization.id);
    for user_id in ["ada", "bob"] {
        expect(201, client.post("/v1/end-users", &json!({ "user_id": user_id })));
    }
    Store::D1.assert_users_eventually(server.state(), &tenant, 2);
    let path = format!("{}/repair", organization.path());
    assert_eq!(server.admin().get(&path).status, 404, "there was no audit yet");
    let alarm = || next_alarm_ms(server.state());
    wait::until("the alarm for the next audit", alarm, |at_ms| {
        at_ms.is_some_and(|at_ms| at_ms > now_ms() + DAY_MS / 2)
    });

    server.kill();
    let mut due = 0;
    for file in Store::Objects.files(server.state()) {
        let database = Connection::open(file).expect("an object");
        due += database.execute("UPDATE state SET value = 1 WHERE name = 'audit_due_at'", []).unwrap_or_default();
    }
    assert!(due > 0, "an audit is due");
    for file in Store::D1.files(server.state()) {
        let database = Connection::open(file).expect("the listing");
        let _ = database.execute("DELETE FROM end_users WHERE user_id = 'ada'", []);
    }
    let now_ms = now_ms();
    set_alarms(&server, Some(now_ms), Some(now_ms));
    server.restart();
    Store::D1.assert_users_eventually(server.state(), &tenant, 2);
    let report = expect(200, server.admin().get(&path));
    assert_eq!(report["modes"][0]["listing"]["missing"], 1, "{report}");
}
