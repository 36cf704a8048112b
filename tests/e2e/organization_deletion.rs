//! `DELETE /admin/v1/organizations/{id}`: it removes an organization with all its data, despite failures on the
//! way, and the organization does not come back.

use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::{Client, Response};
use crate::clock::now_ms;
use crate::edge_reads::{from_edge, near};
use crate::ending::EndWith;
use crate::erasure::{contains, files, values};
use crate::faults;
use crate::respond::feel;
use crate::server::{Options, Organization, Server, expect, roomy, shared};
use crate::stores::{Store, kv_keys, next_alarm_ms};
use crate::upstream::{Behaviour, Steps, Upstream};
use crate::wait;

const PATH: &str = "/admin/v1/organizations";
const NOBODY: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
/// Part of everything that the organization holds, as a name or as content. It cannot occur by chance.
const CANARY: &str = "canary-of-a-deleted-organization";

fn faulty() -> Server {
    Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") })
}

/// Requests the deletion, and returns the receipt's id.
fn delete(server: &Server, organization: &Organization) -> String {
    // The copies were written a moment ago. KV takes one write a second for each key, and the object tries again.
    server.expect_refusals();
    let accepted = server.admin().delete(&organization.path());
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let deletion_id = accepted.json()["deletion_id"].as_str().expect("an id").to_owned();
    assert_eq!(accepted.header("location"), format!("/admin/v1/deletions/{deletion_id}"));
    deletion_id
}

fn receipt(server: &Server, deletion_id: &str) -> Value {
    expect(200, server.admin().get(&format!("/admin/v1/deletions/{deletion_id}")))
}

fn completed(server: &Server, deletion_id: &str) -> Value {
    let look = || {
        let receipt = receipt(server, deletion_id);
        assert!(receipt["status"] == "completed" || receipt["status"] == "deletion_pending", "{receipt}");
        receipt
    };
    wait::until("the end of a deletion", look, |receipt| receipt["status"] == "completed")
}

/// How many users have copies in KV.
const COPIED: usize = 3;

/// Makes this many users, and an agent with a relationship and a mood. Some answers are kept, and some users have copies.
fn populate(client: &Client, users: usize) {
    let metadata = json!({ "note": format!("{CANARY}-metadata"), "padding": "x".repeat(3_000) });
    let rows: Vec<Value> =
        (0..users).map(|index| json!({ "user_id": format!("{CANARY}-{index:05}"), "metadata": metadata })).collect();
    for (index, rows) in rows.chunks(200).enumerate() {
        let keyed = client.clone().with_header("Idempotency-Key", &format!("{CANARY}-key-{index}"));
        expect(200, keyed.post("/v1/end-users/batch", &json!({ "users": rows })));
    }
    let agent = make_agent(client, &format!("{CANARY}-agent"));
    let keyed = client.clone().with_header("Idempotency-Key", &format!("{CANARY}-key-of-a-turn"));
    feel(&keyed, &agent, &format!("{CANARY}-00000"), &json!({ "valence": 0.5, "arousal": 0.5 }));
    expect(200, client.get("/v1/end-users"));
    for index in 0..COPIED.min(users) {
        from_edge(&near(client, 5), &format!("/v1/end-users/{CANARY}-{index:05}"));
    }
}

fn databases(folder: &Path) -> Vec<PathBuf> {
    files(folder).into_iter().filter(|file| file.extension().is_some_and(|name| name == "sqlite")).collect()
}

/// Waits until no store holds anything of a tenant.
fn assert_empty_eventually(server: &Server, organization: &Organization) {
    for mode in ["live", "test"] {
        for store in [Store::Objects, Store::D1, Store::Kv] {
            store.assert_users_eventually(server.state(), &format!("{}/{mode}", organization.id), 0);
        }
    }
}

fn assert_is_gone(server: &Server, organization: &Organization, keys: &[Client]) {
    for key in keys {
        let refused = key.get("/v1/end-users");
        assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer error=\"invalid_token\""));
    }
    let (admin, path) = (server.admin(), organization.path());
    for read in [path.clone(), format!("{path}/keys"), format!("{path}/usage"), format!("{path}/repair")] {
        assert_eq!(admin.get(&read).status, 404, "{read}");
    }
    let key = json!({ "kind": "api", "mode": "live", "name": "late" });
    for response in [
        admin.patch(&path, &json!({ "name": "back" })),
        admin.post(&format!("{path}/keys"), &key),
        admin.post(&format!("{path}/repair"), &json!({})),
        admin.delete(&format!("{path}/keys/{NOBODY}")),
    ] {
        assert_eq!(response.status, 404, "{response:?}");
    }
    let listed = expect(200, admin.get(&format!("{PATH}?limit=200")));
    assert!(!listed.to_string().contains(&organization.id));
}

