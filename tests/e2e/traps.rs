//! An instance of the module ends at any moment: later requests are served, and no acknowledged change is lost.

use std::collections::BTreeSet;
use std::thread;

use serde_json::json;

use crate::client::Client;
use crate::server::{Options, Server, expect, list, roomy};

/// At least the number of times that a request and its flush read the clock.
const LOOKS_MAX: u32 = 12;
const RACING: usize = 8;

fn trap(server: &Server, looks: u32) {
    // Forgets an earlier trap that was not reached.
    expect(200, server.anonymous().post("/__trap", &json!({ "looks": looks })));
}

/// Makes users at once and returns the acknowledged ones. The others get an error, and no request hangs.
fn create(client: &Client, ids: &[String]) -> BTreeSet<String> {
    thread::scope(|scope| {
        let creations = ids
            .iter()
            .map(|id| scope.spawn(move || (id, client.post("/v1/end-users", &json!({ "user_id": id })).status)));
        let creations: Vec<_> = creations.collect();
        let answers = creations.into_iter().map(|creation| creation.join().expect("an answer"));
        let made = answers.filter(|(id, status)| {
            assert!(matches!(status, 201 | 500 | 503), "{id}: {status}");
            *status == 201
        });
        made.map(|(id, _)| id.clone()).collect()
    })
}

#[test]
fn whoever_comes_after_a_trap_is_served_and_nothing_is_lost() {
    let server = Server::start(Options { vars: roomy(), entry: Some("tests/runtime/traps.mjs") });
    // Each restart may take a tenth of the bucket, which is full again after a tenth of a second.
    let organization = server.organization_with(&json!({ "requests_per_second": 10_000, "burst": 1_000 }));
    let client = server.client(&organization, "live", "read_write");
    let mut made = create(&client, &["first".to_owned()]);
    let mut refused = 0;
    for looks in 0..LOOKS_MAX {
        for racing in [1, RACING] {
            trap(&server, looks);
            let ids: Vec<_> = (0..racing).map(|place| format!("racing-{looks}-{racing}-{place}")).collect();
            let acknowledged = create(&client, &ids);
            refused += ids.len() - acknowledged.len();
            made.extend(acknowledged);
            trap(&server, u32::MAX);
            // A repetition finds or makes every user: a refused request may have made its user.
            for id in &ids {
                let again = client.post("/v1/end-users", &json!({ "user_id": id }));
                assert!(matches!(again.status, 200 | 201), "{id}: {again:?}");
                assert!(!made.contains(id) || again.status == 200, "{id} was acknowledged and then lost");
                made.insert(id.clone());
            }
            expect(200, client.get("/v1/end-users/first"));
        }
        assert_eq!(list(&client), made, "after {looks} looks");
    }
    assert!(refused >= 2, "no request ever met a trap");
}
