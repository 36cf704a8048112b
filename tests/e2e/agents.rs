//! `/api/v1/agents`: creating, updating, reading by id and by name, listing.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use crate::client::{Client, Response, encode};
use crate::delete_end_user::completed;
use crate::pages::PageCount;
use crate::respond::{feel, turn};
use crate::server::{expect, shared};

pub const PATH: &str = "/api/v1/agents";

/// Creates an agent and returns its UUID.
pub fn make_agent(client: &Client, name: &str) -> String {
    let created = expect(201, client.post(PATH, &json!({ "name": name })));
    created["agent_id"].as_str().expect("an id").to_owned()
}

/// Creates two agents with the same name.
pub fn make_twins(client: &Client, name: &str) -> [String; 2] {
    ["first", "second"].map(|external_id| {
        let created = expect(201, client.post(PATH, &json!({ "name": name, "external_id": external_id })));
        created["agent_id"].as_str().expect("an id").to_owned()
    })
}

/// Asserts that a success names its schema, in its body and its header.
pub fn assert_described(response: &Response, schema: &str) {
    let url = format!("/api/v1/schemas/{schema}.json");
    assert_eq!(response.json()["$schema"], url.as_str(), "{response:?}");
    assert_eq!(response.header("link"), format!("<{url}>; rel=\"describedBy\""));
    assert!(response.header("content-type").starts_with("application/json"), "{response:?}");
}

/// Asserts a problem, member by member, except its title and detail. Returns its `errors`.
pub fn assert_problem(response: &Response, status: u16, code: &str) -> Vec<Value> {
    let body = response.json();
    assert_eq!(response.status, status, "{response:?}");
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
    assert_eq!(
        body,
        json!({
            "$schema": "/api/v1/schemas/Problem.json",
            "type": format!("urn:rollcall:problem:{code}"),
            "title": body["title"],
            "status": status,
            "detail": body["detail"],
            "instance": format!("urn:ulid:{}", response.header("x-request-id")),
            "errors": body["errors"],
        })
    );
    body["errors"].as_array().expect("errors").clone()
}

fn assert_uuid(text: &str) {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12], "{text}");
    assert!(text.bytes().all(|byte| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f')), "{text}");
}

fn by(agent: &str) -> String {
    format!("{PATH}/{}", encode(agent))
}

/// Walks the list page by page and returns every agent's id in the order given.
fn walk(client: &Client, page_size: usize) -> Vec<String> {
    let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), PageCount::default());
    loop {
        pages.add();
        let page = client.get(&format!("{PATH}?page_size={page_size}{cursor}"));
        assert_described(&page, "AgentList");
        let page = expect(200, page);
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= page_size);
        all.extend(items.iter().map(|agent| agent["agent_id"].as_str().expect("an id").to_owned()));
        if page["has_more"] == false {
            assert!(page["next_cursor"].is_null(), "{page}");
            return all;
        }
        cursor = format!("&cursor={}", page["next_cursor"].as_str().expect("a cursor"));
    }
}

#[test]
fn a_new_agent_is_201_with_everything_about_it() {
    let client = shared().new_client();
    let request = json!({ "name": "Ada's tutor", "external_id": "tutor-1", "metadata": { "subject": "algebra" } });
    let created = client.post(PATH, &request);
    assert_eq!(created.status, 201, "{created:?}");
    assert_described(&created, "Agent");
    let body = created.json();
    let agent_id = body["agent_id"].as_str().expect("an id");
    assert_uuid(agent_id);
    assert_eq!(created.header("location"), format!("{PATH}/{agent_id}"));
    assert_eq!(
        body,
        json!({
            "$schema": "/api/v1/schemas/Agent.json", "agent_id": agent_id, "name": "Ada's tutor",
            "external_id": "tutor-1", "metadata": { "subject": "algebra" },
            "created_at": body["created_at"], "updated_at": body["created_at"],
        })
    );
    let created_at = body["created_at"].as_str().expect("an instant");
    assert!(created_at.len() == 24 && created_at.ends_with('Z'), "{created_at}");
}

