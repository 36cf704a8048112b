//! Acknowledged changes survive `kill -9`. The bucket survives it too and never admits more than its limit.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::client::Client;
use crate::ending::EndWith;
use crate::server::{Options, Organization, Server, list, roomy};
use crate::wait;

const ROUNDS: usize = 20;
const WRITERS: usize = 4;
/// The first round makes at least this many users, and each later round makes more.
const USERS_MIN: usize = 30;
const USERS_MORE: usize = 7;
/// So slow that the test detects a bucket that forgets its grants at a kill.
const RATE: u64 = 1;
const BURST: u64 = 50;

fn new_key(server: &Server, organization: &Organization) -> String {
    let issued = server.issue(organization, &json!({ "kind": "api", "mode": "live", "name": "k" }));
    issued["key"].as_str().expect("a key").to_owned()
}

/// Twenty rounds. Users are made in parallel, and the runtime is killed meanwhile and restarted on the same state.
/// Every acknowledged user must then be readable and listed. A second organization gets constant requests, and its
/// bucket never admits more than `burst + rate·t` over the whole time.
#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let key = new_key(&server, &organization);
    let limited = server.organization_with(&json!({ "requests_per_second": RATE, "burst": BURST }));
    let limited_key = new_key(&server, &limited);
    let mut acknowledged = BTreeSet::new();
    let mut admitted = 0;
    let started = Instant::now();
    for round in 0..ROUNDS {
        let (round_acknowledged, round_admitted) = write_until_killed(&server, round, &key, &limited_key);
        acknowledged.extend(round_acknowledged);
        admitted += round_admitted;
        server.restart();
        assert_all_there(&server.with_key(&key), &acknowledged, round);
    }
    let elapsed = started.elapsed();
    let elapsed_ms = u64::try_from(elapsed.as_millis()).expect("a short test");
    let bound = BURST + RATE * elapsed_ms / 1_000 + 1;
    println!(
        "{ROUNDS} kills: {} users acknowledged, all there; {admitted} admitted, bound {bound}",
        acknowledged.len()
    );
    assert!(admitted <= bound);
}

/// Runs writers and a hammer, and kills the runtime meanwhile.
fn write_until_killed(server: &Server, round: usize, key: &str, limited_key: &str) -> (BTreeSet<String>, u64) {
    let acknowledged = Mutex::new(BTreeSet::new());
    let killed = AtomicBool::new(false);
    let admitted = thread::scope(|scope| {
        let end = EndWith(&killed);
        for writer in 0..WRITERS {
            let (client, acknowledged, killed) = (server.with_key(key), &acknowledged, &killed);
            scope.spawn(move || {
                for index in 0.. {
                    let id = format!("r{round:02}-w{writer}-{index:05}");
                    let body = json!({ "user_id": id }).to_string();
                    match client.try_send("POST", "/v1/end-users", Some(("application/json", body.as_bytes()))) {
                        Ok(response) if response.status == 201 => {
                            acknowledged.lock().expect("the set").insert(id);
                        }
                        // The runtime is being killed, so no answer counts as an acknowledgement.
                        Ok(_) | Err(_) if killed.load(Ordering::SeqCst) => return,
                        Ok(response) => panic!("{response:?}"),
                        Err(_) => {}
                    }
                }
            });
        }
        let hammer = scope.spawn(|| hammer(&server.with_key(limited_key), &killed));
        // Each round kills at another moment, in the middle of writing.
        let least = USERS_MIN + USERS_MORE * round;
        let made = || acknowledged.lock().expect("the set").len();
        wait::until(&format!("{least} users"), made, |made| *made >= least);
        drop(end);
        server.kill();
        hammer.join().expect("the hammer")
    });
    (acknowledged.into_inner().expect("the set"), admitted)
}

/// Sends requests as fast as it can, and returns how many were admitted.
fn hammer(client: &Client, killed: &AtomicBool) -> u64 {
    let mut admitted = 0;
    while !killed.load(Ordering::SeqCst) {
        if client.try_send("GET", "/v1/end-users/nobody", None).is_ok_and(|response| response.status == 404) {
            admitted += 1;
        }
    }
    admitted
}

fn assert_all_there(client: &Client, acknowledged: &BTreeSet<String>, round: usize) {
    let listed = list(client);
    let lost: Vec<_> = acknowledged.difference(&listed).collect();
    assert!(lost.is_empty(), "round {round}: acknowledged and not listed: {lost:?}");
    for id in acknowledged.iter().filter(|id| id.starts_with(&format!("r{round:02}"))) {
        let read = client.get(&format!("/v1/end-users/{id}"));
        assert_eq!(read.status, 200, "{id}");
        assert_eq!(client.post("/v1/end-users", &json!({ "user_id": id })).status, 200, "{id}");
    }
}
