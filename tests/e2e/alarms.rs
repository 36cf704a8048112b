//! The alarm of an object, which the platform forgets after six failures.

use rusqlite::Connection;
use serde_json::json;

use crate::clock::now_ms;
use crate::server::{Options, Server, expect, roomy};
use crate::stores::{Store, next_alarm_ms};
use crate::wait;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Changes the runtime's record of alarms, while the runtime is down.
fn change_alarms(server: &Server, statement: &str) {
    let file = server.state().join(Store::Objects.folder()).join("metadata.sqlite");
    let changed = Connection::open(file).expect("the record of alarms").execute(statement, []).expect("a change");
    assert!(changed > 0, "{statement}");
}

#[test]
fn an_object_without_an_alarm_sets_it_when_it_is_called() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let mut client = server.new_client();
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    let alarm = || next_alarm_ms(server.state());
    let is_a_days = |at_ms: &Option<i64>| at_ms.is_some_and(|at_ms| at_ms > now_ms() + DAY_MS / 2);
    let at_ms = wait::until("the alarm for the next audit", alarm, is_a_days).expect("an alarm");
    assert!(at_ms <= now_ms() + DAY_MS);

    server.kill();
    change_alarms(&server, "DELETE FROM _cf_ALARM");
    server.restart();
    client.move_to(server.url());
    assert_eq!(next_alarm_ms(server.state()), None);
    // A read that changes nothing.
    expect(200, client.get("/v1/end-users/ada"));
    let alarm = || next_alarm_ms(server.state());
    wait::until("the alarm to be set again", alarm, Option::is_some);
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
    change_alarms(&server, "UPDATE _cf_ALARM SET scheduled_time = 0");
    server.restart();
    Store::D1.assert_users_eventually(server.state(), &tenant, 2);
    let report = expect(200, server.admin().get(&path));
    assert_eq!(report["modes"][0]["listing"]["missing"], 1, "{report}");
}