#[test]
fn an_agent_needs_only_a_name() {
    let client = shared().new_client();
    let body = expect(201, client.post(PATH, &json!({ "name": "Bare" })));
    assert_eq!((&body["external_id"], &body["metadata"]), (&Value::Null, &json!({})));
}

#[test]
fn an_agent_is_read_by_id_and_by_name() {
    let client = shared().new_client();
    let created = client.post(PATH, &json!({ "name": "Tutor", "metadata": { "n": 9_007_199_254_740_993_i64 } }));
    let agent_id = created.json()["agent_id"].as_str().expect("an id").to_owned();
    for path in [by(&agent_id), by("Tutor")] {
        let read = client.get(&path);
        assert_eq!((read.status, &read.body), (200, &created.body), "{path}");
        assert_described(&read, "Agent");
    }
    for path in [by("tutor"), by("Tuto"), by("00000000-0000-4000-8000-000000000000")] {
        assert_problem(&client.get(&path), 404, "not_found");
    }
}

#[test]
fn names_round_trip_whatever_they_hold() {
    let client = shared().new_client();
    for name in ["a/b/c", "a b", " ", "100%", "%2F", "🦀", "ü", "u\u{308}", "?#&=+;\\", "...", &"🦀".repeat(255)] {
        let agent_id = make_agent(&client, name);
        let read = expect(200, client.get(&by(name)));
        assert_eq!((&read["agent_id"], &read["name"]), (&json!(agent_id), &json!(name)));
    }
}

#[test]
fn without_an_external_id_the_name_says_which_agent() {
    let client = shared().new_client();
    let created = expect(201, client.post(PATH, &json!({ "name": "Tutor", "metadata": { "v": 1 } })));
    let updated = client.post(PATH, &json!({ "name": "Tutor", "metadata": { "v": 2 } }));
    assert!(!updated.headers.contains_key("location"), "nothing was made");
    let updated = expect(200, updated);
    assert_eq!(updated["agent_id"], created["agent_id"]);
    assert_eq!(updated["created_at"], created["created_at"]);
    assert_eq!(updated["metadata"], json!({ "v": 2 }));
    assert_eq!(expect(200, client.get(&by("Tutor"))), updated);
}

#[test]
fn an_external_id_says_which_agent_whatever_its_name() {
    let client = shared().new_client();
    let created = expect(201, client.post(PATH, &json!({ "name": "Old", "external_id": "x/1" })));
    let renamed = expect(200, client.post(PATH, &json!({ "name": "New", "external_id": "x/1" })));
    assert_eq!(renamed["agent_id"], created["agent_id"]);
    assert_eq!((&renamed["name"], &renamed["external_id"]), (&json!("New"), &json!("x/1")));
    assert_eq!(client.get(&by("Old")).status, 404);
    assert_eq!(expect(200, client.get(&by("New"))), renamed);
}

#[test]
fn a_name_borne_by_two_agents_is_409() {
    let client = shared().new_client();
    let [first, second] = make_twins(&client, "Twin");
    assert_ne!(first, second);
    assert_problem(&client.get(&by("Twin")), 409, "conflict");
    assert_problem(&client.patch(&by("Twin"), &json!({ "metadata": {} })), 409, "conflict");
    for id in [&first, &second] {
        assert_eq!(expect(200, client.get(&by(id)))["name"], "Twin");
    }
    // Renaming one of them makes the name unique.
    expect(200, client.patch(&by(&second), &json!({ "name": "Other" })));
    assert_eq!(expect(200, client.get(&by("Twin")))["agent_id"], first.as_str());
}