#[test]
fn an_organization_goes_with_all_its_data() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let slug = format!("{CANARY}-slug");
    let name = json!({ "name": format!("{CANARY}-name"), "slug": slug, "clerk_org_id": "org_of_the_deleted" });
    let made = expect(201, server.admin().post(PATH, &name));
    let organization = Organization { id: made["id"].as_str().expect("an id").to_owned() };
    let other = server.organization();
    let keys = ["live", "test"].map(|mode| server.client(&organization, mode, "read_write"));
    let others = server.client(&other, "live", "read_write");
    for (client, users) in keys.iter().zip([120, 3]) {
        populate(client, users);
    }
    expect(201, others.post("/v1/end-users", &json!({ "user_id": "stays" })));
    for mode in ["live", "test"] {
        assert_eq!(kv_keys(server.state(), &format!("{}/{mode}", organization.id)).len(), COPIED);
    }
    let all = databases(server.state());
    assert!(all.iter().flat_map(|file| values(file)).any(|(_, value)| contains(&value, CANARY)), "it can be found");

    let body = json!({ "reason": "the contract ended" }).to_string();
    let accepted = server.admin().send("DELETE", &organization.path(), Some(("application/json", body.as_bytes())));
    assert_eq!(accepted.status, 202, "{accepted:?}");
    assert_is_gone(&server, &organization, &keys);
    let accepted = accepted.json();
    let deletion_id = accepted["deletion_id"].as_str().expect("an id");
    assert_eq!(accepted, json!({ "deletion_id": deletion_id, "status": "deletion_pending" }));

    let receipt = completed(&server, deletion_id);
    let expected = json!({
        "deletion_id": deletion_id, "organization_id": organization.id, "status": "completed",
        "requested_at": receipt["requested_at"], "completed_at": receipt["completed_at"],
        "reason": "the contract ended",
        // The users of both modes, and one agent in each.
        "erased": { "records": 120 + 3 + 2, "relationships": 2, "moods": 2 },
    });
    assert_eq!(receipt, expected);
    assert!(receipt["requested_at"].as_str() <= receipt["completed_at"].as_str());
    assert_is_gone(&server, &organization, &keys);
    let again = server.admin().delete(&organization.path());
    assert_eq!((again.status, again.json()), (202, json!({ "deletion_id": deletion_id, "status": "completed" })));
    assert_eq!(completed(&server, deletion_id), expected);

    assert_eq!(expect(200, others.get("/v1/end-users"))["data"].as_array().map(Vec::len), Some(1));
    expect(200, others.get("/v1/end-users/stays"));
    assert_empty_eventually(&server, &organization);
    server.kill();
    assert_no_trace(&server);
}

/// Asserts that the canary is in no row, in no file of an object or of KV, and in no line of the log.
fn assert_no_trace(server: &Server) {
    for (place, value) in databases(server.state()).iter().flat_map(|file| values(file)) {
        assert!(!contains(&value, CANARY), "{CANARY} is left in {place}");
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
        // In D1, ids and slugs are keys, which SQLite cannot overwrite in place, and it copied rows from page to
        // page. ARCHITECTURE.md says what happens to them.
        let is_d1 = file.to_string_lossy().contains("/d1/");
        let canary = if is_d1 { "canary-of-a-deleted-organization-name" } else { CANARY };
        assert!(!contains(&bytes, canary), "{canary} is left in {}", file.display());
    }
    for line in server.log_lines() {
        assert!(!line.contains(CANARY), "{CANARY} was logged: {line}");
    }
}

