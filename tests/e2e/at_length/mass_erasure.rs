//! Ten thousand people erased at once, and the effect on other requests.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::clock::set_ahead;
use crate::edge_reads::{REWRITTEN_AFTER, is_from_edge, near};
use crate::faults;
use crate::server::{Options, Server, expect, list, roomy};
use crate::stores::{self, Store};
use crate::wait;

const VICTIMS: usize = 10_000;
/// Of them the first ones have a copy in KV.
const COPIED: usize = 2_500;
const BYSTANDERS: usize = 200;
const ERASERS: usize = 4;
/// Part of every victim's record, and of no other record.
const MARK: &str = "to-be-erased";

/// A thread for each kind of request sends at this pace, however long the answers take.
const PACE: Duration = Duration::from_millis(25);
const LIMIT: Duration = Duration::from_mins(15);
/// Fewest requests of each kind that must be answered during the purge. A request that waits for the purge would be
/// the only one of its kind. Latencies depend on the machine, so they are only printed.
const ANSWERED_MIN: usize = 20;

const REQUESTS: u8 = 0;
const PURGE: u8 = 1;
const OVER: u8 = 2;

fn victim(index: usize) -> String {
    format!("victim-{index:05}")
}

fn bystander(index: usize) -> String {
    format!("bystander-{index:03}")
}

fn create(client: &Client, ids: Vec<String>, metadata: &Value) {
    for ids in ids.chunks(500) {
        let users: Vec<Value> = ids.iter().map(|id| json!({ "user_id": id, "metadata": metadata })).collect();
        let results = expect(200, client.post("/v1/end-users/batch", &json!({ "users": users })));
        for result in results["results"].as_array().expect("results") {
            assert_eq!(result["status"], 201, "{result}");
        }
    }
}