#[test]
fn a_patch_changes_what_it_names() {
    let client = shared().new_client();
    let request = json!({ "name": "Tutor", "external_id": "t", "metadata": { "a": 1, "b": 2 } });
    let created = expect(201, client.post(PATH, &request));
    let path = by(created["agent_id"].as_str().expect("an id"));

    let renamed = client.patch(&path, &json!({ "name": "Professor" }));
    assert_described(&renamed, "Agent");
    let renamed = expect(200, renamed);
    let mut expected = created.clone();
    expected["name"] = json!("Professor");
    expected["updated_at"] = renamed["updated_at"].clone();
    assert_eq!(renamed, expected);

    let changed = expect(200, client.patch(&path, &json!({ "metadata": { "b": 3 } })));
    assert_eq!(changed["metadata"], json!({ "b": 3 }), "replaced as a whole");
    assert_eq!(changed["name"], "Professor");
    assert_eq!(expect(200, client.get(&path)), changed);
    assert_eq!(client.get(&by("Tutor")).status, 404);
    assert_problem(&client.patch(&by("nobody"), &json!({ "name": "x" })), 404, "not_found");
}

#[test]
fn an_agent_is_guarded_by_its_version() {
    let client = shared().new_client();
    let created = client.post(PATH, &json!({ "name": "Guarded" }));
    let path = created.header("location").to_owned();
    let tag = created.header("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    assert_eq!(client.get(&path).header("etag"), tag);
    assert_eq!(client.clone().with_header("If-None-Match", &tag).get(&path).status, 304);
    let guarded = client.clone().with_header("If-Match", &tag);
    assert_ne!(guarded.patch(&path, &json!({ "name": "First" })).header("etag"), tag);
    assert_problem(&guarded.patch(&path, &json!({ "name": "Second" })), 412, "precondition_failed");
    assert_eq!(expect(200, client.get(&path))["name"], "First");
}

#[test]
fn agents_are_listed_in_pages() {
    let client = shared().new_client();
    let made: BTreeSet<String> = (0..7).map(|index| make_agent(&client, &format!("agent {index}"))).collect();
    let whole = walk(&client, 500);
    assert_eq!(whole.len(), 7);
    assert_eq!(whole.iter().cloned().collect::<BTreeSet<_>>(), made);
    for page_size in [1, 2, 3, 6, 7] {
        assert_eq!(walk(&client, page_size), whole, "{page_size} a page");
    }
}

/// Readers refuse any member that they do not know, and miss none of these.
#[test]
fn a_listed_agent_has_exactly_the_members_that_clients_know() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let service = server.service(&organization, "live", "read_write");
    let made = expect(201, client.post(PATH, &json!({ "name": "Only", "external_id": "x", "metadata": { "a": 1 } })));
    let entry = |owner: &str| {
        json!({
            "agent_id": made["agent_id"], "name": "Only", "created_at": made["created_at"], "instance_count": 1,
            "is_active": true, "owner_user_id": owner, "tenant_id": organization.id,
        })
    };
    let page = |items: Value| {
        let schema = "/api/v1/schemas/AgentList.json";
        json!({ "$schema": schema, "items": items, "has_more": false, "total_count": 1 })
    };
    assert_eq!(expect(200, client.get(PATH)), page(json!([entry("")])));
    let human = json!({ "external_id": "ada/1", "type": "human", "name": "Ada" });
    let human = expect(201, service.post("/api/v1/principals", &human))["result"]["id"].clone();
    let principal = format!("/api/v1/principals/{}", made["agent_id"].as_str().expect("an id"));
    expect(200, service.patch(&principal, &json!({ "owner_principal_id": human })));
    assert_eq!(expect(200, client.get(PATH)), page(json!([entry("ada/1")])));
    assert_eq!(expect(200, client.get(&by("Only")))["metadata"], json!({ "a": 1 }), "the single read has the rest");
}

#[test]
fn the_pages_of_agents_say_how_many_there_are() {
    let client = shared().new_client();
    let count = |query: &str| expect(200, client.get(&format!("{PATH}?{query}")))["total_count"].clone();
    assert_eq!(count(""), 0);
    let agents: Vec<String> = (0..3).map(|index| make_agent(&client, &format!("agent {index}"))).collect();
    for query in ["", "page_size=1", "page_size=1&offset=2", "offset=9"] {
        assert_eq!(count(query), 3, "{query}");
    }
    expect(202, client.delete(&by(&agents[0])));
    assert_eq!(count(""), 2);
}

