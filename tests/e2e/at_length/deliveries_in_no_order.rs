//! Clerk's events in no order, often more than once, through eight senders at once.

use std::collections::BTreeSet;

use rollcall::directory::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::clerk::History;
use crate::me;
use crate::server::expect;
use crate::webhooks::{receiver, tag};

const DELIVERIES: usize = 10_000;
const CONNECTIONS: usize = 8;

/// The right answer of `/me` for each person in an oracle's rows: the status, and the body without `$schema`.
fn owed(rows: &BTreeSet<String>) -> Vec<(String, Option<Value>)> {
    let rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).expect("a row")).collect();
    let of = |kind: &'static str| rows.iter().filter(move |row| row[0] == kind);
    let instant = |ms: &Value| Timestamp::from_millis(ms.as_i64().expect("a time")).to_string();
    of("person")
        .map(|person| {
            let id = person[1].as_str().expect("an id").to_owned();
            if person[4] == 1 {
                return (id, None);
            }
            let mut orgs = Vec::new();
            for organization in of("organization").filter(|organization| organization[6] == 0) {
                let belongs = |row: &&Value| row[2] == organization[1] && row[3] == person[1] && row[7] == 0;
                let Some(membership) = of("membership").find(belongs) else { continue };
                orgs.push(json!({
                    "id": organization[1], "name": organization[2], "slug": organization[3], "role": membership[4],
                    "member_count": organization[7], "created_at": instant(&organization[4]),
                }));
            }
            orgs.sort_by_key(|organization| organization["id"].to_string());
            (id, Some(json!({ "user_id": person[1], "email": person[2], "orgs": orgs })))
        })
        .collect()
}

/// Eight senders at once deliver each event at least once, and some events often.
#[test]
fn ten_thousand_deliveries_in_no_order_end_in_the_true_state() {
    let (receiver, tag) = (receiver(), tag());
    let seed = match std::env::var("ROLLCALL_SEED") {
        Ok(text) => text.parse().expect("ROLLCALL_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("ROLLCALL_SEED={seed}");
    let mut history = History::new(&tag, seed, 4_000);
    let deliveries = history.deliveries(DELIVERIES);
    std::thread::scope(|scope| {
        for part in deliveries.chunks(DELIVERIES / CONNECTIONS) {
            scope.spawn(move || {
                for body in part {
                    let response = receiver.sender.deliver_text(body);
                    assert_eq!(response.status, 204, "{body}: {response:?}");
                }
            });
        }
    });
    let (found, expected) = (receiver.rows(&tag), history.rows());
    let difference: Vec<_> = found.symmetric_difference(&expected).collect();
    assert!(difference.is_empty(), "seed {seed}: {difference:#?}");
    assert!(expected.len() > 1_000, "the history is too poor: {} rows", expected.len());

    // `/me` gives the same answer for every person.
    let people = owed(&expected);
    let belonging = people.iter().filter(|(_, me)| me.as_ref().is_some_and(|me| me["orgs"] != json!([]))).count();
    assert!(belonging > 50, "hardly anybody belongs anywhere: {belonging}");
    for (person, owed) in &people {
        let response = receiver.server.with_key(&me::token(person)).get(me::ME);
        match owed {
            None => assert_eq!(response.status, 401, "seed {seed}: {person}: {response:?}"),
            Some(owed) => {
                let mut told = expect(200, response);
                told.as_object_mut().expect("an object").remove("$schema");
                assert_eq!(told, *owed, "seed {seed}");
            }
        }
    }
    println!("{} people, {belonging} of whom belong somewhere", people.len());
}
