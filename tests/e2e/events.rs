//! `GET /v1/events`: what changed, in pages, for readers who wait, and as a stream.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Lines};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::Client;
use crate::clock::{self, set_ahead, set_speed};
use crate::delete_end_user::completed;
use crate::pages::PageCount;
use crate::respond::{relationship_of, turn};
use crate::server::{Options, Server, expect, roomy, shared};
use crate::wait;

pub const PATH: &str = "/v1/events";
/// Counts calls, and has a clock that can be set.
const FAULTS: &str = "tests/runtime/faults.mjs";

/// Walks through all events, page by page.
pub fn walk(client: &Client, query: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let (mut after, mut pages) = (String::new(), PageCount::default());
    loop {
        pages.add();
        let page = expect(200, client.get(&format!("{PATH}?limit={limit}{query}{after}")));
        let members: Vec<&String> = page.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["data", "has_more", "next_cursor"]);
        let data = page["data"].as_array().expect("data");
        assert!(data.len() <= limit);
        all.extend(data.iter().cloned());
        let place = page["next_cursor"].as_str().expect("a place, also on the last page");
        if page["has_more"] == false {
            return all;
        }
        after = format!("&after={place}");
    }
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().expect("a type")).collect()
}

#[test]
fn everything_that_changes_is_an_event_in_order() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    turn(&client, &agent, "ada");
    expect(200, client.patch("/v1/end-users/ada", &json!({ "display_name": "Ada" })));
    let relationship = relationship_of(&client, "ada")["id"].as_str().expect("an id").to_owned();
    expect(202, client.delete(&format!("/v1/relationships/{relationship}")));
    expect(200, client.patch(&format!("/api/v1/agents/{agent}"), &json!({ "metadata": { "v": 1 } })));
    expect(202, client.delete(&format!("/api/v1/agents/{agent}")));
    expect(200, server.admin().patch(&organization.path(), &json!({ "limits": { "burst": 77 } })));
    let spare =
        server.issue(&organization, &json!({ "kind": "api", "mode": "live", "scope": "read", "name": "spare" }));
    let spare_id = spare["id"].as_str().expect("an id");
    assert_eq!(server.admin().delete(&format!("{}/keys/{spare_id}", organization.path())).status, 204);
    let events = walk(&client, "", 200);
    assert_eq!(
        types(&events),
        [
            "organization.updated",
            "key.created",
            "agent.created",
            "end_user.created",
            "relationship.created",
            "end_user.updated",
            "relationship.deleted",
            "agent.updated",
            "agent.deleted",
            "organization.updated",
            "key.created",
            "key.revoked",
        ]
    );
    let sequences: Vec<i64> = events.iter().map(|event| event["sequence"].as_i64().expect("a number")).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
    let ids: BTreeSet<&str> = events.iter().map(|event| event["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), events.len());

    let user = expect(200, client.get("/v1/end-users/ada"));
    let created = &events[3];
    let members: Vec<&String> = created.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["actor", "created_at", "data", "id", "request_id", "sequence", "subject", "type"]);
    assert_eq!(created["subject"]["id"], "ada");
    assert_eq!(created["subject"]["version"], user["version"], "as it is now");
    assert_eq!(created["data"]["display_name"], "Ada");
    assert_eq!(created["actor"]["type"], "key");
    assert_eq!(created["subject"]["ref"], events[5]["subject"]["ref"]);
    for gone in [&events[2], &events[4], &events[6], &events[8]] {
        assert_eq!(
            (&gone["data"], &gone["subject"]["id"], &gone["subject"]["version"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
    }
    assert_eq!(events[2]["subject"]["ref"], agent.as_str());
    assert_eq!(events[4]["subject"]["ref"], relationship.as_str());
    assert_eq!(
        (&events[9]["actor"], &events[9]["data"]["limits"]["burst"]),
        (&json!({ "type": "operator", "id": null }), &json!(77))
    );
    assert_eq!(events[11]["data"]["id"], spare_id);
    assert!(events[11]["data"]["revoked_at"].is_string() && events[11]["data"].get("key").is_none());
    assert!(!json!(events).to_string().contains(spare["key"].as_str().expect("a key")));

    for limit in [1, 2, 5] {
        assert_eq!(walk(&client, "", limit), events, "in pages of {limit}");
    }
    let of_two = walk(&client, "&types=key.revoked,agent.created", 1);
    assert_eq!(of_two, [events[2].clone(), events[11].clone()]);
    assert_eq!(walk(&server.client(&organization, "test", "read"), "", 50).len(), 3, "the other mode has its own");
}

#[test]
fn a_reader_goes_on_where_it_was() {
    let client = shared().new_client();
    let page = |after: &Value| expect(200, client.get(&format!("{PATH}?after={}", after.as_str().expect("a place"))));
    let first = expect(200, client.get(PATH));
    let empty = page(&first["next_cursor"]);
    assert_eq!((&empty["data"], &empty["has_more"]), (&json!([]), &json!(false)));
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    for place in [&first["next_cursor"], &empty["next_cursor"]] {
        let next = page(place);
        assert_eq!(types(next["data"].as_array().expect("data")), ["end_user.created"]);
        assert_eq!(page(&next["next_cursor"])["data"], json!([]));
    }
}

#[test]
fn an_erased_person_is_in_no_event_and_keeps_the_reference() {
    let client = shared().new_client();
    let body = json!({ "user_id": "ada@secret", "metadata": { "plan": "canary" } });
    expect(201, client.post("/v1/end-users", &body));
    let before = walk(&client, "&types=end_user.created", 50);
    let accepted = expect(202, client.delete("/v1/end-users/ada%40secret"));
    let requested = walk(&client, "&types=end_user.erasure_requested", 50);
    let status = &requested[0]["data"];
    assert!(status.is_null() || status["status"] == "deletion_pending", "{requested:?}");
    completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    let page = client.get(&format!("{PATH}?limit=200"));
    assert!(!page.body.contains("ada@secret") && !page.body.contains("canary"), "{}", page.body);
    let events = page.json();
    let events = &events["data"].as_array().expect("data")[2..];
    assert_eq!(types(events), ["end_user.created", "end_user.erasure_requested", "end_user.erased"]);
    for event in events {
        assert_eq!(event["subject"]["ref"], before[0]["subject"]["ref"]);
        assert_eq!((&event["subject"]["id"], &event["data"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(events[2]["actor"], json!({ "type": "system", "id": null }));
    assert_eq!(events[2]["request_id"], Value::Null);
}

#[test]
fn wrong_parameters_of_events_are_refused() {
    let server = shared();
    let client = server.new_client();
    let wrong = client.get(&format!("{PATH}?limit=0&types=turn&order=asc&types=x"));
    assert_eq!(wrong.status, 422);
    let fields = wrong.json()["error"]["details"]["fields"].clone();
    let paths: BTreeSet<&str> =
        fields.as_array().expect("fields").iter().map(|field| field["path"].as_str().expect("a path")).collect();
    assert_eq!(paths, BTreeSet::from(["limit", "order", "types"]));
    for query in ["limit=201", "types=", "types=end_user.created,", "cursor=x"] {
        assert_eq!(client.get(&format!("{PATH}?{query}")).status, 422, "{query}");
    }
    let page = expect(200, client.get(&format!("{PATH}?types=end_user.created,key.created")));
    let place = page["next_cursor"].as_str().expect("a place");
    let go_on = |client: &Client, query: &str| client.get(&format!("{PATH}?after={place}{query}")).status;
    assert_eq!(go_on(&client, "&types=key.created,end_user.created"), 200, "the order of types does not matter");
    assert_eq!(go_on(&client, ""), 400, "another filter");
    assert_eq!(go_on(&server.new_client(), "&types=end_user.created,key.created"), 400, "another tenant");
    assert_eq!(client.get(&format!("{PATH}?after=x")).status, 400);
    assert_eq!(client.get(&format!("{PATH}?after=")).status, 400);
}

/// After 30 days, which the test makes of the log's rows.
#[test]
fn a_place_that_is_no_longer_kept_is_410_with_the_oldest_place() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let client = server.new_client();
    let first = expect(200, client.get(&format!("{PATH}?limit=1")));
    let place = first["next_cursor"].as_str().expect("a place").to_owned();
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    set_ahead(&server, Duration::from_hours(24 * 31));
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "eve" })));
    let look = || client.get(&format!("{PATH}?after={place}"));
    let gone = wait::until("the sweep of the log", look, |answer| answer.status == 410);
    let error = gone.json()["error"].clone();
    assert_eq!((&error["code"], &error["type"]), (&json!("events_expired"), &json!("not_found")));
    let oldest = error["details"]["oldest"].as_str().expect("a place");
    let page = expect(200, client.get(&format!("{PATH}?after={oldest}")));
    assert!(types(page["data"].as_array().expect("data")).contains(&"end_user.created"), "{page}");
    let whole = expect(200, client.get(PATH));
    assert_eq!(page["data"], whole["data"], "without a place it begins there too");
}

/// A server whose calls are counted, and whose clock can be made to run fast.
fn counted() -> Server {
    Server::start(Options { vars: roomy(), entry: Some(FAULTS) })
}

/// How often a reader has connected to an object.
fn connections(server: &Server) -> u64 {
    expect(200, server.anonymous().get("/__calls"))["objects.fetch"].as_u64().unwrap_or_default()
}

/// Begins something that waits, and goes on when it does.
fn while_one_waits<T: Send>(server: &Server, wait_for: impl Fn() -> T + Send + Sync, then: impl FnOnce()) -> T {
    let before = connections(server);
    thread::scope(|scope| {
        let waiting = scope.spawn(wait_for);
        wait::until("a reader to connect", || connections(server), |count| *count > before);
        then();
        waiting.join().expect("an answer")
    })
}

#[test]
fn a_reader_waits_for_the_next_event() {
    let server = counted();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let place = expect(200, client.get(PATH))["next_cursor"].as_str().expect("a place").to_owned();
    let ask = || client.get(&format!("{PATH}?after={place}&wait=25"));
    let create = || drop(expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" }))));
    let page = expect(200, while_one_waits(&server, ask, create));
    assert_eq!(types(page["data"].as_array().expect("data")), ["end_user.created"]);
    // What is there already is answered at once.
    let before = connections(&server);
    assert_eq!(expect(200, ask()), page);
    assert_eq!(connections(&server), before);
}

#[test]
fn a_reader_of_other_events_waits_on() {
    let server = counted();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let spare =
        server.issue(&organization, &json!({ "kind": "api", "mode": "live", "scope": "read", "name": "spare" }));
    let query = "?types=key.revoked&wait=25";
    let page = while_one_waits(
        &server,
        || client.get(&format!("{PATH}{query}")),
        || {
            let before = connections(&server);
            expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
            wait::until("the reader to look and to wait again", || connections(&server), |count| *count > before);
            let path = format!("{}/keys/{}", organization.path(), spare["id"].as_str().expect("an id"));
            assert_eq!(server.admin().delete(&path).status, 204);
        },
    );
    assert_eq!(types(expect(200, page)["data"].as_array().expect("data")), ["key.revoked"]);
}

#[test]
fn a_reader_whose_key_is_revoked_waits_no_longer() {
    let server = counted();
    let organization = server.organization();
    let key = server.issue(&organization, &json!({ "kind": "api", "mode": "live", "scope": "read", "name": "reader" }));
    let client = server.with_key(key["key"].as_str().expect("a key"));
    let place = expect(200, client.get(PATH))["next_cursor"].as_str().expect("a place").to_owned();
    let ask = || client.get(&format!("{PATH}?after={place}&wait=25"));
    let path = format!("{}/keys/{}", organization.path(), key["id"].as_str().expect("an id"));
    let answer = while_one_waits(&server, ask, || assert_eq!(server.admin().delete(&path).status, 204));
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (401, &json!("invalid_token")));
}

#[test]
fn a_wait_without_an_event_ends_with_an_empty_page() {
    let server = counted();
    let client = server.new_client();
    let place = expect(200, client.get(PATH))["next_cursor"].as_str().expect("a place").to_owned();
    set_speed(&server, 50);
    let page = expect(200, client.get(&format!("{PATH}?after={place}&wait=25")));
    assert_eq!(page, json!({ "data": [], "has_more": false, "next_cursor": place }));
    for wrong in ["26", "-1", "1.5", "x", ""] {
        assert_eq!(client.get(&format!("{PATH}?wait={wrong}")).status, 422, "{wrong}");
    }
}

/// A stream of events, read line by line.
struct Stream(Lines<BufReader<ureq::BodyReader<'static>>>);

impl Stream {
    fn open(client: &Client, query: &str) -> Self {
        let (head, body) =
            client.clone().with_header("Accept", "text/event-stream").open_get(&format!("{PATH}{query}"));
        assert_eq!((head.status, head.header("content-type")), (200, "text/event-stream"), "{head:?}");
        assert_eq!(head.header("cache-control"), "no-store, no-transform");
        Self(BufReader::new(body).lines())
    }

    /// The lines up to the next empty one; `None` at the end.
    fn next(&mut self) -> Option<Vec<String>> {
        let lines: Vec<String> =
            self.0.by_ref().map(|line| line.expect("a line")).take_while(|line| !line.is_empty()).collect();
        (!lines.is_empty()).then_some(lines)
    }

    /// The id, the type and the data of the next event.
    fn event(&mut self) -> (String, String, Value) {
        loop {
            let lines = self.next().expect("an event");
            if lines[0] == ":" {
                continue;
            }
            let member = |index: usize, name: &str| lines[index].strip_prefix(name).expect(name).to_owned();
            let data = serde_json::from_str(&member(2, "data: ")).expect("JSON");
            return (member(0, "id: "), member(1, "event: "), data);
        }
    }
}

#[test]
fn events_come_as_a_stream_that_goes_on_after_the_last_one() {
    let server = shared();
    let client = server.new_client();
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    let listed = walk(&client, "", 50);
    let mut stream = Stream::open(&client, "?limit=1");
    let first: Vec<(String, String, Value)> = (0..3).map(|_| stream.event()).collect();
    for ((_, r#type, data), event) in first.iter().zip(&listed) {
        assert_eq!((data, json!(r#type)), (event, event["type"].clone()));
    }
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "eve" })));
    let (_, r#type, data) = stream.event();
    assert_eq!((r#type.as_str(), &data["subject"]["id"]), ("end_user.created", &json!("eve")));
    let resumed = client.clone().with_header("Last-Event-ID", &first[1].0);
    let mut again = Stream::open(&resumed, "?after=ignored");
    assert_eq!(again.event().2, first[2].2);
    assert_eq!(again.event().2, data);
    let wrong = client.with_header("Accept", "text/event-stream").with_header("Last-Event-ID", "x").get(PATH);
    assert_eq!(wrong.status, 400);
}

#[test]
fn a_stream_ends_when_the_key_is_revoked_and_says_when_to_come_back() {
    let server = shared();
    let organization = server.organization();
    let key = server.issue(&organization, &json!({ "kind": "api", "mode": "live", "scope": "read", "name": "reader" }));
    let client = server.with_key(key["key"].as_str().expect("a key"));
    let mut stream = Stream::open(&client, "");
    assert_eq!([stream.event().1, stream.event().1], ["organization.updated", "key.created"]);
    let path = format!("{}/keys/{}", organization.path(), key["id"].as_str().expect("an id"));
    assert_eq!(server.admin().delete(&path).status, 204);
    let mut last = stream.next().expect("the last words");
    while last[0] == ":" {
        last = stream.next().expect("the last words");
    }
    assert_eq!((last, stream.next()), (vec!["retry: 1000".to_owned()], None), "and no event that the key may not see");
}

#[test]
fn a_silent_stream_has_a_comment_every_15_seconds_and_ends_after_15_minutes() {
    let server = counted();
    let client = server.new_client();
    set_speed(&server, 300);
    let mut stream = Stream::open(&client, "?types=key.revoked");
    let mut comments = 0;
    loop {
        let lines = stream.next().expect("an end that is told");
        if lines == ["retry: 1000"] {
            break;
        }
        assert!(lines[0] == ":" && lines[1].starts_with("id: ") && lines.len() == 2, "{lines:?}");
        comments += 1;
    }
    // One at the beginning. A slow machine makes fewer.
    assert!((1..=61).contains(&comments), "{comments}");
    assert_eq!(stream.next(), None);
}
