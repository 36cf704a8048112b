//! What KV holds, and what happens when it does not take it.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::clock::{Clock, set_ahead};
use crate::delete_end_user::completed;
use crate::edge_reads::{REWRITTEN_AFTER, from_edge, is_from_edge, near};
use crate::faults::{self, happened};
use crate::server::{Options, Organization, Server, expect, roomy};
use crate::stores::{kv_holds, kv_keys};
use crate::wait;

fn server() -> Server {
    Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") })
}

fn tenant(organization: &Organization) -> String {
    format!("{}/live", organization.id)
}

fn user(index: usize) -> String {
    format!("u{index:04}")
}

fn path(index: usize) -> String {
    format!("/v1/end-users/{}", user(index))
}

/// Makes these users, each with its number.
fn make(client: &Client, users: std::ops::Range<usize>) {
    let rows: Vec<Value> = users.map(|n| json!({ "user_id": user(n), "metadata": { "n": n } })).collect();
    for rows in rows.chunks(500) {
        let made = expect(200, client.post("/v1/end-users/batch", &json!({ "users": rows })));
        assert_eq!(made["created"], rows.len(), "{made}");
    }
}

/// Reads a user who must be there as made.
#[track_caller]
fn read(client: &Client, index: usize) -> bool {
    let read = client.get(&path(index));
    assert_eq!(read.status, 200, "{read:?}");
    let record = read.json();
    assert_eq!((&record["user_id"], &record["metadata"]["n"]), (&json!(user(index)), &json!(index)), "{read:?}");
    is_from_edge(&read)
}

/// The lines so far that say something of the copies.
fn copies_lines(server: &Server) -> Vec<String> {
    server.log_lines().into_iter().filter(|line| line.contains("\"flush\":\"Copies\"")).collect()
}

#[test]
fn kv_holds_who_is_read_at_the_edge_and_nobody_else() {
    let server = server();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    for index in 0..50 {
        let body = json!({ "user_id": user(index), "metadata": { "n": index } });
        assert_eq!(client.post("/v1/end-users", &body).status, 201);
        assert!(!read(&client, index));
    }
    expect(200, client.get("/v1/end-users"));
    assert_eq!(happened(&server, "kv.put"), 0);
    from_edge(&near(&client, 5), &path(7));
    let keys = kv_keys(server.state(), &tenant(&organization));
    let prefix = format!("{}/copies/", tenant(&organization));
    assert!(keys.len() == 1 && keys.iter().all(|key| key.starts_with(&prefix)), "{keys:?}");
    assert_eq!((happened(&server, "kv.put"), happened(&server, "kv.delete")), (1, 0));
    assert_eq!(kv_keys(server.state(), &format!("{}/test", organization.id)).len(), 0);
}

/// The clock stands still, so that the first lease lasts.
#[test]
fn a_copy_is_made_at_the_second_miss() {
    let server = server();
    let _clock = Clock::stop(&server);
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    make(&client, 0..3);
    let near = near(&client, 5);
    // How many misses a user has is how often KV was asked for it.
    let miss = |index: usize, times: u64| {
        let asked = happened(&server, "kv.get");
        let look = || {
            assert!(!read(&near, index));
            happened(&server, "kv.get") - asked
        };
        wait::until("a miss", look, |misses| *misses == times);
    };
    miss(0, 1);
    miss(1, 1);
    miss(2, 2);
    let keys = || kv_keys(server.state(), &tenant(&organization)).len();
    wait::until("the copy", keys, |keys| *keys > 0);
    assert_eq!((keys(), happened(&server, "kv.put")), (1, 1), "of the user who was missed twice");
    assert!(!read(&near, 0));
    assert!(from_edge(&near, &path(2)).json()["metadata"]["n"] == 2);
}