#[test]
fn a_list_shows_what_was_written_just_before() {
    let client = shared().new_client();
    for count in 1..=20 {
        make_agent(&client, &format!("agent {count}"));
        let page = expect(200, client.get(&format!("{PATH}?page_size=500")));
        assert_eq!(page["items"].as_array().map(Vec::len), Some(count), "read your writes");
    }
}

/// Old clients page so.
#[test]
fn an_offset_skips_so_many_agents() {
    let client = shared().new_client();
    let made: Vec<String> = (0..5).map(|index| make_agent(&client, &format!("agent {index}"))).collect();
    let ids = |query: &str| -> Vec<String> {
        let page = expect(200, client.get(&format!("{PATH}?{query}")));
        let items = page["items"].as_array().expect("items");
        items.iter().map(|agent| agent["agent_id"].as_str().expect("an id").to_owned()).collect()
    };
    for offset in 0..6 {
        let expected: Vec<String> = made.iter().skip(offset).take(2).cloned().collect();
        assert_eq!(ids(&format!("limit=2&offset={offset}&sort_by=created_at&sort_order=asc")), expected);
    }
    for query in ["offset=10001", "sort_by=name", "sort_order=desc", "offset=1&cursor=x"] {
        let response = client.get(&format!("{PATH}?{query}"));
        let errors = assert_problem(&response, 422, "validation_error");
        let name = query.split('=').next().expect("a name");
        assert_eq!(errors[0]["location"], format!("query.{name}"), "{query}");
    }
}

#[test]
fn a_cursor_is_good_only_for_the_list_that_gave_it() {
    let client = shared().new_client();
    for index in 0..2 {
        make_agent(&client, &format!("agent {index}"));
    }
    let page = expect(200, client.get(&format!("{PATH}?page_size=1")));
    let path = format!("{PATH}?page_size=1&cursor={}", page["next_cursor"].as_str().expect("a cursor"));
    expect(200, client.get(&path));
    assert_problem(&shared().new_client().get(&path), 400, "invalid_request");
    assert_problem(&client.get(&format!("{path}A")), 400, "invalid_request");
    assert_problem(&client.get(&format!("{PATH}?cursor=x")), 400, "invalid_request");
}

#[test]
fn wrong_fields_are_422_all_at_once() {
    let client = shared().new_client();
    let locations = |response: &Response| -> Vec<String> {
        let errors = assert_problem(response, 422, "validation_error");
        errors.iter().map(|error| error["location"].as_str().expect("a location").to_owned()).collect()
    };
    let wrong = client.post(PATH, &json!({ "metadata": [], "external_id": "", "admin": true }));
    let found: BTreeSet<String> = locations(&wrong).into_iter().collect();
    assert_eq!(found, ["body.admin", "body.external_id", "body.metadata", "body.name"].map(str::to_owned).into());
    for (body, location) in [
        (json!({ "name": "" }), "body.name"),
        (json!({ "name": "x".repeat(256) }), "body.name"),
        (json!({ "name": "a\nb" }), "body.name"),
        (json!({ "name": 7 }), "body.name"),
        (json!({ "name": "a", "external_id": ".." }), "body.external_id"),
        (json!({ "name": "a", "metadata": { "x": "y".repeat(16 * 1024) } }), "body.metadata"),
    ] {
        assert_eq!(locations(&client.post(PATH, &body)), [location], "{body}");
    }
    for query in ["page_size=0", "page_size=501", "page_size=x", "page=2"] {
        let expected = format!("query.{}", query.split('=').next().expect("a name"));
        assert_eq!(locations(&client.get(&format!("{PATH}?{query}"))), [expected], "{query}");
    }
    assert_eq!(expect(200, client.get(PATH))["items"], json!([]));
}

#[test]
fn faults_of_the_request_are_problems_too() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let reader = server.client(&organization, "live", "read");
    let send = |content_type: &str, body: &[u8]| client.send("POST", PATH, Some((content_type, body)));
    assert_problem(&send("application/json", b"{"), 400, "invalid_request");
    assert_problem(&send("text/plain", b"{}"), 415, "unsupported_media_type");
    assert_problem(&send("application/json", &b" ".repeat(70_000)), 413, "payload_too_large");
    assert_problem(&client.get("/api/v1/agents/%ff"), 400, "invalid_request");
    assert_problem(&server.anonymous().get(PATH), 401, "authentication_error");
    assert_problem(&server.with_key("guess").get(PATH), 401, "invalid_token");
    let refused = reader.post(PATH, &json!({ "name": "x" }));
    assert_problem(&refused, 403, "permission_denied");
    assert_eq!(refused.header("x-quota-turns-used"), "0");
    expect(200, reader.get(PATH));
}