#[test]
fn what_was_unique_is_free_again() {
    let (server, admin) = (shared(), shared().admin());
    let slug = format!("free-{}", &xtask::secrets::random_secret().expect("entropy")[..12]);
    let body = json!({ "name": "Unique", "slug": slug, "clerk_org_id": slug });
    let first = expect(201, admin.post(PATH, &body));
    let first = Organization { id: first["id"].as_str().expect("an id").to_owned() };
    assert_eq!(admin.post(PATH, &body).status, 409);
    let deletion_id = delete(server, &first);
    let second = expect(201, admin.post(PATH, &body));
    assert_ne!(second["id"], first.id);
    completed(server, &deletion_id);
    let second = Organization { id: second["id"].as_str().expect("an id").to_owned() };
    assert_eq!(server.client(&second, "live", "read").get("/v1/end-users").status, 200);
    assert_eq!(delete(server, &first), deletion_id, "the first is not the second");
    assert_eq!(admin.get(&second.path()).status, 200);
}

#[test]
fn requests_are_the_operators_and_checked() {
    let server = shared();
    let organization = server.organization();
    let (admin, path) = (server.admin(), organization.path());
    assert_eq!(server.anonymous().delete(&path).status, 401);
    assert_eq!(server.client(&organization, "live", "read_write").delete(&path).status, 401);
    let send = |body: &[u8]| admin.send("DELETE", &path, Some(("application/json", body))).status;
    let too_long = json!({ "reason": "x".repeat(501) }).to_string();
    assert_eq!(send(b"[]"), 400);
    assert_eq!(send(b"{\"force\":true}"), 422);
    assert_eq!(send(b"{\"cascade\":\"model_only\"}"), 422);
    assert_eq!(send(too_long.as_bytes()), 422);
    assert_eq!(admin.delete(&format!("{path}?force=1")).status, 422);
    assert_eq!(admin.delete(&format!("{PATH}/x")).status, 422);
    assert_eq!(admin.delete(&format!("{PATH}/{NOBODY}")).status, 404);
    assert_eq!(admin.get(&format!("/admin/v1/deletions/{NOBODY}")).status, 404);
    assert_eq!(admin.get("/admin/v1/deletions/x").status, 422);
    assert_eq!(admin.get(&path).status, 200, "it is still there");
    let deletion_id = delete(server, &organization);
    let receipt = format!("/admin/v1/deletions/{deletion_id}");
    assert_eq!(server.anonymous().get(&receipt).status, 401);
    assert_eq!(admin.send("HEAD", &receipt, None).status, 200);
}

