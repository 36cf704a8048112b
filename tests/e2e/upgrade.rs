//! A version is rolled out, back, and out again: the present build, and the former one that the repository keeps, in one
//! Worker over the same stores (`tests/runtime/rolling.mjs`).
//!
//! While edges and objects are of two builds, each answer is right or 503 with `Retry-After`. Nothing that was acknowledged
//! is lost, and nothing is done twice ([`crate::mixed_load`]).

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::thread;

use rusqlite::Connection;
use serde_json::{Value, json};
use xtask::former;

use crate::agents::PATH as AGENTS;
use crate::client::{Client, Response};
use crate::delete_end_user::completed;
use crate::edge_reads::{from_edge, near};
use crate::ending::EndWith;
use crate::faults;
use crate::migrations;
use crate::mixed_load::Load;
use crate::respond::PATH as TURNS;
use crate::server::{Options, Server, expect, roomy};
use crate::stores::object_of;
use crate::wait;

const USERS: &str = "/v1/end-users";
const FORMER: &str = "former";
const PRESENT: &str = "present";

/// The builds of the edges that serve, and the build of the objects.
type Stage = (&'static [&'static str], &'static str);

/// The edges change first, or the objects change while both edges serve, or the objects change first.
const OUT: &[Stage] = &[(&[FORMER, PRESENT], FORMER), (&[PRESENT], FORMER), (&[PRESENT], PRESENT)];
const BACK: &[Stage] = &[(&[FORMER, PRESENT], PRESENT), (&[FORMER, PRESENT], FORMER), (&[FORMER], FORMER)];
const OUT_AGAIN: &[Stage] = &[(&[FORMER], PRESENT), (&[FORMER, PRESENT], PRESENT), (&[PRESENT], PRESENT)];

/// Each build by itself.
const ALONE: [Stage; 2] = [(&[FORMER], FORMER), (&[PRESENT], PRESENT)];

/// How many answers of each edge the callers get in a stage.
const ANSWERS: u64 = 200;

/// A server of both builds, with the tables of the former one.
fn server() -> Server {
    let server = Server::start_with_former(Options { vars: roomy(), entry: Some("tests/runtime/faults.mjs") });
    migrate(&server, &migrations::of(&former::folder()));
    server
}

/// The migrations that the present build has and the former one has not.
fn new_migrations() -> BTreeMap<String, String> {
    let former = migrations::of(&former::folder());
    migrations::of(&xtask::root()).into_iter().filter(|(name, _)| !former.contains_key(name)).collect()
}

fn migrate(server: &Server, texts: &BTreeMap<String, String>) {
    roll(server, &json!({ "statements": migrations::statements(texts.values()) }));
}

fn roll(server: &Server, change: &Value) -> Value {
    expect(200, server.anonymous().post("/__rollout", change))
}

fn deploy(server: &Server, (edges, objects): Stage) -> Value {
    roll(server, &json!({ "edges": edges, "objects": objects }))
}

/// Goes through the stages of a rollout while callers send requests. Each deployment comes while requests are in progress,
/// and each edge answers some before the next. Builds that speak differently refuse each other.
fn go_through(server: &Server, stages: &[Stage]) {
    let count = |value: &Value| value.as_u64().expect("a count");
    for stage @ (edges, objects) in stages.iter().copied() {
        let interrupts = |deployed: &Value| count(&deployed["ended"]) > 0 && count(&deployed["in_progress"]) > 0;
        wait::until("a deployment that interrupts", || deploy(server, stage), interrupts);
        let look = || expect(200, server.anonymous().get("/__rollout"));
        let answered = |now: &Value| edges.iter().all(|edge| count(&now["requests"][edge]["answered"]) >= ANSWERS);
        let now = wait::until("answers of each edge", look, answered);
        let speak_alike = now["protocols"].as_array().is_some_and(|versions| versions.len() == 1);
        for edge in edges.iter().filter(|edge| **edge != objects) {
            let refused = count(&now["requests"][edge]["unavailable"]);
            assert!(speak_alike || refused > 0, "{edge} edges with {objects} objects: {now}");
        }
    }
}

#[test]
fn a_version_is_rolled_out_and_back_and_out_again_under_load() {
    let server = server();
    let mut load = Load::new(&server);
    load.run(20);
    assert_eq!(load.answered(503), 0, "the former build by itself");
    let mut landmarks = Vec::new();
    for (stages, new) in [(OUT, new_migrations()), (BACK, BTreeMap::new()), (OUT_AGAIN, BTreeMap::new())] {
        landmarks.push(Landmarks::set(&server));
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _end = EndWith(&is_over);
            scope.spawn(|| load.run_until(&is_over));
            migrate(&server, &new);
            go_through(&server, stages);
        });
        load.assert_nothing_lost();
        landmarks.iter().for_each(Landmarks::assert_there);
    }
    load.assert_right(&server);
}