#[test]
fn no_agent_is_seen_from_another_organization_or_mode() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let agent_id = make_agent(&client, "Private");
    for stranger in [server.client(&organization, "test", "read_write"), server.new_client()] {
        for path in [by(&agent_id), by("Private")] {
            assert_problem(&stranger.get(&path), 404, "not_found");
            assert_problem(&stranger.patch(&path, &json!({ "name": "Mine" })), 404, "not_found");
        }
        assert_eq!(expect(200, stranger.get(PATH))["items"], json!([]));
        // The name is free in the other organization.
        assert_ne!(make_agent(&stranger, "Private"), agent_id);
    }
    assert_eq!(expect(200, client.get(&by("Private")))["agent_id"], agent_id.as_str());
}

#[test]
fn a_kept_answer_is_given_again() {
    let client = shared().new_client().with_header("Idempotency-Key", "k");
    let first = client.post(PATH, &json!({ "name": "Tutor" }));
    let again = client.post(PATH, &json!({ "name": "Tutor" }));
    assert_eq!((first.status, again.status, &again.body), (201, 201, &first.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_problem(&client.post(PATH, &json!({ "name": "Other" })), 422, "idempotency_mismatch");
}

#[test]
fn racing_creations_make_one_agent() {
    let client = shared().new_client();
    for name in ["one", "two", "three"] {
        let answers: Vec<Response> = thread::scope(|scope| {
            let post = || client.post(PATH, &json!({ "name": name, "external_id": format!("id of {name}") }));
            let racers: Vec<_> = (0..32).map(|_| scope.spawn(post)).collect();
            racers.into_iter().map(|racer| racer.join().expect("a racer")).collect()
        });
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 31);
        assert!(answers.iter().all(|answer| answer.json()["agent_id"] == answers[0].json()["agent_id"]));
    }
    assert_eq!(walk(&client, 500).len(), 3);
}

/// The agent goes at once. Its relationships and their moods go soon after, and its users stay.
#[test]
fn an_agent_is_deleted_with_its_relationships() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Tutor");
    let other = make_agent(&client, "Other");
    for index in 0..130 {
        turn(&client, &agent, &format!("u{index:03}"));
    }
    feel(&client, &agent, "u000", &json!({ "valence": 1, "arousal": 0 }));
    turn(&client, &other, "u000");
    let accepted = expect(202, client.delete(&format!("{PATH}/{agent}")));
    let expected = json!({
        "$schema": "/api/v1/schemas/Deletion.json", "success": true, "deletion_id": accepted["deletion_id"],
        "status": "deletion_pending",
    });
    assert_eq!(accepted, expected);
    for path in [format!("{PATH}/{agent}"), by("Tutor"), format!("{PATH}/{agent}/users")] {
        assert_problem(&client.get(&path), 404, "not_found");
    }
    assert_problem(&client.delete(&format!("{PATH}/{agent}")), 404, "not_found");
    let receipt = completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    assert_eq!(receipt["erased"], json!({ "records": 1, "relationships": 130, "moods": 1 }));
    let left = expect(200, client.get("/v1/relationships"));
    assert_eq!(left["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(left["data"][0]["personality_id"], other);
    assert_eq!(expect(200, client.get("/v1/end-users/u129"))["relationships"], json!([]));
    assert_eq!(
        expect(200, client.get("/v1/usage/active-relationships"))["used"],
        131,
        "what was counted stays counted"
    );
    let again = make_agent(&client, "Tutor");
    assert_ne!(again, agent);
    assert_eq!(expect(200, client.get(&format!("{PATH}/{again}/users")))["users"], json!([]));
}
