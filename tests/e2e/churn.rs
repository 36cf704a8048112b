//! Lists that a test walks while users are made and erased: a user who exists all the time is on exactly one page.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::client::{Client, encode};
use crate::ending::EndWith;
use crate::server::{Options, Server, expect, roomy};

const PERMANENT: usize = 400;
const ROUNDS: usize = 3;
/// Threads that change the walked tenant. One more thread changes the others.
const CHURNERS: usize = 3;
/// Most users that a thread keeps alive at a time.
const ALIVE_EACH: usize = 24;

/// Beginnings of ids, spread over the whole order. By UTF-16, which is how JavaScript compares, the ones above
/// U+FFFF come before U+FFFD.
const BEGINNINGS: &[&str] =
    &[" ", "!", "/", "0", "A", "Z", "a", "a/", "a/b", "aa", "~", "é", "日本", "\u{FFFD}", "🦀", "\u{10FFFF}"];

/// The `index`th place in the order. Ids that belong there begin with it.
fn place(index: usize) -> String {
    let beginning = BEGINNINGS[index % BEGINNINGS.len()];
    format!("{beginning}{:03}", index / BEGINNINGS.len())
}

/// Part of the temporary ids in the walked tenant, and of the ids in the others.
const PASSING: &str = "+passing";
const FOREIGN: &str = "+foreign";

fn permanent() -> BTreeSet<String> {
    (0..PERMANENT).map(place).collect()
}

#[test]
fn a_walk_shows_whoever_stays_once_whoever_else_comes_and_goes() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let others = [
        server.client(&organization, "test", "read_write"),
        server.client(&server.organization(), "live", "read_write"),
    ];
    let permanent = permanent();
    assert_eq!(permanent.len(), PERMANENT);
    create(&client, permanent.iter().cloned());
    for other in &others {
        create(other, permanent.iter().map(|id| format!("{id}{FOREIGN}")));
    }
    let done = AtomicBool::new(false);
    let changes = AtomicUsize::new(0);
    let started = Instant::now();
    let walks: Vec<Walk> = thread::scope(|scope| {
        let _end = EndWith(&done);
        for churner in 0..CHURNERS {
            let (client, done, changes) = (&client, &done, &changes);
            scope.spawn(move || churn(&[client], &format!("{PASSING}{churner}"), done, changes));
        }
        let others: Vec<&Client> = others.iter().collect();
        let (done, changes) = (&done, &changes);
        scope.spawn(move || churn(&others, FOREIGN, done, changes));
        let by_id = scope.spawn(|| walk_all(&client, "user_id", &permanent));
        let by_creation = walk_all(&client, "created_at", &permanent);
        [by_creation, by_id.join().expect("a walker")].concat()
    });
    let sum = |count: fn(&Walk) -> usize| walks.iter().map(count).sum::<usize>();
    let (pages, rows, passing) = (sum(|walk| walk.pages), sum(|walk| walk.rows), sum(|walk| walk.passing));
    let changes = changes.into_inner();
    println!("{} walks of {pages} pages saw {rows} rows, {passing} of them of users who come and go", walks.len());
    println!("meanwhile {changes} users were made or erased, in {:.1?}", started.elapsed());
    assert_eq!(rows - passing, walks.len() * PERMANENT);
    assert!(passing > 0, "no walk met anyone who comes and goes");
    assert!(changes > walks.len(), "little changed meanwhile");
}

/// Makes users in one call.
fn create(client: &Client, ids: impl Iterator<Item = String>) {
    let users: Vec<Value> = ids.map(|id| json!({ "user_id": id })).collect();
    let results = expect(200, client.post("/v1/end-users/batch", &json!({ "users": users })));
    for result in results["results"].as_array().expect("results") {
        assert_eq!(result["status"], 201, "{result}");
    }
}

/// Makes and erases its own users at random places, until `done` is set. Their ids end with `ending`.
fn churn(clients: &[&Client], ending: &str, done: &AtomicBool, changes: &AtomicUsize) {
    let mut random = fastrand::Rng::new();
    let mut alive: VecDeque<(&Client, String)> = VecDeque::new();
    while !done.load(Ordering::Relaxed) {
        if alive.len() < ALIVE_EACH {
            let client = clients[random.usize(..clients.len())];
            // There are few ids, so that they are made again, some while they are being erased.
            let id = format!("{}{ending}-{}", place(random.usize(..PERMANENT)), random.u8(..2));
            if alive.iter().any(|(_, other)| *other == id) {
                continue;
            }
            let created = client.post("/v1/end-users", &json!({ "user_id": id }));
            match created.status {
                201 => alive.push_back((client, id)),
                409 => continue,
                other => panic!("{other}: {created:?}"),
            }
        } else if let Some((client, id)) = alive.pop_front() {
            expect(202, client.delete(&format!("/v1/end-users/{}", encode(&id))));
        }
        changes.fetch_add(1, Ordering::Relaxed);
    }
}

/// The result of one walk from the first page to the last.
#[derive(Debug, Clone)]
struct Walk {
    query: String,
    pages: usize,
    rows: usize,
    passing: usize,
}

fn walk_all(client: &Client, order_by: &str, permanent: &BTreeSet<String>) -> Vec<Walk> {
    let mut walks = Vec::new();
    for _ in 0..ROUNDS {
        for order in ["asc", "desc"] {
            for limit in [7, 50, 200] {
                walks.push(walk(client, order_by, order, limit, permanent));
            }
        }
    }
    walks
}

fn walk(client: &Client, order_by: &str, order: &str, limit: usize, permanent: &BTreeSet<String>) -> Walk {
    let query = format!("order_by={order_by}&order={order}&limit={limit}");
    let mut walk = Walk { query, pages: 0, rows: 0, passing: 0 };
    let mut missing = permanent.clone();
    let mut last: Option<(String, String)> = None;
    let mut cursor = String::new();
    loop {
        let page = expect(200, client.get(&format!("/v1/end-users?{}{cursor}", walk.query)));
        let rows = page["data"].as_array().expect("data");
        let next = page["next_cursor"].as_str();
        walk.pages += 1;
        walk.rows += rows.len();
        assert!(rows.len() == limit || (rows.len() < limit && next.is_none()), "a page of {}: {walk:?}", rows.len());
        for row in rows {
            let text = |name: &str| row[name].as_str().expect("a text").to_owned();
            let id = text("user_id");
            // Rust compares strings by bytes.
            let key = (if order_by == "created_at" { text("created_at") } else { String::new() }, id.clone());
            if let Some(last) = &last {
                assert!(if order == "asc" { *last < key } else { *last > key }, "{key:?} after {last:?}: {walk:?}");
            }
            last = Some(key);
            if id.contains(PASSING) {
                walk.passing += 1;
            } else {
                assert!(missing.remove(&id), "{id:?} is a stranger or came twice: {walk:?}");
            }
            assert_eq!(row["status"], "active", "{row}");
        }
        assert_eq!(page["has_more"], next.is_some());
        let Some(next) = next else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(missing.is_empty(), "{missing:?} not found: {walk:?}");
    walk
}