/// What a build made, and its answers: the other build gives the same.
struct Landmarks {
    asked: Vec<(Question, Response)>,
    near: Client,
}

struct Question {
    client: Client,
    method: &'static str,
    path: String,
    body: Option<Value>,
}

impl Question {
    fn ask(&self) -> Response {
        let body = self.body.as_ref().map(Value::to_string);
        self.client.send(self.method, &self.path, body.as_ref().map(|body| ("application/json", body.as_bytes())))
    }
}

/// What the present build has added to answers, and the former one leaves out.
const ADDED: &str = ",\"turns_per_user\":0";

/// What must stay the same of an answer. The body of an error names its request.
fn substance(answer: &Response) -> (u16, Option<&str>, Option<&str>, String) {
    let header = |name: &str| answer.headers.get(name).map(String::as_str);
    let body = if answer.status < 400 { answer.body.replace(ADDED, "") } else { String::new() };
    (answer.status, header("etag"), header("idempotency-replayed"), body)
}

impl Landmarks {
    fn set(server: &Server) -> Self {
        let organization = server.organization();
        let client = server.client(&organization, "live", "read_write");
        let service = server.service(&organization, "live", "read_write");
        let mut questions = Vec::new();
        // Requests that were answered once: whoever asks again gets the kept answer.
        let mut keep = |client: &Client, path: &str, body: Value, right: u16| {
            let client = client.clone().with_header("Idempotency-Key", &format!("key-{}", questions.len()));
            let question = Question { client, method: "POST", path: path.to_owned(), body: Some(body) };
            let answer = expect(right, question.ask());
            questions.push(question);
            answer
        };
        keep(&client, USERS, json!({ "user_id": "ada", "metadata": { "number": 1 } }), 201);
        keep(&client, USERS, json!({ "user_id": "gone" }), 201);
        keep(&client, &format!("{USERS}/batch"), json!({ "users": [{ "user_id": "bob" }, { "user_id": "cyd" }] }), 200);
        let agent = keep(&client, AGENTS, json!({ "name": "Tutor", "external_id": "tutor" }), 201);
        let human = json!({ "external_id": "eve", "type": "human", "name": "Eve", "metadata": {} });
        keep(&service, "/api/v1/principals", human, 201);
        let agent = agent["agent_id"].as_str().expect("an id").to_owned();
        keep(&client, TURNS, json!({ "message": "hello", "personality_id": agent, "user_id": "bob" }), 200);

        let ada = format!("{USERS}/ada");
        expect(200, client.patch(&ada, &json!({ "metadata": { "number": 2 } })));
        let tag = client.get(&ada).header("etag").to_owned();
        let accepted = expect(202, client.delete(&format!("{USERS}/gone")));
        let receipt = accepted["deletion_id"].as_str().expect("an id").to_owned();
        completed(&client, &receipt);
        let key = json!({ "kind": "api", "mode": "live", "scope": "read_write", "name": "revoked" });
        let issued = server.issue(&organization, &key);
        let revoked = server.with_key(issued["key"].as_str().expect("a key"));
        let id = issued["id"].as_str().expect("an id");
        assert_eq!(server.admin().delete(&format!("{}/keys/{id}", organization.path())).status, 204);
        let page = expect(200, client.get(&format!("{USERS}?limit=2")));
        let cursor = page["next_cursor"].as_str().expect("a cursor").to_owned();

        let mut look = |client: &Client, method, path: String, body| {
            questions.push(Question { client: client.clone(), method, path, body });
        };
        look(&client, "GET", ada.clone(), None);
        look(&client.clone().with_header("If-None-Match", &tag), "GET", ada.clone(), None);
        let other = client.clone().with_header("If-Match", "\"1000000000\"");
        look(&other, "PATCH", ada.clone(), Some(json!({ "metadata": {} })));
        look(&client, "GET", format!("{USERS}/gone"), None);
        look(&client, "GET", format!("/v1/deletions/{receipt}"), None);
        look(&revoked, "GET", ada.clone(), None);
        look(&client, "GET", format!("{USERS}?limit=2&cursor={cursor}"), None);
        look(&client, "GET", "/v1/relationships?user_id=bob".to_owned(), None);
        look(&client, "GET", format!("{AGENTS}/{agent}/users"), None);
        look(&service, "GET", "/api/v1/principals".to_owned(), None);
        look(&server.admin(), "GET", organization.path(), None);

        let near = near(&client, 5);
        from_edge(&near, &ada);
        let asked = questions.into_iter().map(|question| {
            let answer = question.ask();
            (question, answer)
        });
        Self { asked: asked.collect(), near }
    }