/// As on the free plan, on which KV takes 1,000 writes a day.
#[test]
fn what_kv_does_not_take_holds_nothing_up() {
    const USERS: usize = 1_500;
    const READERS: usize = 4;
    let server = server();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let near = near(&client, 5);
    faults::set(&server, &json!({ "puts": 1_000 }));
    make(&client, 0..USERS);
    let read_all = || -> usize {
        let before = happened(&server, "objects.handle");
        let from_kv: usize = thread::scope(|scope| {
            let near = &near;
            let readers: Vec<_> = (0..READERS)
                .map(|reader| scope.spawn(move || (reader..USERS).step_by(READERS).filter(|n| read(near, *n)).count()))
                .collect();
            readers.into_iter().map(|reader| reader.join().expect("a reader")).sum()
        });
        let asked = usize::try_from(happened(&server, "objects.handle") - before).expect("few");
        assert_eq!(asked + from_kv, USERS, "one call for each answer of the object, and none for one from KV");
        from_kv
    };
    assert_eq!(read_all(), 0, "nobody is read twice");
    assert_eq!((happened(&server, "kv.put"), kv_keys(server.state(), &tenant(&organization)).len()), (0, 0));

    // Everybody is read again, so there is more to write than KV takes.
    let refused = || {
        let from_kv = read_all();
        (happened(&server, "kv.put"), from_kv)
    };
    let (puts, _) = wait::until("a write that is refused", refused, |(puts, _)| *puts > 1_000);
    make(&client, USERS..USERS + 500);
    let accepted = expect(202, client.delete(&path(USERS)));
    completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    assert_eq!(kv_keys(server.state(), &tenant(&organization)).len(), 1_000);
    read_all();
    let begun = copies_lines(&server);
    assert!(begun.len() == 1 && begun[0].contains("limit exceeded"), "one line for the outage: {begun:?}");
    let tried = happened(&server, "kv.put") - puts;
    assert!(tried <= 50, "{tried} more writes were tried");

    // The next day. The pause after a failure is 15 minutes at most.
    faults::set(&server, &json!({ "puts": null }));
    set_ahead(&server, Duration::from_mins(20));
    let keys = || {
        read_all();
        kv_keys(server.state(), &tenant(&organization)).len()
    };
    wait::until("a copy of everybody", keys, |keys| *keys == USERS);
    let ended = copies_lines(&server);
    assert!(ended.len() == 1 && ended[0].contains("takes writes again"), "one line for its end: {ended:?}");
}

/// A write that KV does not answer is given up after ten seconds, and made again later.
#[test]
fn a_write_that_kv_does_not_answer_holds_nothing_up() {
    let server = server();
    let client = server.client(&server.organization(), "live", "read_write");
    make(&client, 0..1);
    let near = near(&client, 5);
    from_edge(&near, &path(0));
    faults::set(&server, &json!({ "kv": "hang" }));
    set_ahead(&server, REWRITTEN_AFTER);
    expect(200, client.patch(&path(0), &json!({ "display_name": "Ada" })));
    let mut lines = Vec::new();
    let told = || {
        // Each change looks whether a copy is due.
        make_again(&client);
        lines.extend(copies_lines(&server));
        lines.len()
    };
    wait::until("the end of the write", told, |lines| *lines > 0);
    assert_eq!(expect(200, client.get("/v1/end-users"))["data"][0]["display_name"], "Ada");

    faults::set(&server, &json!({ "kv": false }));
    set_ahead(&server, REWRITTEN_AFTER + Duration::from_mins(20));
    let look = || {
        make_again(&client);
        let read = near.get(&path(0));
        (is_from_edge(&read), read.json()["display_name"].clone())
    };
    wait::until("the copy", look, |found| *found == (true, json!("Ada")));
}

/// Makes a user who is there.
fn make_again(client: &Client) {
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": user(0) })).status, 200);
}