/// Some who are erased have a copy, and KV is held back while the erasures are requested, so that these complete after the
/// last request, while only the probes send requests. The others complete meanwhile. D1 is not held back: a listing waits
/// for a late D1, which is another test's subject.
#[test]
fn ten_thousand_are_erased_and_nobody_else_waits_for_it() {
    let server = Server::start(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") });
    let organization = server.organization();
    let tenant = format!("{}/live", organization.id);
    let client = server.client(&organization, "live", "read_write");
    create(&client, (0..VICTIMS).map(victim).collect(), &json!({ "is": MARK }));
    create(&client, (0..BYSTANDERS).map(bystander).collect(), &json!({}));
    Store::D1.assert_users_within(LIMIT, server.state(), &tenant, signed(VICTIMS + BYSTANDERS));
    read_at_the_edge(&server, &client);
    assert_eq!(stores::kv_keys(server.state(), &tenant).len(), COPIED);
    assert!(stores::kv_holds(server.state(), MARK));
    // The object leaves a copy alone for a minute after it was written.
    set_ahead(&server, REWRITTEN_AFTER);

    let phase = AtomicU8::new(REQUESTS);
    let remade = Mutex::new(BTreeSet::new());
    let (samples, erasures) = thread::scope(|scope| {
        let end = EndWith(&phase);
        let (client, phase, remade) = (&client, &phase, &remade);
        let probers = Kind::ALL.map(|kind| scope.spawn(move || probe(client, kind, phase)));
        faults::set(&server, &json!({ "kv": true }));
        let started = Instant::now();
        let erasers: Vec<_> = (0..ERASERS).map(|part| scope.spawn(move || erase(client, part, remade))).collect();
        let erasures: Vec<Vec<Erasure>> = erasers.into_iter().map(|eraser| eraser.join().expect("an eraser")).collect();
        println!("{VICTIMS} erasures requested in {:.1?}", started.elapsed());

        phase.store(PURGE, Ordering::SeqCst);
        let started = Instant::now();
        assert!(faults::happened(&server, "kv.failed") > 0, "the erasures have met it");
        faults::set(&server, &json!({ "kv": false }));
        // A write that KV did not answer may arrive within five minutes, and the pause after failures is shorter.
        set_ahead(&server, REWRITTEN_AFTER + Duration::from_mins(20));
        let all: Vec<&Erasure> = erasures.iter().flatten().collect();
        let mut random = fastrand::Rng::new();
        let look = || {
            all[random.usize(..all.len())].assert_free_when_completed(client, remade);
            stores::pending_erasures(server.state(), &tenant)
        };
        wait::until_within(LIMIT, "the erasures to be completed", look, |left| *left == 0);
        println!("all completed {:.1?} later", started.elapsed());
        drop(end);
        let samples: Vec<Sample> = probers.into_iter().flat_map(|prober| prober.join().expect("a prober")).collect();
        (samples, erasures.concat())
    });

    print_figures("while requested", &samples, REQUESTS);
    print_figures("while purged", &samples, PURGE);
    let answered_while_purged = Kind::ALL
        .map(|kind| (kind, samples.iter().filter(|sample| sample.phase == PURGE && sample.kind == kind).count()));
    let mut expected = remade.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{} ids were made again meanwhile", expected.len());
    expected.extend((0..BYSTANDERS).map(bystander));
    expected.extend(samples.into_iter().filter_map(|sample| sample.made));
    assert_receipts(&client, &erasures);
    assert_eq!(list(&client), expected);
    for store in [Store::Objects, Store::D1] {
        store.assert_users_within(LIMIT, server.state(), &tenant, signed(expected.len()));
    }
    // The runtime removes overwritten values in the background.
    let are_held = || stores::kv_holds(server.state(), MARK);
    wait::until_within(LIMIT, "KV to hold no record of the erased", are_held, |are_held| !are_held);
    let free = (0..VICTIMS).map(victim).find(|id| !expected.contains(id)).expect("an erased id");
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": free })).status, 201);
    for (kind, answered) in answered_while_purged {
        assert!(answered >= ANSWERED_MIN, "{answered} requests ({kind:?}) were answered while purged");
    }
}

/// Reads victims at the edge until KV has a copy of each.
fn read_at_the_edge(server: &Server, client: &Client) {
    let started = Instant::now();
    let near = near(client, 5);
    let mut reads = 0;
    let mut left: Vec<usize> = (0..COPIED).collect();
    let look = || {
        reads += left.len();
        let parts: Vec<Vec<usize>> = left.chunks(COPIED.div_ceil(ERASERS)).map(<[usize]>::to_vec).collect();
        left = thread::scope(|scope| {
            let readers: Vec<_> = parts
                .into_iter()
                .map(|part| {
                    let near = &near;
                    scope.spawn(move || -> Vec<usize> {
                        let is_left = |index: &usize| {
                            let read = near.get(&format!("/v1/end-users/{}", victim(*index)));
                            assert_eq!(read.status, 200, "{read:?}");
                            !is_from_edge(&read)
                        };
                        part.into_iter().filter(is_left).collect()
                    })
                })
                .collect();
            readers.into_iter().flat_map(|reader| reader.join().expect("a reader")).collect()
        });
        left.len()
    };
    wait::until_within(LIMIT, "a copy of each", look, |left| *left == 0);
    println!("{COPIED} copies made by {reads} reads in {:.1?}", started.elapsed());
    drop(server.log_lines());
}

struct EndWith<'a>(&'a AtomicU8);

impl Drop for EndWith<'_> {
    fn drop(&mut self) {
        self.0.store(OVER, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone)]
struct Erasure {
    user_id: String,
    receipt: String,
}

impl Erasure {
    fn is_completed(&self, client: &Client) -> bool {
        match expect(200, client.get(&self.receipt))["status"].as_str() {
            Some("completed") => true,
            Some("deletion_pending") => false,
            other => panic!("{other:?}: {self:?}"),
        }
    }

    /// The id is refused until the receipt says completed, and is free afterwards. The check allows for changes
    /// between its requests.
    fn assert_free_when_completed(&self, client: &Client, remade: &Mutex<BTreeSet<String>>) {
        let completed_before = self.is_completed(client);
        let answer = client.post("/v1/end-users", &json!({ "user_id": self.user_id }));
        if answer.status == 409 {
            assert!(!completed_before, "refused after completion: {answer:?}");
            assert_eq!(answer.json()["error"]["code"], "deletion_pending");
            return;
        }
        assert!(self.is_completed(client), "made again before completion: {answer:?}");
        let first = remade.lock().unwrap_or_else(PoisonError::into_inner).insert(self.user_id.clone());
        assert_eq!((answer.status, &answer.json()["metadata"]), (if first { 201 } else { 200 }, &json!({})));
    }
}

