//! Reads with `Cache-Control: max-stale`: answered from KV, by an edge that does not ask the object.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, Response, encode};
use crate::clock::{self, Clock, set_ahead};
use crate::create_end_user::{ALWAYS, BUCKET};
use crate::delete_end_user::completed;
use crate::respond::turn;
use crate::server::{Options, Organization, Server, expect, roomy, shared};
use crate::{agents, wait};

const LIMIT: Duration = Duration::from_secs(5);
/// The edge's clock counts whole milliseconds.
const CLOCK_STEP: Duration = Duration::from_millis(2);
/// Longer than the object leaves a copy alone after it was written.
pub const REWRITTEN_AFTER: Duration = Duration::from_secs(61);

/// The same caller, who takes an answer that is up to so many seconds old.
pub fn near(client: &Client, seconds: u32) -> Client {
    client.clone().with_header("Cache-Control", &format!("max-stale={seconds}"))
}

pub fn is_from_edge(response: &Response) -> bool {
    response.headers.get("x-rollcall-source").is_some_and(|source| source == "edge")
}

/// Reads until KV has the answer. Every answer on the way is a success too.
#[track_caller]
pub fn from_edge(client: &Client, path: &str) -> Response {
    let look = || {
        let response = client.get(path);
        assert_eq!(response.status, 200, "{response:?}");
        response
    };
    wait::until(&format!("an answer from KV for {path}"), look, is_from_edge)
}

#[track_caller]
fn assert_strong(response: &Response) {
    assert_eq!(response.header("x-rollcall-source"), "object", "{response:?}");
    assert!(!response.headers.contains_key("age"), "{response:?}");
}

fn age(response: &Response) -> Duration {
    Duration::from_secs(response.header("age").parse().expect("whole seconds"))
}

fn remaining(response: &Response) -> u32 {
    response.header("x-ratelimit-remaining").parse().expect("a number")
}

fn by_external_id(external_id: &str) -> String {
    format!("/api/v1/principals/by-external-id/{}", encode(external_id))
}

fn make(client: &Client, user_id: &str, metadata: &Value) -> Response {
    let created = client.post("/v1/end-users", &json!({ "user_id": user_id, "metadata": metadata }));
    assert_eq!(created.status, 201, "{created:?}");
    created
}

