//! What the bodies of dialect 2 hold beyond the contract for a client that names itself in `User-Agent`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::agents::{PATH, assert_described, make_agent};
use crate::client::Client;
use crate::respond::feel;
use crate::server::{expect, shared};

const LEVELS: [&str; 4] = ["valence", "arousal", "tension", "affiliation"];

/// A caller with a key of its own, and the same caller as `sonzai-python` of a version.
fn callers<const N: usize>(versions: [&str; N]) -> (Client, [Client; N]) {
    let server = shared();
    let organization = server.organization();
    let caller = || server.client(&organization, "live", "read_write");
    (caller(), versions.map(|version| caller().with_header("User-Agent", &format!("sonzai-python/{version}"))))
}

/// Asserts that a body names its schema behind the origin of the server, and returns the body as others get it.
fn assert_absolute(body: &Value, schema: &str) -> Value {
    let path = format!("/api/v1/schemas/{schema}.json");
    let url = body["$schema"].as_str().expect("a URL");
    let origin = url.strip_suffix(path.as_str()).unwrap_or_else(|| panic!("{url}"));
    assert!(origin.starts_with("http://127.0.0.1:"), "{url}");
    let mut body = body.clone();
    body["$schema"] = json!(path);
    body
}

fn mood(client: &Client, agent: &str) -> Value {
    let page = expect(200, client.get(&format!("{PATH}/{agent}/users")));
    page["users"][0]["mood"].clone()
}

fn names(mood: &Value) -> BTreeSet<&str> {
    mood.as_object().expect("a mood").keys().map(String::as_str).collect()
}

#[test]
fn a_mood_has_the_users_baselines_from_the_version_on_that_requires_them() {
    let (any, [before, since, now]) = callers(["1.5.2", "1.5.3", "1.8.0"]);
    let agent = make_agent(&any, "Echo");
    feel(&any, &agent, "ada", &json!({ "valence": 0.5, "arousal": 0.5 }));
    let (of_any, of_before) = (mood(&any, &agent), mood(&before, &agent));
    assert_eq!(names(&of_any).len(), 15);
    assert_eq!(names(&of_before), names(&of_any));
    let more = LEVELS.map(|level| format!("user_baseline_{level}"));
    let expected: BTreeSet<&str> = names(&of_any).into_iter().chain(more.iter().map(String::as_str)).collect();
    for client in [&since, &now] {
        let mood = mood(client, &agent);
        assert_eq!(names(&mood), expected);
        for level in LEVELS {
            assert_eq!(mood[format!("user_baseline_{level}")], mood[format!("baseline_{level}")], "{mood}");
        }
    }
    // In the other dialects a mood is the same for everybody.
    let relationships = expect(200, now.get("/v1/relationships?user_id=ada"));
    assert_eq!(names(&relationships["data"][0]["mood"]), names(&of_any));
}

#[test]
fn the_client_gets_an_absolute_url_of_the_schema_and_nothing_else_changes() {
    let (any, [client]) = callers(["1.8.0"]);
    let agent = make_agent(&any, "Echo");
    for (path, schema) in [
        (PATH.to_owned(), "AgentList"),
        (format!("{PATH}/{agent}"), "Agent"),
        (format!("{PATH}/{agent}/users"), "AgentUserList"),
    ] {
        let (expected, got) = (any.get(&path), client.get(&path));
        assert_described(&expected, schema);
        assert_eq!(assert_absolute(&got.json(), schema), expected.json());
        assert_eq!(got.header("link"), expected.header("link"));
    }
    let made = expect(201, client.post(PATH, &json!({ "name": "Tutor" })));
    assert_absolute(&made, "Agent");
    let deletion = expect(202, client.delete(&format!("{PATH}/{agent}")));
    assert_absolute(&deletion, "Deletion");
}

#[test]
fn a_strong_tag_names_one_body_only() {
    let (any, [client]) = callers(["1.8.0"]);
    let path = format!("{PATH}/{}", make_agent(&any, "Echo"));
    let tag = any.get(&path).header("etag").to_owned();
    assert!(!tag.starts_with("W/"), "{tag}");
    assert_eq!(any.clone().with_header("If-None-Match", &tag).get(&path).status, 304);
    assert_eq!(client.get(&path).header("etag"), format!("W/{tag}"));
    // What the version alone does not fix is always sent.
    assert_eq!(client.clone().with_header("If-None-Match", &tag).get(&path).status, 200);
    // A tag names a version to every caller.
    let guarded = client.with_header("If-Match", &format!("W/{tag}"));
    let changed = guarded.patch(&path, &json!({ "name": "Tutor" }));
    assert_eq!(changed.status, 200);
    assert!(changed.header("etag").starts_with("W/"), "{changed:?}");
    assert_eq!(guarded.patch(&path, &json!({ "name": "Echo" })).status, 412);
}
