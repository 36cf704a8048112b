//! `GET /api/v1/agents/{agentId}/users`. Its readers refuse any member that they do not know.

use serde_json::{Value, json};

use crate::agents::{PATH as AGENTS, assert_described, assert_problem, make_agent, make_twins};
use crate::client::{Client, encode};
use crate::delete_end_user::completed;
use crate::pages::PageCount;
use crate::respond::{PATH as RESPOND, feel, turn};
use crate::server::{expect, shared};

const LABELS: &[&str] = &["neutral", "happy", "excited", "alert", "distressed", "unhappy", "sad", "tired", "content"];

fn path(agent: &str) -> String {
    format!("{AGENTS}/{}/users", encode(agent))
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn assert_instant(value: &Value) {
    assert!(value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')), "{value}");
}

/// Asserts the rules for every entry: no unknown member and no `null`.
fn assert_entry(entry: &Value) {
    let known = ["created_at", "display_name", "last_interaction_at", "metadata", "mood", "role", "user_id"];
    assert!(names(entry).iter().all(|name| known.contains(name)), "{entry}");
    assert!(entry.as_object().expect("an object").values().all(|value| !value.is_null()), "{entry}");
    assert!(entry["user_id"].is_string() && entry["role"].is_string(), "{entry}");
    if let Some(metadata) = entry.get("metadata") {
        assert!(names(metadata).iter().all(|name| ["custom", "email", "phone"].contains(name)), "{entry}");
        let custom = metadata.get("custom").and_then(Value::as_object);
        assert!(custom.is_none_or(|custom| custom.values().all(Value::is_string)), "{entry}");
    }
    for instant in ["created_at", "last_interaction_at"] {
        entry.get(instant).into_iter().for_each(assert_instant);
    }
    if let Some(mood) = entry.get("mood") {
        assert_mood(mood);
        assert_eq!(mood["user_id"], entry["user_id"]);
    }
}

/// Asserts that a mood has exactly its members.
fn assert_mood(mood: &Value) {
    let levels = ["valence", "arousal", "tension", "affiliation"];
    let numbers: Vec<String> =
        levels.iter().flat_map(|name| [(*name).to_owned(), format!("baseline_{name}")]).collect();
    let instants = ["created_at", "updated_at", "last_decay_at", "last_interaction_at"];
    let mut expected: Vec<&str> = numbers.iter().map(String::as_str).chain(instants).collect();
    expected.extend(["agent_id", "user_id", "label"]);
    expected.sort_unstable();
    assert_eq!(names(mood), expected);
    for name in &numbers {
        let level = mood[name].as_f64().expect("a number");
        assert!((-1.0..=1.0).contains(&level), "{mood}");
    }
    for name in instants {
        assert_instant(&mood[name]);
    }
    assert!(mood["label"].as_str().is_some_and(|label| LABELS.contains(&label)), "{mood}");
}

/// One page, checked by the rules for every page.
fn page(client: &Client, agent: &str, query: &str) -> Value {
    let response = client.get(&format!("{}?{query}", path(agent)));
    assert_eq!(response.status, 200, "{response:?}");
    assert_described(&response, "AgentUserList");
    let page = response.json();
    let members: &[&str] = if page["has_more"] == true {
        &["$schema", "has_more", "next_cursor", "users"]
    } else {
        &["$schema", "has_more", "users"]
    };
    assert_eq!(names(&page), members);
    page["users"].as_array().expect("users").iter().for_each(assert_entry);
    page
}

fn ids(page: &Value) -> Vec<String> {
    let users = page["users"].as_array().expect("users");
    users.iter().map(|user| user["user_id"].as_str().expect("an id").to_owned()).collect()
}

/// The only user of an agent.
fn only(client: &Client, agent: &str) -> Value {
    let page = page(client, agent, "");
    let users = page["users"].as_array().expect("users");
    assert_eq!(users.len(), 1, "{page}");
    users[0].clone()
}

/// Walks the list page by page and returns every id in the order given.
fn walk(client: &Client, agent: &str, page_size: usize) -> Vec<String> {
    let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), PageCount::default());
    loop {
        pages.add();
        let page = page(client, agent, &format!("page_size={page_size}{cursor}"));
        let of_page = ids(&page);
        assert!(of_page.len() <= page_size);
        all.extend(of_page);
        let Some(next) = page.get("next_cursor") else { return all };
        let next = next.as_str().expect("a cursor");
        assert!(!next.is_empty() && next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        cursor = format!("&cursor={next}");
    }
}

#[test]
fn an_agent_without_users_has_an_empty_list() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let expected = json!({ "$schema": "/api/v1/schemas/AgentUserList.json", "has_more": false, "users": [] });
    assert_eq!(page(&client, &agent, ""), expected);
}

