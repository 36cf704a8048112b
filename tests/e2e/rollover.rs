//! A new billing period begins by itself.
//!
//! The local runtime's time cannot be set. So, while the runtime is stopped, the test moves the stored data one
//! period into the past. The files then hold what they would hold if everything had happened in the previous
//! period.

use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::quotas::Period;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::Client;
use crate::respond::{PATH, assert_error, assert_quota, relationship_of, turn, used};
use crate::server::{Options, Server, expect, roomy};
use crate::stores;

/// Moves everything that is counted in a period into the previous one. Returns both starts, in milliseconds.
fn move_back(database: &Connection) -> [i64; 2] {
    let anchor = database.query_row("SELECT anchor FROM settings", [], |row| row.get(0)).expect("the settings");
    let start: i64 =
        database.query_row("SELECT max(period_start) FROM counters", [], |row| row.get(0)).expect("a counter");
    let previous = Period::containing(Timestamp::from_millis(anchor), Timestamp::from_millis(start - 1));
    assert_eq!(previous.end.millis(), start);
    let before = previous.start.millis();
    for table in ["counters", "active_relationships", "ledger"] {
        let moved = database.execute(&format!("UPDATE {table} SET period_start = ?"), [before]).expect("to move");
        assert!(moved > 0, "{table}");
    }
    database.execute("UPDATE users SET turns_period = ?", [before]).expect("to move");
    [before, start]
}

fn ask(client: &Client, agent: &str, user: &str) -> crate::client::Response {
    client.post(PATH, &json!({ "message": "hello", "personality_id": agent, "user_id": user }))
}

fn counters(database: &Connection) -> Vec<(String, i64, i64)> {
    let mut select = database
        .prepare("SELECT metric, period_start, value FROM counters WHERE metric NOT LIKE '%.%' ORDER BY metric DESC, period_start")
        .expect("a statement");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("counters");
    rows.collect::<Result<_, _>>().expect("counters")
}

#[test]
fn a_new_period_begins_with_nothing_used() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization_with_quota(3, 1);
    let tenant = format!("{}/live", organization.id);
    let mut client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    for _ in 0..3 {
        turn(&client, &agent, "ada");
    }
    let refused = ask(&client, &agent, "ada");
    assert_error(&refused, 429, "quota_exhausted", "quota");
    assert_quota(&refused, (3, 3), (1, 1));
    let period = |client: &Client| {
        let usage = expect(200, client.get("/v1/usage/turns"));
        [usage["period_start"].clone(), usage["resets_at"].clone()]
    };
    let same = period(&client);

    server.kill();
    let [before, start] = move_back(&stores::object_of(server.state(), &tenant));
    server.restart();
    client.move_to(server.url());

    // The very first request is a turn, before anything else has run.
    let answered = ask(&client, &agent, "ada");
    assert_quota(&answered, (1, 3), (1, 1));
    assert_eq!(expect(200, answered)["usage"]["active_relationship_counted"], true, "once in each period");
    assert_eq!(used(&client), (1, 1));
    assert_eq!(period(&client), same);
    assert_eq!(relationship_of(&client, "ada")["turns"], 4, "a relationship goes on");
    assert_error(&ask(&client, &agent, "eve"), 403, "relationship_limit_reached", "quota");
    for _ in 0..2 {
        assert_eq!(turn(&client, &agent, "ada")["usage"]["active_relationship_counted"], Value::Bool(false));
    }
    assert_error(&ask(&client, &agent, "ada"), 429, "quota_exhausted", "quota");

    server.kill();
    let expected = [
        ("turns", before, 3),
        ("turns", start, 3),
        ("active_relationships", before, 1),
        ("active_relationships", start, 1),
    ]
    .map(|(metric, start, value)| (metric.to_owned(), start, value));
    assert_eq!(counters(&stores::object_of(server.state(), &tenant)), expected, "the period before is as it was");
}