#[test]
fn a_read_at_the_edge_says_where_it_comes_from_and_how_old_it_is() {
    let server = shared();
    let client = server.new_client();
    let metadata = json!({ "n": 9_007_199_254_740_993_u64, "deep": { "🦀": [null, 1.5] } });
    let created = make(&client, "ada/🦀 @example.org", &metadata);
    let path = created.header("location").to_owned();
    let first = near(&client, 5).get(&path);
    assert_eq!((first.status, first.header("etag")), (200, created.header("etag")));
    assert_strong(&first);
    assert_eq!(first.json()["relationships"], json!([]));

    let read = from_edge(&near(&client, 5), &path);
    assert_eq!(read.json(), created.json(), "without relationships, which only the object has");
    read.assert_header_names(&[ALWAYS, BUCKET, &["age", "etag", "x-rollcall-source"]]);
    assert!(age(&read) <= LIMIT, "{read:?}");
    assert_eq!(read.header("etag"), format!("W/{}", created.header("etag")));
    assert_eq!(read.header("cache-control"), "no-store, no-transform");
    assert_eq!(read.header("x-ratelimit-limit"), "100000");
    assert_eq!(read.header("ratelimit-policy"), "\"org\";q=1000000;w=10");
    assert!(read.header("ratelimit").starts_with(&format!("\"org\";r={};t=", remaining(&read))), "{read:?}");
    let line = server.log_line(read.header("x-request-id"));
    assert_eq!((&line["status"], &line["source"]), (&json!(200), &json!("edge")), "{line}");
    assert!(line["recordsMs"].is_u64() && line["objectMs"].is_null(), "{line}");

    // A turn makes a relationship, which no copy shows.
    turn(&client, &agents::make_agent(&client, "tutor"), "ada/🦀 @example.org");
    let strong = client.get(&path);
    assert_strong(&strong);
    assert_eq!(strong.json()["relationships"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_service_reads_a_principal_at_the_edge() {
    let server = shared();
    let organization = server.organization();
    let service = server.service(&organization, "live", "read_write");
    let human = json!({ "external_id": "ada/1", "type": "human", "name": "Ada", "metadata": { "plan": "pro" } });
    let created = service.post("/api/v1/principals", &human);
    assert_eq!(created.status, 201, "{created:?}");
    let path = by_external_id("ada/1");
    let strong = service.get(&path);
    assert_strong(&strong);
    let read = from_edge(&near(&service, 5), &path);
    assert_eq!(read.json(), strong.json());
    assert_eq!(read.header("etag"), format!("W/{}", strong.header("etag")));
    assert!(age(&read) <= LIMIT && remaining(&read) < 1_000_000, "{read:?}");
    // The same copy serves the other dialect, in which the caller has a lease of their own.
    let client = server.client(&organization, "live", "read");
    let user = from_edge(&near(&client, 5), "/v1/end-users/ada%2F1").json();
    assert_eq!((&user["display_name"], &user["metadata"]), (&json!("Ada"), &json!({ "plan": "pro" })));
}

/// Only users have copies.
#[test]
fn an_agent_is_always_read_from_the_object() {
    let server = shared();
    let service = server.service(&server.organization(), "live", "read_write");
    for (external_id, kind) in [("tutor", "agent"), ("ada", "human")] {
        let body = json!({ "external_id": external_id, "type": kind, "name": "Some" });
        assert_eq!(service.post("/api/v1/principals", &body).status, 201);
    }
    let near = near(&service, 5);
    for _ in 0..20 {
        from_edge(&near, &by_external_id("ada"));
        let agent = near.get(&by_external_id("tutor"));
        assert_eq!(agent.status, 200, "{agent:?}");
        assert_strong(&agent);
    }
}

#[test]
fn a_read_is_strong_unless_the_caller_takes_an_older_answer() {
    let client = shared().new_client();
    let created = make(&client, "ada", &json!({}));
    let tag = created.header("etag");
    let path = "/v1/end-users/ada";
    let strong_headers = [
        ("Accept", "application/json"),
        ("Cache-Control", "max-stale=0"),
        ("Cache-Control", "no-cache"),
        ("Cache-Control", "max-stale=5, no-cache"),
        ("Cache-Control", "no-store, max-stale=5"),
        ("Cache-Control", "max-stale=-1"),
        ("Cache-Control", "max-stale=1.5"),
        ("Cache-Control", "max-stale=x"),
        ("Cache-Control", "max-stale="),
        ("Cache-Control", "max-age=60"),
        ("Cache-Control", ""),
    ];
    for (name, value) in strong_headers {
        from_edge(&near(&client, 5), path);
        let read = client.clone().with_header(name, value).get(path);
        assert_eq!((read.status, read.header("etag")), (200, tag), "{value}: {read:?}");
        assert_strong(&read);
        assert_eq!(read.json()["relationships"], json!([]), "{value}");
    }
    // Only the object knows whether what the caller holds is all there is to see.
    let conditional = near(&client, 5);
    for (name, value, status) in [
        ("If-None-Match", tag, 304),
        ("If-None-Match", &format!("W/{tag}"), 304),
        ("If-None-Match", "\"0\"", 200),
        ("If-Match", tag, 200),
        ("If-Match", "\"0\"", 412),
    ] {
        from_edge(&near(&client, 5), path);
        let read = conditional.clone().with_header(name, value).get(path);
        assert_eq!(read.status, status, "{name}: {value}: {read:?}");
        assert!(!is_from_edge(&read) && !read.headers.contains_key("age"), "{read:?}");
    }
    for value in ["max-stale", "max-stale=3600", "max-stale=99999999999", "Max-Stale = \"5\", max-age=0"] {
        from_edge(&client.clone().with_header("Cache-Control", value), path);
    }
}

#[test]
fn only_a_success_is_answered_from_kv() {
    let server = shared();
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 200 }));
    let client = server.client(&organization, "live", "read_write");
    make(&client, "ada", &json!({}));
    let near_client = near(&client, 5);
    for _ in 0..10 {
        let missing = near_client.get("/v1/end-users/nobody");
        assert_eq!(missing.status, 404, "{missing:?}");
        assert!(!is_from_edge(&missing), "{missing:?}");
    }
    assert_eq!(near_client.get("/v1/end-users/%ff").status, 400);
    assert_eq!(near_client.get("/v1/end-users/ada?x=1").status, 422);
    assert_eq!(near(&server.with_key("guess"), 5).get("/v1/end-users/ada").status, 401);
    from_edge(&near_client, "/v1/end-users/ada");
    let look = || near_client.get("/v1/end-users/ada");
    let refused = wait::until("an empty bucket", look, |response| response.status == 429);
    assert!(!is_from_edge(&refused) && refused.headers.contains_key("retry-after"), "{refused:?}");
    refused.assert_header_names(&[
        ALWAYS,
        BUCKET,
        &[
            "retry-after",
            "x-quota-relationships-limit",
            "x-quota-relationships-used",
            "x-quota-reset",
            "x-quota-turns-limit",
            "x-quota-turns-used",
        ],
    ]);
}