#[test]
fn an_entry_maps_the_metadata() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let body = br#"{"user_id":"ada","display_name":"Ada","metadata":{
        "email":"ada@example.com","phone":"+44 20 7946 0000","plan":"pro","seats":12345678901234567890123,
        "ratio":0.10,"vip":true,"tags":["a", "b"],"address":{"city": "London"},"quote":"say \"hi\""
    }}"#;
    assert_eq!(client.send("POST", "/v1/end-users", Some(("application/json", body))).status, 201);
    turn(&client, &agent, "ada");
    let entry = only(&client, &agent);
    assert_eq!(
        entry,
        json!({
            "user_id": "ada", "role": entry["role"], "created_at": entry["created_at"], "display_name": "Ada",
            "last_interaction_at": entry["last_interaction_at"],
            "metadata": {
                "email": "ada@example.com", "phone": "+44 20 7946 0000",
                "custom": {
                    "plan": "pro", "seats": "12345678901234567890123", "ratio": "0.10", "vip": "true",
                    "tags": "[\"a\",\"b\"]", "address": "{\"city\":\"London\"}", "quote": "say \"hi\"",
                },
            },
        })
    );
    assert_instant(&entry["created_at"]);
    assert_instant(&entry["last_interaction_at"]);
}

#[test]
fn what_is_not_known_is_left_out() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "bare");
    let entry = only(&client, &agent);
    assert_eq!((entry.get("display_name"), entry.get("mood")), (None, None));
    let metadata = entry.get("metadata").map(names).unwrap_or_default();
    assert!(!metadata.contains(&"email") && !metadata.contains(&"phone"), "{entry}");
}

#[test]
fn an_entry_has_the_mood_exactly() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let affect = json!({ "valence": 1, "arousal": 0.9, "tension": -0.4, "affiliation": 0.6 });
    feel(&client, &agent, "ada", &affect);
    let mood = only(&client, &agent)["mood"].clone();
    assert_mood(&mood);
    assert_eq!((&mood["agent_id"], &mood["user_id"]), (&json!(agent), &json!("ada")));
    assert_eq!(mood["label"], "excited");
    // The mood has moved a quarter of the way from the baseline, and has decayed a little.
    for (name, expected) in [("valence", 0.25), ("arousal", 0.225), ("tension", -0.1), ("affiliation", 0.15)] {
        let level = mood[name].as_f64().expect("a number");
        assert!((level - expected).abs() < 0.01, "{name}: {mood}");
        assert_eq!(mood[format!("baseline_{name}")].as_f64(), Some(0.0), "{mood}");
    }
}

#[test]
fn a_level_is_written_with_six_decimals_at_most() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    for turn in 0..5 {
        let valence = f64::from(turn) / 7.0;
        feel(&client, &agent, "ada", &json!({ "valence": valence, "arousal": -valence, "tension": 1.0 / 3.0 }));
        let body = client.get(&path(&agent)).body;
        for name in ["valence", "arousal", "tension", "affiliation"] {
            let (_, rest) = body.split_once(&format!("\"{name}\":")).expect("a level");
            let number = rest.split([',', '}']).next().expect("a number");
            let decimals = number.split_once('.').map_or("", |(_, decimals)| decimals);
            assert!(decimals.len() <= 6 && decimals.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
        }
    }
}