/// Of racing requests one is the first, and all get its receipt.
#[test]
fn racing_requests_get_one_receipt() {
    let server = shared();
    let organization = server.organization();
    populate(&server.client(&organization, "live", "read_write"), 20);
    let ids: Vec<String> = thread::scope(|scope| {
        let racing: Vec<_> = (0..8).map(|_| scope.spawn(|| delete(server, &organization))).collect();
        racing.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(completed(server, &ids[0])["erased"]["records"], 21);
}

/// Keys, limits and audits race with the deletion: no key works after it, in any order.
#[test]
fn nothing_that_races_with_the_deletion_brings_it_back() {
    let server = shared();
    let request = json!({ "kind": "api", "mode": "live", "name": "ghost" });
    let (mut issued, mut refused) = (0, 0);
    for _ in 0..12 {
        let organization = server.organization();
        let (path, barrier) = (organization.path(), Barrier::new(6));
        let answers: Vec<(Response, Response, Response)> = thread::scope(|scope| {
            let racing: Vec<_> = (0..5_u32)
                .map(|index| {
                    let (server, path, request, barrier) = (&server, &path, &request, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        let change = json!({ "limits": { "burst": index + 1_000 } });
                        let issued = server.admin().post(&format!("{path}/keys"), request);
                        let patched = server.admin().patch(path, &change);
                        (issued, patched, server.admin().post(&format!("{path}/repair"), &json!({})))
                    })
                })
                .collect();
            barrier.wait();
            delete(server, &organization);
            racing.into_iter().map(|thread| thread.join().expect("a thread")).collect()
        });
        for (key, patched, repaired) in answers {
            assert!([200, 404, 409].contains(&patched.status), "{patched:?}");
            assert!([200, 202, 404].contains(&repaired.status), "{repaired:?}");
            match key.status {
                201 => {
                    issued += 1;
                    let key = key.json()["key"].as_str().expect("a key").to_owned();
                    assert_eq!(server.with_key(&key).get("/v1/end-users").status, 401, "a ghost");
                }
                404 => refused += 1,
                status => panic!("{status}: {key:?}"),
            }
        }
        let deletion_id = delete(server, &organization);
        completed(server, &deletion_id);
    }
    println!("{issued} keys were issued before the deletion, {refused} refused after it");
    assert!(issued + refused == 60);
}

/// Writers are writing, and a turn's answer arrives after the deletion has completed.
#[test]
fn what_is_under_way_is_refused_and_leaves_nothing() {
    let upstream = Upstream::start();
    let budget = ("RESPONDER_TIMEOUT_MS", "600000".to_owned());
    let vars = [roomy(), vec![("RESPONDER_URL", upstream.url()), budget]].concat();
    let server = Server::start(Options { vars, entry: None });
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "tutor");
    let (permit, steps) = Steps::new();
    upstream.otherwise(move |_| Behaviour::Held(steps.clone()));
    let (written, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let _end = EndWith(&ended);
        let turns = [false, true].map(|stream| {
            let (client, agent) = (&client, &agent);
            let user = format!("{CANARY}-{stream}");
            scope.spawn(move || {
                let body = json!({ "message": "hi", "personality_id": agent, "user_id": user, "stream": stream });
                client.post("/v1/respond", &body)
            })
        });
        wait::until("both turns to be under way", || upstream.asked().len(), |asked| *asked == 2);
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let (client, written, ended) = (&client, &written, &ended);
                scope.spawn(move || {
                    (0..)
                        .take_while(|_| !ended.load(Ordering::SeqCst))
                        .map(|index| json!({ "user_id": format!("{CANARY}-{writer}-{index}") }))
                        .map(|body| client.post("/v1/end-users", &body).status)
                        .inspect(|_| _ = written.fetch_add(1, Ordering::SeqCst))
                        .find(|status| *status != 201)
                })
            })
            .collect();
        wait::until("the writers to be at it", || written.load(Ordering::SeqCst), |written| *written >= 100);
        let deletion_id = delete(&server, &organization);
        for writer in writers {
            assert_eq!(writer.join().expect("a writer"), Some(401));
        }
        completed(&server, &deletion_id);
        for _ in 0..2 {
            permit.send(()).expect("an upstream that waits");
        }
        let [whole, streamed] = turns.map(|turn| turn.join().expect("a turn"));
        assert_eq!((whole.status, &whole.json()["error"]["code"]), (401, &json!("invalid_token")), "{whole:?}");
        assert!(streamed.body.contains("\"code\":\"invalid_token\"") && !streamed.body.contains("completion"));
    });
    assert_empty_eventually(&server, &organization);
    assert_is_gone(&server, &organization, &[client]);
}

/// The runtime is killed at different moments of the removal. The deletion completes after the restart. Its counts
/// are right unless the kill came while the object was being emptied.
#[test]
fn a_deletion_survives_kill_9() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    for round in 0..6_u64 {
        let organization = server.organization();
        let mut client = server.client(&organization, "live", "read_write");
        populate(&client, 400);
        let deletion_id = delete(&server, &organization);
        // The kill comes at a random moment. The rest of the data must go, whatever has been removed by then.
        thread::sleep(Duration::from_millis(15 * round));
        server.kill_and_restart();
        client.move_to(server.url());
        assert_is_gone(&server, &organization, std::slice::from_ref(&client));
        let receipt = completed(&server, &deletion_id);
        println!("killed after {} ms: {receipt}", 15 * round);
        let records = receipt["erased"]["records"].as_i64();
        assert!(records == Some(401) || records == Some(0), "{receipt}");
        assert_empty_eventually(&server, &organization);
    }
}

/// After a kill, and without a request, the alarm completes the deletion, and the cron trigger records it.
#[test]
fn a_deletion_is_completed_though_nobody_asks() {
    let mut server = faulty();
    let organization = server.organization();
    populate(&server.client(&organization, "live", "read_write"), 250);
    faults::set(&server, &json!({ "kv": true, "d1": false }));
    let deletion_id = delete(&server, &organization);
    faults::wait_until_happened(&server, "kv.failed");
    server.kill_and_restart();
    assert_empty_eventually(&server, &organization);
    let noted = |state: &Path| -> bool {
        let query = "SELECT deletion_id AS text FROM organization_deletions
                     WHERE deletion_id = ?1 AND completed_at IS NOT NULL";
        !crate::stores::listed(state, query, &deletion_id).is_empty()
    };
    assert!(!noted(server.state()), "nobody has asked");
    let look = || {
        assert_eq!(server.anonymous().get("/cdn-cgi/local/scheduled").status, 200);
        noted(server.state())
    };
    wait::until("the cron trigger to note it", look, |noted| *noted);
    assert_eq!(receipt(&server, &deletion_id)["erased"], json!({ "records": 251, "relationships": 1, "moods": 1 }));
}