    fn assert_there(&self) {
        for (question, first) in &self.asked {
            let again = question.ask();
            assert_eq!(substance(&again), substance(first), "{} {}: {again:?}", question.method, question.path);
        }
        let ada = from_edge(&self.near, &format!("{USERS}/ada"));
        assert_eq!(ada.json()["metadata"], json!({ "number": 2 }));
    }
}

/// D1 is down while the version changes, so the erasure is pending then.
#[test]
fn an_erasure_that_one_build_begins_the_other_completes() {
    let server = server();
    migrate(&server, &new_migrations());
    let client = server.new_client();
    let [former, present] = ALONE;
    for (begins, completes) in [(former, present), (present, former)] {
        deploy(&server, begins);
        let path = format!("{USERS}/{}", begins.1);
        assert_eq!(client.post(USERS, &json!({ "user_id": begins.1 })).status, 201);
        faults::set(&server, &json!({ "d1": true }));
        let accepted = expect(202, client.delete(&path));
        let receipt = accepted["deletion_id"].as_str().expect("an id");
        assert!(deploy(&server, completes)["ended"].as_u64() > Some(0));
        assert_eq!(expect(200, client.get(&path))["status"], "deletion_pending");
        faults::set(&server, &json!({ "d1": false }));
        completed(&client, receipt);
        assert_eq!(client.get(&path).status, 404);
    }
}

/// Every row of every table of an object.
fn rows(object: &Connection) -> Vec<String> {
    let texts = |query: &str| -> rusqlite::Result<Vec<String>> {
        let mut statement = object.prepare(query)?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let values = (0..columns).map(|column| Ok(format!("{:?}", row.get::<_, rusqlite::types::Value>(column)?)));
            Ok(values.collect::<rusqlite::Result<Vec<_>>>()?.join(" "))
        })?;
        rows.collect()
    };
    // The runtime's own tables begin with `_cf_`.
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND substr(name, 1, 4) <> '_cf_' ORDER BY name";
    let mut tables = object.prepare(tables).expect("the schema");
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).expect("the tables");
    let rows = tables.flat_map(|table| {
        let table = table.expect("a table");
        let rows = texts(&format!("SELECT * FROM {table}")).expect("its rows");
        rows.into_iter().map(move |row| format!("{table}: {row}"))
    });
    rows.collect()
}

/// A version may change the tables so that no build before it can serve them. A build that is rolled back too far refuses,
/// and leaves the tables to the newer one.
#[test]
fn a_build_that_may_not_serve_the_tables_answers_503_and_leaves_them_alone() {
    let mut server = server();
    migrate(&server, &new_migrations());
    deploy(&server, (&[PRESENT], PRESENT));
    let organization = server.organization();
    let mut client = server.client(&organization, "live", "read_write");
    assert_eq!(client.post(USERS, &json!({ "user_id": "ada" })).status, 201);
    let tenant = format!("{}/live", organization.id);
    let ada = format!("{USERS}/ada");

    server.kill();
    let object = object_of(server.state(), &tenant);
    let set_version = "UPDATE state SET value = ? WHERE name IN ('schema', 'served_from')";
    let version = "SELECT value FROM state WHERE name = 'schema'";
    let version: i64 = object.query_row(version, [], |row| row.get(0)).expect("the version");
    object.execute(set_version, [version + 1]).expect("the tables of a newer build");
    let rows_before = rows(&object);
    drop(object);
    server.restart();
    client.move_to(server.url());
    for stage in ALONE {
        deploy(&server, stage);
        for answer in [
            client.get(&ada),
            client.patch(&ada, &json!({ "metadata": { "number": 1 } })),
            client.post(USERS, &json!({ "user_id": "bob" })),
            client.get(USERS),
            client.delete(&ada),
        ] {
            assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{stage:?}: {answer:?}");
        }
    }

    server.kill();
    let object = object_of(server.state(), &tenant);
    assert_eq!(rows(&object), rows_before);
    object.execute(set_version, [version]).expect("the tables of the present build");
    drop(object);
    server.restart();
    client.move_to(server.url());
    deploy(&server, (&[PRESENT], PRESENT));
    assert_eq!(client.get(&ada).status, 200);
    assert_eq!(client.post(USERS, &json!({ "user_id": "bob" })).status, 201);
}

/// A migration that was applied is never applied again, whatever it says by then.
#[test]
fn the_migrations_of_the_former_build_are_as_they_were() {
    let present = migrations::of(&xtask::root());
    for (name, text) in migrations::of(&former::folder()) {
        assert_eq!(present.get(&name), Some(&text), "{name}");
    }
}
