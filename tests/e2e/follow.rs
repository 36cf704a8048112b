//! `examples/follow`: it ends with the users of the directory although it is killed, and keeps nothing of whom the directory
//! has erased.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::at_length::Running;
use crate::client::Client;
use crate::clock::{self, Clock, set_ahead};
use crate::delete_end_user::completed;
use crate::ending::EndWith;
use crate::events::{PATH as EVENTS, walk};
use crate::server::{Options, Organization, Server, expect, roomy, shared, tools, users};
use crate::wait;

const KILLS: u32 = 12;
/// The most events that the example takes between two kills.
const EVENTS_BETWEEN_MAX: i64 = 150;
const TYPES: &str = "&types=end_user.created,end_user.updated,end_user.erasure_requested,end_user.erased";
/// Every id and every record contains it.
const CANARY: &str = "canary";

/// A run of the example for an organization, and the file that it writes.
struct Example<'a> {
    server: &'a Server,
    client: Client,
    key: String,
    folder: PathBuf,
}

impl<'a> Example<'a> {
    fn new(server: &'a Server, organization: &Organization) -> Self {
        let issued =
            server.issue(organization, &json!({ "kind": "api", "mode": "live", "scope": "read", "name": "x" }));
        let key = issued["key"].as_str().expect("a key").to_owned();
        let client = server.client(organization, "live", "read_write");
        let folder = server.state().join(format!("follow-{}", organization.id));
        fs::create_dir(&folder).expect("a folder");
        Self { server, client, key, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("users.sqlite")
    }

    /// What it has printed, in all its runs.
    fn printed(&self) -> String {
        fs::read_to_string(self.folder.join("printed")).unwrap_or_default()
    }

    fn start(&self) -> Running {
        let mut command = tools().command(tools().binary("node"));
        command.arg(xtask::root().join("examples/follow/follow.ts")).arg(self.file());
        command.env("ROLLCALL_URL", self.server.url()).env("ROLLCALL_API_KEY", &self.key).stdin(Stdio::null());
        let printed = File::options().append(true).create(true).open(self.folder.join("printed")).expect("a file");
        command.stdout(printed.try_clone().expect("a second handle")).stderr(printed);
        Running(command.spawn().expect("the example"))
    }

    /// The number of the last event that it holds, and whether it still has to read the list of users, or to write the file
    /// anew.
    fn progress(&self) -> Option<(i64, bool)> {
        let database = Connection::open_with_flags(self.file(), OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
        let select = "SELECT sequence, must_list OR must_vacuum FROM progress";
        database.query_row(select, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()
    }

    /// Waits until it holds at least so many events. Fails if it ends.
    fn wait_until(&self, running: &mut Running, is_there: impl Fn(i64, bool) -> bool) {
        let look = || {
            let ended = running.0.try_wait().expect("the example");
            assert!(ended.is_none(), "{ended:?}: {}", self.printed());
            self.progress()
        };
        let is_there =
            |seen: &Option<(i64, bool)>| seen.is_some_and(|(sequence, has_work)| is_there(sequence, has_work));
        wait::until("the example to go on", look, is_there);
    }

    /// Runs it until it has every event so far.
    fn catch_up(&self) {
        let events = walk(&self.client, TYPES, 200);
        let last = events.last().map_or(0, |event| event["sequence"].as_i64().expect("a number"));
        let mut running = self.start();
        self.wait_until(&mut running, |sequence, has_work| sequence >= last && !has_work);
        kill(running);
    }

    /// Asserts that it holds the users of the directory, each as they are, and nothing else.
    fn assert_same_users(&self) {
        let database = Connection::open(self.file()).expect("the file");
        let mut select = database.prepare("SELECT user_id, record FROM users").expect("the table");
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("the rows");
        let held: BTreeMap<String, String> = rows.map(|row| row.expect("a row")).collect();
        let held: BTreeMap<String, Value> =
            held.into_iter().map(|(id, record)| (id, serde_json::from_str(&record).expect("JSON"))).collect();
        assert_eq!(held, users(&self.client), "{}", self.printed());
    }

    /// Asserts that no byte of these people is in the file or in a file of SQLite's beside it.
    fn assert_nothing_left_of(&self, erased: &BTreeSet<String>) {
        let database = Connection::open(self.file()).expect("the file");
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("a checkpoint");
        drop(database);
        let mut bytes = Vec::new();
        for entry in self.folder.read_dir().expect("the folder") {
            bytes.extend(fs::read(entry.expect("an entry").path()).expect("a file"));
        }
        let text = String::from_utf8_lossy(&bytes);
        // Each id ends with a letter, so that none begins with another.
        let found: Vec<&String> = erased.iter().filter(|id| text.contains(id.as_str())).collect();
        assert!(found.is_empty(), "left of {} erased people: {found:?}", erased.len());
    }
}

/// Kills it as `kill -9` does. It must have run until then.
fn kill(mut running: Running) {
    running.0.kill().expect("a kill");
    let status = running.0.wait().expect("an end");
    assert_eq!(status.signal(), Some(9), "it ended before the kill: {status}");
}

fn register(client: &Client, id: &str) {
    // No double holds this number.
    let metadata = json!({ "note": format!("about {id}"), "large": 9_007_199_254_740_993_u64 });
    expect(201, client.post("/v1/end-users", &json!({ "user_id": id, "metadata": metadata })));
}

/// Erases people, and waits until nothing is left of them in the directory.
fn erase(client: &Client, ids: &[String]) {
    let receipts: Vec<Value> =
        ids.iter().map(|id| expect(202, client.delete(&format!("/v1/end-users/{id}")))).collect();
    for receipt in receipts {
        completed(client, receipt["deletion_id"].as_str().expect("an id"));
    }
}

/// Registers, changes and erases people until it is over, and some of the erased anew. Returns those who were erased for good.
fn change_until(client: &Client, is_over: &AtomicBool, mut random: Rng) -> BTreeSet<String> {
    let (mut there, mut erased, mut count) = (Vec::new(), BTreeSet::new(), 0);
    while !is_over.load(Ordering::SeqCst) {
        match random.u8(..10) {
            0..4 => {
                count += 1;
                let id = format!("{CANARY}{count}x");
                register(client, &id);
                there.push(id);
            }
            4..7 if !there.is_empty() => {
                let id = &there[random.usize(..there.len())];
                let note = format!("about {id}, ").repeat(random.usize(1..40));
                let body = json!({ "display_name": id, "metadata": { "note": note } });
                expect(200, client.patch(&format!("/v1/end-users/{id}"), &body));
            }
            7..9 if !there.is_empty() => {
                let id = there.swap_remove(random.usize(..there.len()));
                expect(202, client.delete(&format!("/v1/end-users/{id}")));
                erased.insert(id);
            }
            9 if !erased.is_empty() => {
                let id = erased.iter().nth(random.usize(..erased.len())).expect("one of them").clone();
                // While the erasure lasts, it is 409.
                if client.post("/v1/end-users", &json!({ "user_id": id })).status == 201 {
                    erased.remove(&id);
                    there.push(id);
                }
            }
            _ => {}
        }
    }
    erased
}

#[test]
fn an_example_that_is_killed_ends_with_the_same_users() {
    let server = shared();
    let organization = server.organization();
    let example = Example::new(server, &organization);
    let client = &example.client;
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let is_over = AtomicBool::new(false);
    let mut erased = thread::scope(|scope| {
        let end = EndWith(&is_over);
        let changing = scope.spawn(|| change_until(client, &is_over, Rng::with_seed(seed)));
        let mut kills = 0;
        while kills < KILLS {
            let before = example.progress().map_or(0, |(sequence, _)| sequence);
            let least = before + random.i64(1..EVENTS_BETWEEN_MAX);
            let mut running = example.start();
            example.wait_until(&mut running, |sequence, _| sequence >= least);
            kill(running);
            kills += 1;
        }
        drop(end);
        changing.join().expect("the load")
    });
    // While it does not run, one person is erased whom it knows, and one whom it has never known.
    example.catch_up();
    for id in [format!("{CANARY}-known-x"), format!("{CANARY}-unknown-x")] {
        register(client, &id);
        if id.contains("-known") {
            example.catch_up();
        }
        erase(client, std::slice::from_ref(&id));
        erased.insert(id);
    }
    for id in &erased {
        let gone = || client.get(&format!("/v1/end-users/{id}"));
        wait::until("the end of an erasure", gone, |response| response.status == 404);
    }
    example.catch_up();
    example.assert_same_users();
    assert!(users(client).len() > 10 && erased.len() > 5, "the load was too small");
    example.assert_nothing_left_of(&erased);
}

#[test]
fn an_example_whose_place_is_no_longer_kept_begins_anew() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let organization = server.organization();
    let example = Example::new(&server, &organization);
    let client = &example.client;
    let [gone, old, late] = ["gone", "old", "late"].map(|name| format!("{CANARY}-{name}-x"));
    register(client, &gone);
    register(client, &old);
    example.catch_up();
    example.assert_same_users();
    let place = expect(200, client.get(EVENTS))["next_cursor"].clone();
    register(client, &late);
    set_ahead(&server, Duration::from_hours(24 * 31));
    register(client, "new");
    let look = || client.get(&format!("{EVENTS}?after={}", place.as_str().expect("a place")));
    wait::until("the sweep of the log", look, |answer| answer.status == 410);
    // No event that is kept says who this was.
    erase(client, std::slice::from_ref(&gone));
    example.catch_up();
    assert!(example.printed().contains("beginning anew"), "{}", example.printed());
    example.assert_same_users();
    // It holds these from the list only, which has no references.
    erase(client, &[old.clone(), late.clone()]);
    example.catch_up();
    example.assert_same_users();
    assert_eq!(users(client).into_keys().collect::<Vec<_>>(), ["new"]);
    example.assert_nothing_left_of(&BTreeSet::from([gone, old, late]));
}

#[test]
fn an_example_waits_as_long_as_it_is_told() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 1 }));
    let example = Example::new(&server, &organization);
    // The one token is for the events. The list has to wait until time goes on.
    let _clock = Clock::stop(&server);
    let began = Instant::now();
    let mut running = example.start();
    let count = || example.printed().lines().filter(|line| *line == "429: again in 1 s").count();
    wait::until("a wait", count, |waits| *waits > 0);
    set_ahead(&server, Duration::ZERO);
    example.wait_until(&mut running, |_, has_work| !has_work);
    kill(running);
    // Each wait but the last took a second.
    let (waits, elapsed_s) = (count(), began.elapsed().as_secs());
    assert!(waits as u64 <= elapsed_s + 1, "{waits} waits in {elapsed_s} s: {}", example.printed());
}

#[test]
fn an_example_whose_key_is_not_good_ends_and_says_so() {
    let server = shared();
    let organization = server.organization();
    let mut example = Example::new(server, &organization);
    example.key.push('x');
    let status = example.start().0.wait().expect("an end");
    assert_eq!(status.code(), Some(1));
    assert!(example.printed().contains("401") && example.printed().contains("invalid_token"), "{}", example.printed());
}