#[test]
fn head_is_answered_from_kv_too() {
    let client = near(&shared().new_client(), 5);
    make(&client, "ada", &json!({}));
    let read = from_edge(&client, "/v1/end-users/ada");
    let look = || client.send("HEAD", "/v1/end-users/ada", None);
    let head = wait::until("a HEAD from KV", look, is_from_edge);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("etag"), read.header("etag"));
    assert!(age(&head) <= LIMIT);
}

#[test]
fn a_browser_may_ask_for_it_and_read_what_it_says() {
    let origin = "https://app.example";
    let client = shared().new_client().with_header("Origin", origin);
    make(&client, "ada", &json!({}));
    let read = from_edge(&near(&client, 5), "/v1/end-users/ada");
    let names = |header: &str| -> Vec<String> { header.split(", ").map(str::to_ascii_lowercase).collect() };
    let exposed = names(read.header("access-control-expose-headers"));
    for name in ["age", "x-rollcall-source", "etag", "x-ratelimit-remaining"] {
        assert!(exposed.iter().any(|exposed| exposed == name), "{name}: {exposed:?}");
    }
    let preflight = shared()
        .anonymous()
        .with_header("Origin", origin)
        .with_header("Access-Control-Request-Method", "GET")
        .with_header("Access-Control-Request-Headers", "authorization, cache-control")
        .send("OPTIONS", "/v1/end-users/ada", None);
    let allowed = names(preflight.header("access-control-allow-headers"));
    assert!(allowed.iter().any(|name| name == "cache-control"), "{allowed:?}");
}

#[test]
fn the_operator_says_how_old_answers_may_be() {
    let server = shared();
    let admin = server.admin();
    let organization = server.organization_with(&json!({ "edge_stale_s": 0 }));
    let limits = || expect(200, admin.get(&organization.path()))["limits"].clone();
    assert_eq!(limits()["edge_stale_s"], 0);
    for wrong in [json!(6), json!(-1), json!(1.5), json!("5"), json!(null), json!(true)] {
        let body = json!({ "name": "Wrong", "limits": { "edge_stale_s": wrong } });
        for refused in [admin.post("/admin/v1/organizations", &body), admin.patch(&organization.path(), &body)] {
            assert_eq!(refused.status, 422, "{wrong}: {refused:?}");
            assert_eq!(refused.json()["errors"][0]["location"], "body.limits.edge_stale_s");
        }
    }
    let patch = |limits: &Value| expect(200, admin.patch(&organization.path(), &json!({ "limits": limits })));
    assert_eq!(patch(&json!({ "requests_per_second": 100_000, "burst": 1_000_000 }))["limits"]["edge_stale_s"], 0);

    let client = server.client(&organization, "live", "read_write");
    make(&client, "ada", &json!({}));
    let ada = "/v1/end-users/ada";
    let assert_off = || {
        for _ in 0..30 {
            assert_strong(&near(&client, 5).get(ada));
        }
    };
    assert_off();
    assert_eq!(patch(&json!({ "edge_stale_s": 1 }))["limits"]["edge_stale_s"], 1);
    for _ in 0..20 {
        assert!(age(&from_edge(&near(&client, 3_600), ada)) <= Duration::from_secs(1));
    }
    // By this isolate, which has carried the change out, at once.
    patch(&json!({ "edge_stale_s": 0 }));
    assert_off();
    assert_eq!(limits(), patch(&json!({}))["limits"]);
}

/// The clock stands still, so no token comes back and no lease lapses.
#[test]
fn reads_at_the_edge_take_no_more_than_the_bucket_holds() {
    let burst = 400;
    let server = clock::stopped();
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": burst }));
    let client = server.client(&organization, "live", "read_write");
    make(&client, "ada", &json!({}));
    let near = near(&client, 5);
    let (mut admitted, mut from_kv, mut last) = (1, 0, None);
    let mut refused = 0;
    while refused < 20 {
        let read = near.get("/v1/end-users/ada");
        if read.status == 429 {
            assert_eq!(read.header("retry-after"), "1");
            refused += 1;
            continue;
        }
        assert_eq!(read.status, 200, "{read:?}");
        admitted += 1;
        assert!(remaining(&read) < burst, "{read:?}");
        if is_from_edge(&read) {
            from_kv += 1;
            assert_eq!(read.header("age"), "0");
            // Until the next lease, one token after the other.
            assert!(last.is_none_or(|last| remaining(&read) + 1 == last), "{last:?}, {read:?}");
            last = Some(remaining(&read));
        } else {
            last = None;
        }
        assert!(admitted <= burst, "more than the bucket holds");
    }
    println!("{admitted} of {burst} admitted, {from_kv} of them from KV");
    assert!(from_kv > 0);
}