/// The row is gone and no object has been told, as when the Worker dies in between. The keys work until the cron
/// trigger runs.
#[test]
fn the_cron_trigger_delivers_a_deletion_that_no_object_has_heard_of() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let mut client = server.client(&organization, "live", "read_write");
    populate(&client, 3);
    server.kill();
    for file in Store::D1.files(server.state()) {
        let database = Connection::open(file).expect("the store");
        let moved = database.execute(
            "INSERT INTO organization_deletions (deletion_id, organization_id, requested_at)
             SELECT ?2, id, '2026-01-01T00:00:00.000Z' FROM organizations WHERE id = ?1",
            [organization.id.as_str(), NOBODY],
        );
        if moved.is_ok() {
            database.execute("DELETE FROM organizations WHERE id = ?1", [&organization.id]).expect("the row");
        }
    }
    server.restart();
    client.move_to(server.url());
    assert_eq!(client.get("/v1/end-users").status, 200, "the object has not heard of it");
    assert_eq!(server.anonymous().get("/cdn-cgi/local/scheduled").status, 200);
    assert_is_gone(&server, &organization, std::slice::from_ref(&client));
    assert_eq!(completed(&server, NOBODY)["erased"], json!({ "records": 4, "relationships": 1, "moods": 1 }));
    assert_empty_eventually(&server, &organization);
}

/// D1 is restored to a moment before the deletion, so the organization is in it again, with all its rows and without the
/// receipt. Its objects know better, and say so to the cron trigger, to a repair and to a reader.
#[test]
fn a_restored_d1_does_not_bring_an_organization_back() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let mut client = server.client(&organization, "live", "read_write");
    populate(&client, 30);
    server.kill();
    let database = server.state().join(Store::D1.folder());
    let kept: Vec<_> = files(&database).into_iter().map(|file| (std::fs::read(&file).expect("a file"), file)).collect();
    server.restart();
    let reason = json!({ "reason": "contract ended" });
    let accepted =
        server.admin().send("DELETE", &organization.path(), Some(("application/json", reason.to_string().as_bytes())));
    let deletion_id = expect(202, accepted)["deletion_id"].as_str().expect("an id").to_owned();
    let first = completed(&server, &deletion_id);
    assert_empty_eventually(&server, &organization);
    for asked_by in ["the cron trigger", "a repair", "a reader"] {
        server.kill();
        for file in files(&database) {
            std::fs::remove_file(file).expect("a file");
        }
        for (bytes, file) in &kept {
            std::fs::write(file, bytes).expect("a file");
        }
        server.restart();
        client.move_to(server.url());
        let listed = expect(200, server.admin().get("/admin/v1/organizations"));
        assert_eq!(listed["data"][0]["id"], organization.id, "D1 was restored");
        assert_eq!(client.get("/v1/end-users").status, 401, "the object stays closed");
        let told = match asked_by {
            "a reader" => server.admin().get(&organization.path()),
            "a repair" => server.admin().post(&format!("{}/repair", organization.path()), &json!({})),
            _ => server.anonymous().get("/cdn-cgi/local/scheduled"),
        };
        assert_eq!(told.status, if asked_by == "the cron trigger" { 200 } else { 404 }, "{asked_by}");
        let mut again = completed(&server, &deletion_id);
        assert_eq!(again["reason"], "contract ended");
        again["completed_at"] = first["completed_at"].clone();
        assert_eq!(again, first);
        assert_empty_eventually(&server, &organization);
        assert_is_gone(&server, &organization, std::slice::from_ref(&client));
    }
}

