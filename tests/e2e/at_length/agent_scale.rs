//! The bound on the work of one page in the list of an agent's users, with 100,000 of them.

use std::time::{Duration, Instant};

use rollcall::directory::identifiers::RelationshipId;
use rollcall::directory::timestamp::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::agents::{PATH as AGENTS, assert_described, make_agent};
use crate::client::{Client, Response};
use crate::respond::feel;
use crate::server::{Options, Server, expect, roomy};
use crate::stores;
use crate::wait;

const USERS: usize = 100_000;
const PAGE_SIZE: usize = 500;
/// One user and one relationship per entry, and one more entry that shows whether another page follows. D1 counts each
/// entry twice more where a page is bounded in bytes.
const ROWS_MAX: u64 = 4 * (PAGE_SIZE as u64 + 1) + 1;
/// How often each of the two pages is timed, in turn. The times depend on the machine, so they are only printed. A
/// page that scans past 99,500 users reads as many rows, and the test counts the rows.
const REPETITIONS: usize = 60;
/// Longest time in which the object brings the listing up to date.
const FLUSH_LIMIT: Duration = Duration::from_mins(15);

fn user(index: usize) -> String {
    format!("user-{index:06}")
}

/// Gives every user without a relationship one with the agent, as a turn does. Each gets a row in the change log, so
/// that the object lists them: the shipped code writes the rows that the pages read.
fn relate_everybody(database: &mut Connection) {
    let transaction = database.transaction().expect("a transaction");
    {
        let mut relate = transaction
            .prepare(
                "INSERT INTO relationships
                 (relationship_id, user, agent, role, turns, created_at, last_interaction_at, mood)
                 SELECT ?1, ?2, agent, role, turns, created_at, last_interaction_at, mood FROM relationships
                 ORDER BY number LIMIT 1",
            )
            .expect("a statement");
        let mut others = transaction
            .prepare("SELECT number FROM users WHERE number NOT IN (SELECT user FROM relationships)")
            .expect("a statement");
        let others = others.query_map([], |row| row.get(0)).expect("users");
        let others: Vec<i64> = others.collect::<Result<_, _>>().expect("users");
        assert_eq!(others.len(), USERS - 1);
        let mut random = fastrand::Rng::new();
        for number in others {
            let mut bytes = [0; 10];
            random.fill(&mut bytes);
            let id = RelationshipId::new(Timestamp::from_millis(number), bytes).to_string();
            relate.execute((id, number)).expect("a relationship");
        }
    }
    let changes = "INSERT INTO changes (sequence, kind, at, actor, subject, reference, user, with_relationships)
                   SELECT (SELECT max(sequence) FROM changes) + row_number() OVER (ORDER BY number),
                          'repair', created_at, 'system', number, principal_id, number, 1
                   FROM users";
    transaction.execute(changes, []).expect("changes");
    transaction.commit().expect("a commit");
}

/// An agent with this many users. Taking a turn for each would take minutes.
fn populate(server: &mut Server) -> (Client, String) {
    let organization = server.organization();
    let tenant = format!("{}/live", organization.id);
    let mut client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Popular");
    feel(&client, &agent, &user(0), &json!({ "valence": 0.7, "arousal": -0.3, "tension": 0.1, "affiliation": 0.9 }));
    let started = Instant::now();
    let indices: Vec<usize> = (0..USERS).collect();
    for part in indices.chunks(500) {
        let describe = |index: &usize| {
            let metadata = json!({ "email": format!("{index}@example.com"), "plan": "pro" });
            json!({ "user_id": user(*index), "display_name": format!("Number {index}"), "metadata": metadata })
        };
        let users: Vec<Value> = part.iter().map(describe).collect();
        expect(200, client.post("/v1/end-users/batch", &json!({ "users": users })));
    }
    println!("{USERS} users registered in {:.1?}", started.elapsed());
    server.kill();
    let started = Instant::now();
    relate_everybody(&mut stores::object_of(server.state(), &tenant));
    println!("related in {:.1?}", started.elapsed());
    server.restart();
    client.move_to(server.url());
    let started = Instant::now();
    // No flush runs while pages are timed.
    let under_way = || stores::changes_under_way(server.state(), &tenant);
    wait::until_within(FLUSH_LIMIT, "the listing to be up to date", under_way, |changes| *changes == 0);
    println!("listed {:.1?} later", started.elapsed());
    (client, agent)
}

struct Pages<'a> {
    server: &'a Server,
    client: &'a Client,
    agent: &'a str,
}

impl Pages<'_> {
    fn get(&self, cursor: Option<&str>) -> Response {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        self.client.get(&format!("{AGENTS}/{}/users?page_size={PAGE_SIZE}{cursor}", self.agent))
    }

    /// A page, and how many rows it read.
    fn read(&self, cursor: Option<&str>) -> (Value, u64) {
        let response = self.get(cursor);
        let rows_read = self.server.log_line(response.header("x-request-id"))["rowsRead"].as_u64().expect("rowsRead");
        assert_described(&response, "AgentUserList");
        (expect(200, response), rows_read)
    }

    fn time(&self, cursor: Option<&str>) -> Duration {
        let started = Instant::now();
        let response = self.get(cursor);
        let elapsed = started.elapsed();
        assert_eq!(response.status, 200, "{response:?}");
        elapsed
    }
}

fn median(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() / 2]
}

#[test]
fn the_last_page_of_a_hundred_thousand_costs_what_the_first_does() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let (client, agent) = populate(&mut server);
    let pages = Pages { server: &server, client: &client, agent: &agent };

    // The walk returns every user once and in order.
    let (mut listed, mut rows, mut cursor) = (0, Vec::new(), None);
    let last_cursor = loop {
        let (page, rows_read) = pages.read(cursor.as_deref());
        let users = page["users"].as_array().expect("users");
        assert_eq!(users.len(), PAGE_SIZE);
        for entry in users {
            assert_eq!(entry["user_id"], user(listed).as_str());
            assert!(entry["mood"].is_object(), "{entry}");
            listed += 1;
        }
        assert!(rows_read <= ROWS_MAX, "page {} read {rows_read} rows", rows.len());
        rows.push(rows_read);
        match page["next_cursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break cursor,
        }
    };
    assert_eq!((listed, rows.len()), (USERS, USERS / PAGE_SIZE));
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    println!("{USERS} users of one agent, pages of {PAGE_SIZE}: the first read {first} rows, the last {last}");
    assert!(first.abs_diff(last) * 100 <= first, "{first} rows and {last}");

    let (mut of_first, mut of_last) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        of_first.push(pages.time(None));
        of_last.push(pages.time(last_cursor.as_deref()));
    }
    let (of_first, of_last) = (median(of_first), median(of_last));
    let ratio = of_last.as_secs_f64() / of_first.as_secs_f64();
    println!(
        "medians of {REPETITIONS}, in turn: the first took {of_first:.2?}, the last {of_last:.2?}: {ratio:.3} times"
    );
}