/// What a test has changed, and when the change was acknowledged.
struct Written {
    value: u64,
    acknowledged: Instant,
}

/// Checks an answer against the changes: it has every one that was acknowledged longer ago than its age. `began` is when
/// the request was sent.
fn assert_not_older_than_it_says(read: &Response, value: u64, began: Instant, written: &[Written]) {
    let age = if is_from_edge(read) { age(read) } else { Duration::ZERO };
    assert!(age <= LIMIT, "{read:?}");
    let is_due = |change: &&Written| change.acknowledged + age + CLOCK_STEP < began;
    let due = written.iter().rfind(is_due).map_or(0, |change| change.value);
    assert!(value >= due, "{value} is older than {due}, and than it says: {read:?}");
}

/// Two isolates read what one of them writes. Each user changes once a round, under a lease that is there already.
#[test]
fn no_answer_is_older_than_it_says() {
    const USERS: usize = 24;
    let server = Server::start_with_edges(Options { vars: roomy(), entry: Some(clock::ENTRY) }, 2);
    let client = server.new_client();
    let mut elsewhere = client.clone();
    elsewhere.move_to(&server.others()[0]);
    let paths: Vec<String> = (0..USERS).map(|index| format!("/v1/end-users/u{index}")).collect();
    for index in 0..USERS {
        make(&client, &format!("u{index}"), &json!({ "n": 0 }));
    }
    let number = |response: &Response| response.json()["metadata"]["n"].as_u64().expect("a number");
    let mut old = 0;
    for round in 1..=3_u64 {
        // A copy is written again after a minute. The object notices that the time has come when it is called.
        set_ahead(&server, REWRITTEN_AFTER * u32::try_from(round).expect("few"));
        for path in &paths {
            for reader in [&client, &elsewhere] {
                let read = from_edge(&near(reader, 5), path);
                assert_eq!(number(&read), round - 1, "{read:?}");
            }
        }
        old += thread::scope(|scope| {
            let rounds: Vec<_> = paths
                .iter()
                .map(|path| {
                    let (client, elsewhere) = (&client, &elsewhere);
                    scope.spawn(move || {
                        let readers = [near(client, 5), near(elsewhere, 5)];
                        for reader in &readers {
                            assert_eq!(reader.get(path).status, 200);
                        }
                        expect(200, client.patch(path, &json!({ "metadata": { "n": round } })));
                        let written = [Written { value: round, acknowledged: Instant::now() }];
                        let (mut old, mut news) = (0, [false; 2]);
                        let look = || {
                            for (reader, is_new) in readers.iter().zip(&mut news) {
                                let began = Instant::now();
                                let read = reader.get(path);
                                assert_eq!(read.status, 200, "{read:?}");
                                let value = number(&read);
                                assert_not_older_than_it_says(&read, value, began, &written);
                                old += usize::from(value < round);
                                *is_new = value == round;
                            }
                            assert_eq!(number(&client.get(path)), round, "a strong read is never old");
                            news
                        };
                        wait::until("the new state at both edges", look, |news| *news == [true; 2]);
                        old
                    })
                })
                .collect();
            rounds.into_iter().map(|thread| thread.join().expect("a reader")).sum::<usize>()
        });
    }
    println!("{old} answers were old, as they said");
    assert!(old > 0, "leases make a difference");
}

#[test]
fn a_revoked_key_reads_nothing_when_its_lease_is_over() {
    let server = Server::start_with_edges(Options { vars: roomy(), entry: None }, 2);
    let organization = server.organization();
    let request = json!({ "kind": "api", "mode": "live", "scope": "read_write", "name": "to be revoked" });
    let issued = server.issue(&organization, &request);
    let client = near(&server.with_key(issued["key"].as_str().expect("a key")), 5);
    let mut elsewhere = client.clone();
    elsewhere.move_to(&server.others()[0]);
    make(&client, "ada", &json!({}));
    let path = "/v1/end-users/ada";
    for client in [&client, &elsewhere] {
        from_edge(client, path);
    }
    let key = format!("{}/keys/{}", organization.path(), issued["id"].as_str().expect("an id"));
    assert_eq!(server.admin().delete(&key).status, 204);
    let revoked = Instant::now();
    let refused = client.get(path);
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (401, &json!("invalid_token")), "at once");
    let look = || {
        let is_over = revoked.elapsed() > LIMIT + CLOCK_STEP;
        let read = elsewhere.get(path);
        assert!(read.status == 401 || (is_from_edge(&read) && !is_over), "{read:?}");
        read
    };
    wait::until("the end of the lease elsewhere", look, |read| read.status == 401);
}