#[test]
fn stores_that_are_down_hold_the_removal_up_and_no_longer() {
    let server = faulty();
    for fault in ["kv", "d1"] {
        let organization = server.organization();
        let client = server.client(&organization, "live", "read_write");
        populate(&client, 30);
        let d1_is_down = fault == "d1";
        faults::set(&server, &json!({ fault: true }));
        if d1_is_down {
            let refused = server.admin().delete(&organization.path());
            assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
            assert_eq!(client.get(&format!("/v1/end-users/{CANARY}-00000")).status, 200, "nothing has happened");
            faults::set(&server, &json!({ fault: false }));
        }
        let deletion_id = delete(&server, &organization);
        faults::set(&server, &json!({ fault: true }));
        assert_eq!(client.get("/v1/end-users").status, 401, "at once, whatever is down");
        if !d1_is_down {
            faults::wait_until_happened(&server, "kv.failed");
            assert_eq!(receipt(&server, &deletion_id)["status"], "deletion_pending");
        }
        faults::set(&server, &json!({ fault: false }));
        assert_eq!(completed(&server, &deletion_id)["erased"]["records"], 31);
        assert_empty_eventually(&server, &organization);
    }
}

/// The object returns its space, and what is left keeps it closed.
#[test]
fn an_emptied_object_is_small() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    populate(&client, 1_000);
    let size = || -> u64 {
        let files = files(&server.state().join("v3/do"));
        // The runtime's own file of alarms grows with every test that sets one.
        let of_objects = files.iter().filter(|file| !file.to_string_lossy().contains("/metadata.sqlite"));
        of_objects.map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
    };
    let before = size();
    let deletion_id = delete(&server, &organization);
    completed(&server, &deletion_id);
    assert!(before > 3_000_000, "{before} bytes");
    wait::until("the space to be given back", size, |bytes| *bytes <= 100_000);
    assert_eq!(client.get("/v1/end-users").status, 401);
}

/// A write to KV that was given up may still arrive after the deletion has completed. The object looks once more.
/// This test moves that look forward, while the runtime is stopped.
#[test]
fn what_comes_late_to_kv_is_found_by_a_last_look() {
    let mut server = Server::start(Options { vars: roomy(), entry: None });
    let (organization, other) = (server.organization(), server.organization());
    let others = server.client(&other, "live", "read_write");
    expect(201, others.post("/v1/end-users", &json!({ "user_id": "late" })));
    from_edge(&near(&others, 5), "/v1/end-users/late");
    // The alarm of the other organization is set to the end of its copy, in a day.
    let alarm = || next_alarm_ms(server.state());
    let is_far_off = |alarm: &Option<i64>| alarm.is_some_and(|at_ms| at_ms >= now_ms() + 3_600_000);
    wait::until("the alarm to be set for the end of the copy", alarm, is_far_off);
    populate(&server.client(&organization, "live", "read_write"), 3);
    let deletion_id = delete(&server, &organization);
    completed(&server, &deletion_id);
    server.kill();
    let change = |store: Store, statement: &str, parameters: &[&dyn rusqlite::ToSql]| -> usize {
        let change = |file: &PathBuf| {
            let database = Connection::open(file).expect("the store");
            // The runtime's own files have none of these tables.
            database.execute(statement, parameters).unwrap_or_default()
        };
        store.files(server.state()).iter().map(change).sum()
    };
    let late = format!("{}/live/end-users/late", organization.id);
    let move_late = "UPDATE _mf_entries SET key = ?1 WHERE substr(key, 1, length(?2)) = ?2";
    assert_eq!(change(Store::Kv, move_late, &[&late, &other.id]), 1);
    // The last look comes five minutes after the end. Only the alarms of the other organization are so late.
    let in_a_minute = (now_ms() + 60_000) * 1_000_000;
    let advance = "UPDATE _cf_ALARM SET scheduled_time = 1 WHERE scheduled_time > ?1";
    assert!(change(Store::Objects, advance, &[&in_a_minute]) >= 3, "one for each mode, and the other's");
    // The object stores the time too.
    let advance = "UPDATE _cf_METADATA SET value = 1 WHERE key = 1 AND value > ?1";
    assert!(change(Store::Objects, advance, &[&in_a_minute]) >= 3, "one for each mode, and the other's");
    assert_eq!(kv_keys(server.state(), &format!("{}/live", organization.id)).len(), 1);
    server.restart();
    assert_empty_eventually(&server, &organization);
}