/// Requests the erasure of every victim of a part, and checks some of them.
fn erase(client: &Client, part: usize, remade: &Mutex<BTreeSet<String>>) -> Vec<Erasure> {
    let mut erasures: Vec<Erasure> = Vec::new();
    for index in (part..VICTIMS).step_by(ERASERS) {
        let user_id = victim(index);
        let accepted = expect(202, client.delete(&format!("/v1/end-users/{user_id}")));
        assert_eq!(accepted["status"], "deletion_pending");
        let receipt = format!("/v1/deletions/{}", accepted["deletion_id"].as_str().expect("an id"));
        erasures.push(Erasure { user_id, receipt });
        if erasures.len().is_multiple_of(20) {
            erasures[fastrand::usize(..erasures.len())].assert_free_when_completed(client, remade);
        }
    }
    erasures
}

fn assert_receipts(client: &Client, erasures: &[Erasure]) {
    assert_eq!(erasures.len(), VICTIMS);
    thread::scope(|scope| {
        for part in 0..ERASERS {
            scope.spawn(move || {
                for erasure in erasures.iter().skip(part).step_by(ERASERS) {
                    let receipt = expect(200, client.get(&erasure.receipt));
                    assert_eq!((&receipt["status"], &receipt["erased"]["records"]), (&json!("completed"), &json!(1)));
                }
            });
        }
    });
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Create,
    List,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Get, Self::Create, Self::List];
}

#[derive(Debug)]
struct Sample {
    phase: u8,
    kind: Kind,
    latency: Duration,
    /// The id of the user that the request made.
    made: Option<String>,
}

/// Sends requests at a fixed pace until the last phase ends. Latency counts from the moment a request is due, so a
/// slow request does not hide the wait of the ones after it.
fn probe(client: &Client, kind: Kind, phase: &AtomicU8) -> Vec<Sample> {
    let mut samples = Vec::new();
    let (mut last, mut due) = (REQUESTS, Instant::now());
    for count in 0.. {
        due += PACE;
        // The pace is part of the test: callers do not wait until the server is ready for them.
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = phase.load(Ordering::SeqCst);
        if now == OVER {
            break;
        }
        if now != last {
            // A delay in one phase does not count in the next.
            (last, due) = (now, Instant::now());
        }
        let mut made = None;
        let answer = match kind {
            Kind::Get => client.get(&format!("/v1/end-users/{}", bystander(count % BYSTANDERS))),
            Kind::Create => {
                let id = format!("newcomer-{count:05}");
                made = Some(id.clone());
                client.post("/v1/end-users", &json!({ "user_id": id }))
            }
            Kind::List => client.get("/v1/end-users?limit=50"),
        };
        let latency = due.elapsed();
        assert_eq!(answer.status, if kind == Kind::Create { 201 } else { 200 }, "{answer:?}");
        samples.push(Sample { phase: now, kind, latency, made });
    }
    samples
}

/// Latencies, shortest first.
struct Figures(Vec<Duration>);

impl Figures {
    fn of<'a>(samples: impl Iterator<Item = &'a Sample>) -> Self {
        let mut latencies: Vec<Duration> = samples.map(|sample| sample.latency).collect();
        latencies.sort_unstable();
        Self(latencies)
    }

    /// The latency that this many of a hundred requests stay within.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, longest] = [50, 99, 100].map(|percent| self.percentile(percent));
        write!(formatter, "{:5} requests, p50 {p50:>8.1?}, p99 {p99:>8.1?}, longest {longest:>8.1?}", self.0.len())
    }
}

/// Prints the figures of a phase.
fn print_figures(name: &str, samples: &[Sample], phase: u8) {
    let of = |kind: Option<Kind>| {
        Figures::of(
            samples.iter().filter(|sample| sample.phase == phase && kind.is_none_or(|kind| sample.kind == kind)),
        )
    };
    println!("{name:14} {}", of(None));
    for kind in Kind::ALL {
        println!("{:>14} {}", format!("{kind:?}"), of(Some(kind)));
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).expect("a sane count")
}