/// The edge counts its failures, and leaves KV alone for a second, then for two. Then one read tries it, and no other
/// waits for KV. The clock stands still.
#[test]
fn kv_is_not_asked_while_it_fails() {
    for fault in [json!(true), json!("hang")] {
        let server = server();
        let mut clock = Clock::stop(&server);
        let client = server.client(&server.organization(), "live", "read_write");
        make(&client, 0..1);
        let near = near(&client, 5);
        from_edge(&near, &path(0));
        faults::set(&server, &json!({ "kv": fault }));
        let (asked, called) = (happened(&server, "kv.get"), happened(&server, "objects.handle"));
        let mut reads = 0;
        let fail = || {
            reads += 1;
            assert!(!read(&near, 0));
            happened(&server, "kv.get") - asked
        };
        wait::until("the first failure", fail, |failures| *failures == 1);
        let mut read_20 = || {
            reads += 20;
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..5).for_each(|_| assert!(!read(&near, 0))));
                }
            });
        };
        for (failures, pause_ms) in [(1, 1_000), (2, 2_000)] {
            read_20();
            clock.advance(Duration::from_millis(pause_ms - 1));
            read_20();
            assert_eq!(happened(&server, "kv.get") - asked, failures, "{fault}");
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(happened(&server, "objects.handle") - called, reads, "each is one call, as a strong read is");
        let created = client.post("/v1/end-users", &json!({ "user_id": "meanwhile" }));
        assert_eq!(created.status, 201);
        faults::set(&server, &json!({ "kv": false }));
        from_edge(&near, &path(0));
    }
}

/// An object that starts gives no lease before it has seen where the listing stands. While D1 is down it looks once a
/// second. The clock stands still.
#[test]
fn nobody_is_answered_from_kv_before_the_object_has_seen_the_listing() {
    let mut server = server();
    let mut client = server.new_client();
    make(&client, 0..1);
    from_edge(&near(&client, 5), &path(0));
    server.kill_and_restart();
    client.move_to(server.url());
    let near = near(&client, 5);
    let mut clock = Clock::stop(&server);
    faults::set(&server, &json!({ "d1": true }));
    (0..30).for_each(|_| assert!(!read(&near, 0)));
    let mut lines = Vec::new();
    let look = || {
        lines.extend(server.log_lines().into_iter().filter(|line| line.contains("\"flush\":\"Listing\"")));
        lines.len()
    };
    wait::until("a line about D1", look, |lines| *lines > 0);
    faults::set(&server, &json!({ "d1": false }));
    (0..30).for_each(|_| assert!(!read(&near, 0)));
    clock.advance(Duration::from_secs(1));
    from_edge(&near, &path(0));
    lines.extend(server.log_lines().into_iter().filter(|line| line.contains("\"flush\":\"Listing\"")));
    assert!(lines.len() == 1 && lines[0].contains("injected"), "{lines:?}");
}

/// A write that KV does not answer may arrive minutes later, and one that it refuses is tried again. Both hold up the
/// erasure of a person who has a copy, and nothing else.
#[test]
fn an_erasure_waits_for_kv_only_if_the_person_has_a_copy() {
    let server = server();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    make(&client, 0..3);
    expect(200, client.patch(&path(0), &json!({ "metadata": { "n": 0, "mark": "canary-in-kv" } })));
    from_edge(&near(&client, 5), &path(0));
    wait::until("the copy", || kv_holds(server.state(), "canary-in-kv"), |is_held| *is_held);
    faults::set(&server, &json!({ "kv": true }));
    let erase = |index: usize| {
        let accepted = expect(202, client.delete(&path(index)));
        accepted["deletion_id"].as_str().expect("an id").to_owned()
    };
    let [copied, other] = [0, 1].map(erase);
    set_ahead(&server, REWRITTEN_AFTER);
    completed(&client, &other);
    assert_eq!(client.get(&path(1)).status, 404);
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": user(1) })).status, 201);
    // The object has tried to write the tombstone by now, or does so with this request.
    let tried = || {
        expect(200, client.get("/v1/end-users"));
        copies_lines(&server)
    };
    let lines = wait::until("a line about KV", tried, |lines| !lines.is_empty());
    assert!(lines.len() == 1 && lines[0].contains("injected"), "{lines:?}");
    let receipt = expect(200, client.get(&format!("/v1/deletions/{copied}")));
    assert_eq!(receipt["status"], "deletion_pending");
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": user(0) })).status, 409);

    faults::set(&server, &json!({ "kv": false }));
    // What was tried may still arrive for five minutes.
    set_ahead(&server, Duration::from_mins(10));
    completed(&client, &copied);
    assert_eq!(client.get(&path(0)).status, 404);
    wait::until("KV to hold nothing of them", || kv_holds(server.state(), "canary-in-kv"), |is_held| !is_held);
    let lines = copies_lines(&server);
    assert!(lines.len() == 1 && lines[0].contains("takes writes again"), "{lines:?}");
}