#[test]
fn users_are_listed_in_byte_order_at_any_page_size() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    // JavaScript orders the last two in reverse.
    let sorted = ["%2F", "A", "Z", "a", "a b", "a/b", "aa", "b", "u\u{308}", "é", "日本", "\u{FFFD}", "🦀"];
    for user in ["b", "🦀", "a b", "Z", "é", "a", "日本", "%2F", "aa", "\u{FFFD}", "A", "u\u{308}", "a/b"] {
        turn(&client, &agent, user);
    }
    for page_size in [1, 2, 3, sorted.len() - 1, sorted.len(), 500] {
        assert_eq!(walk(&client, &agent, page_size), sorted, "{page_size} a page");
    }
}

#[test]
fn a_page_has_100_users_unless_told_otherwise() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    for index in 0..101 {
        turn(&client, &agent, &format!("u{index:03}"));
    }
    let first = page(&client, &agent, "");
    assert_eq!((ids(&first).len(), &first["has_more"]), (100, &json!(true)));
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    assert_eq!(ids(&page(&client, &agent, &format!("cursor={cursor}"))), ["u100"]);
    assert_eq!(ids(&page(&client, &agent, "page_size=500")).len(), 101);
}

#[test]
fn wrong_parameters_are_422_all_at_once() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    for (query, expected) in [
        ("page_size=0", vec!["query.page_size"]),
        ("page_size=501", vec!["query.page_size"]),
        ("page_size=-1", vec!["query.page_size"]),
        ("page_size=", vec!["query.page_size"]),
        ("page_size=1&page_size=2", vec!["query.page_size"]),
        ("page_size=x&order=desc", vec!["query.order", "query.page_size"]),
    ] {
        let response = client.get(&format!("{}?{query}", path(&agent)));
        let errors = assert_problem(&response, 422, "validation_error");
        let mut locations: Vec<&str> = errors.iter().filter_map(|error| error["location"].as_str()).collect();
        locations.sort_unstable();
        assert_eq!(locations, expected, "{query}");
    }
}

/// Old clients page so. A pager that is given page one again never ends.
#[test]
fn an_offset_skips_so_many_users() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    for user in ["c", "a", "e", "b", "d"] {
        turn(&client, &agent, user);
    }
    let (mut all, mut pages) = (Vec::new(), PageCount::default());
    loop {
        pages.add();
        let offset = all.len();
        let page = page(&client, &agent, &format!("limit=2&offset={offset}&sort_by=user_id&sort_order=asc"));
        all.extend(ids(&page));
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(all, ["a", "b", "c", "d", "e"]);
    assert_eq!(ids(&page(&client, &agent, "offset=10000")), [] as [&str; 0]);
    let second = page(&client, &agent, "page_size=2&offset=1");
    let cursor = second["next_cursor"].as_str().expect("a cursor");
    assert_eq!(ids(&page(&client, &agent, &format!("page_size=2&cursor={cursor}"))), ["d", "e"], "a cursor goes on");
}

#[test]
fn an_offset_that_cannot_be_kept_to_is_422() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "a");
    turn(&client, &agent, "b");
    let first = page(&client, &agent, "page_size=1");
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    for query in [
        "offset=10001",
        "offset=-1",
        "offset=x",
        "sort_by=created_at",
        "sort_by=",
        "sort_order=desc",
        &format!("offset=1&cursor={cursor}"),
    ] {
        let response = client.get(&format!("{}?{query}", path(&agent)));
        let errors = assert_problem(&response, 422, "validation_error");
        let name = query.split('=').next().expect("a name");
        assert_eq!(errors[0]["location"], format!("query.{name}"), "{query}");
    }
}

#[test]
fn an_agent_is_named_by_id_or_by_name() {
    let client = shared().new_client();
    for name in ["Echo", "a/b", "a b", "100%", "🦀"] {
        let agent = make_agent(&client, name);
        turn(&client, &agent, &format!("user of {name}"));
        assert_eq!(page(&client, name, ""), page(&client, name, "page_size=100"));
        assert_eq!(ids(&page(&client, name, "")), ids(&page(&client, &agent, "")), "{name}");
    }
    for nobody in ["nobody", "echo", "00000000-0000-4000-8000-000000000000"] {
        assert_problem(&client.get(&path(nobody)), 404, "not_found");
    }
    let [first, _] = make_twins(&client, "Twin");
    assert_problem(&client.get(&path("Twin")), 409, "conflict");
    assert_eq!(ids(&page(&client, &first, "")), [] as [&str; 0]);
}