#[test]
fn a_lease_ends_with_its_key() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let organization = server.organization();
    let ends_ms = clock.at_ms() + 2_000;
    let request = json!({ "kind": "api", "mode": "live", "name": "short", "expires_at": clock::text(ends_ms) });
    let key = server.issue(&organization, &request);
    make(&server.client(&organization, "live", "read_write"), "ada", &json!({}));
    let short = near(&server.with_key(key["key"].as_str().expect("a key")), 5);
    from_edge(&short, "/v1/end-users/ada");
    clock.advance(Duration::from_millis(1_999));
    assert_eq!(short.get("/v1/end-users/ada").status, 200);
    clock.advance(Duration::from_millis(1));
    let refused = short.get("/v1/end-users/ada");
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (401, &json!("token_expired")), "{refused:?}");
}

/// Metadata of the person who is erased, and of the one who is made under the same id.
const ERASED: &str = "the first";
const NEXT: &str = "the second";

#[test]
fn an_erased_person_is_read_nowhere_when_the_leases_are_over() {
    let server = Server::start_with_edges(Options { vars: roomy(), entry: Some(clock::ENTRY) }, 2);
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let mut elsewhere = client.clone();
    elsewhere.move_to(&server.others()[0]);
    let readers = [near(&client, 5), near(&elsewhere, 5)];
    make(&client, "ada", &json!({ "who": ERASED }));
    let path = "/v1/end-users/ada";
    for reader in &readers {
        from_edge(reader, path);
    }
    let accepted = expect(202, client.delete(path));
    let erased = Instant::now();
    let look = || {
        let is_over = erased.elapsed() > LIMIT + CLOCK_STEP;
        for reader in &readers {
            let read = reader.get(path);
            assert_eq!(read.status, 200, "{read:?}");
            if is_from_edge(&read) {
                assert!(!is_over, "{:?} after the erasure: {read:?}", erased.elapsed());
            } else {
                assert_eq!(read.json()["status"], "deletion_pending", "{read:?}");
            }
        }
        is_over
    };
    wait::until("the end of every lease", look, |is_over| *is_over);
    // The copy was written a moment ago, so the object leaves it alone for a minute.
    set_ahead(&server, REWRITTEN_AFTER);
    completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    for reader in &readers {
        assert_eq!(reader.get(path).status, 404);
    }
    make(&client, "ada", &json!({ "who": NEXT }));
    set_ahead(&server, REWRITTEN_AFTER * 3);
    for reader in &readers {
        let look = || {
            let read = reader.get(path);
            assert_eq!((read.status, &read.json()["metadata"]["who"]), (200, &json!(NEXT)), "{read:?}");
            read
        };
        wait::until("a copy of the next person", look, is_from_edge);
    }
}

/// The same id in each mode of two organizations.
#[test]
fn nobody_reads_a_copy_of_another_tenant() {
    let server = shared();
    let organizations: [Organization; 2] = [server.organization(), server.organization()];
    let tenants = organizations.iter().flat_map(|organization| ["live", "test"].map(|mode| (organization, mode)));
    let clients: Vec<Client> =
        tenants.map(|(organization, mode)| server.client(organization, mode, "read_write")).collect();
    for (owner, client) in clients.iter().enumerate() {
        make(client, "shared", &json!({ "owner": owner }));
        make(client, &format!("only-{owner}"), &json!({ "owner": owner }));
        from_edge(&near(client, 5), &format!("/v1/end-users/only-{owner}"));
    }
    for (owner, client) in clients.iter().enumerate() {
        for _ in 0..3 {
            let read = from_edge(&near(client, 5), "/v1/end-users/shared");
            assert_eq!(read.json()["metadata"]["owner"], owner, "{read:?}");
        }
        for other in (0..clients.len()).filter(|other| *other != owner) {
            let read = near(client, 5).get(&format!("/v1/end-users/only-{other}"));
            assert_eq!(read.status, 404, "{read:?}");
        }
    }
}