#[test]
fn an_agent_has_only_its_own_users() {
    let client = shared().new_client();
    let (first, second) = (make_agent(&client, "First"), make_agent(&client, "Second"));
    turn(&client, &first, "ada");
    turn(&client, &first, "eve");
    turn(&client, &second, "eve");
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "unrelated" })));
    let stateless = json!({ "message": "hello", "personality_id": first, "user_id": "zoe", "mode": "stateless" });
    expect(200, client.post(RESPOND, &stateless));
    assert_eq!(ids(&page(&client, &first, "")), ["ada", "eve"]);
    assert_eq!(ids(&page(&client, &second, "")), ["eve"]);
}

#[test]
fn no_users_are_seen_from_another_organization_or_mode() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    for stranger in [server.client(&organization, "test", "read_write"), server.new_client()] {
        for name in [agent.as_str(), "Echo"] {
            assert_problem(&stranger.get(&path(name)), 404, "not_found");
        }
        let namesake = make_agent(&stranger, "Echo");
        assert_eq!(ids(&page(&stranger, &namesake, "")), [] as [&str; 0]);
    }
    let reader = server.client(&organization, "live", "read");
    assert_eq!(ids(&page(&reader, &agent, "")), ["ada"]);
    assert_problem(&server.anonymous().get(&path(&agent)), 401, "authentication_error");
}

#[test]
fn a_list_shows_what_was_done_just_before() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    for index in 0..20 {
        turn(&client, &agent, &format!("u{index:02}"));
        assert_eq!(ids(&page(&client, &agent, "page_size=500")).len(), index + 1, "read your writes");
        let name = format!("Number {index}");
        expect(200, client.patch(&format!("/v1/end-users/u{index:02}"), &json!({ "display_name": name })));
        let shown = page(&client, &agent, "page_size=500");
        assert_eq!(shown["users"][index]["display_name"], name.as_str());
    }
}

#[test]
fn an_erased_user_is_gone_from_the_list_at_once() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    for user in ["ada", "eve"] {
        turn(&client, &agent, user);
    }
    let accepted = expect(202, client.delete("/v1/end-users/ada"));
    assert_eq!(ids(&page(&client, &agent, "")), ["eve"]);
    completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    assert_eq!(ids(&page(&client, &agent, "")), ["eve"]);
}

#[test]
fn a_cursor_is_good_only_for_the_list_that_gave_it() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let (first, second) = (make_agent(&client, "First"), make_agent(&client, "Second"));
    for user in ["a", "b", "c"] {
        turn(&client, &first, user);
        turn(&client, &second, user);
    }
    let given = page(&client, &first, "page_size=1");
    let cursor = given["next_cursor"].as_str().expect("a cursor");
    let query = format!("page_size=1&cursor={cursor}");
    assert_eq!(ids(&page(&client, &first, &query)), ["b"]);
    assert_eq!(ids(&page(&client, "First", &query)), ["b"], "the same agent, named otherwise");
    assert_problem(&client.get(&format!("{}?{query}", path(&second))), 400, "invalid_request");
    let test_mode = server.client(&organization, "test", "read_write");
    make_agent(&test_mode, "First");
    assert_problem(&test_mode.get(&format!("{}?{query}", path("First"))), 400, "invalid_request");
    for bad in ["x", "", &cursor[1..], &format!("{cursor}{cursor}")] {
        let response = client.get(&format!("{}?cursor={bad}", path(&first)));
        assert_problem(&response, 400, "invalid_request");
    }
}

#[test]
fn head_answers_as_get_without_a_body() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let head = client.send("HEAD", &path(&agent), None);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(client.send("HEAD", &path("nobody"), None).status, 404);
}
