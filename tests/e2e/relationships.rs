//! `GET /v1/relationships`: the pairs of agent and user, singly, in pages and with the user.

use std::collections::BTreeSet;
use std::time::Duration;

use rollcall::directory::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::{Client, encode};
use crate::clock::{self, Clock, tick};
use crate::delete_end_user::completed;
use crate::pages::PageCount;
use crate::respond::{assert_ulid, feel, relationship_of, relationships, turn, used};
use crate::server::{Options, Server, expect, roomy, shared};

const PATH: &str = "/v1/relationships";

fn pair(relationship: &Value) -> (String, String) {
    let text = |member: &str| relationship[member].as_str().expect("an id").to_owned();
    (text("personality_id"), text("user_id"))
}

/// Walks a list page by page and returns every pair in the order given.
fn walk(client: &Client, query: &str, limit: usize) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let (mut cursor, mut pages) = (String::new(), PageCount::default());
    loop {
        pages.add();
        let page = expect(200, client.get(&format!("{PATH}?limit={limit}&{query}{cursor}")));
        let members: Vec<&String> = page.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["data", "has_more", "next_cursor"]);
        let data = page["data"].as_array().expect("data");
        assert!(data.len() <= limit);
        all.extend(data.iter().map(pair));
        if page["next_cursor"].is_null() {
            assert_eq!(page["has_more"], false);
            return all;
        }
        assert_eq!(page["has_more"], true);
        cursor = format!("&cursor={}", page["next_cursor"].as_str().expect("a cursor"));
    }
}

/// Three agents, each with each of four users.
fn with_pairs() -> (Client, Vec<String>, Vec<&'static str>) {
    let client = shared().new_client();
    let agents: Vec<String> = (0..3).map(|index| make_agent(&client, &format!("agent {index}"))).collect();
    let users = vec!["a/b", "ada", "eve", "🦀"];
    for user in &users {
        for agent in &agents {
            turn(&client, agent, user);
        }
    }
    (client, agents, users)
}

fn pairs<'a>(
    agents: impl IntoIterator<Item = &'a String>,
    users: impl IntoIterator<Item = &'a &'a str> + Clone,
) -> BTreeSet<(String, String)> {
    let with_all = |agent: &'a String| users.clone().into_iter().map(|user| (agent.clone(), (*user).to_owned()));
    agents.into_iter().flat_map(with_all).collect()
}

#[test]
fn a_relationship_tells_who_it_is_between() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    turn(&client, &agent, "ada");
    let relationship = relationship_of(&client, "ada");
    assert_ulid(&relationship["id"]);
    assert!(relationship["role"].is_string(), "{relationship}");
    for instant in ["created_at", "last_interaction_at"] {
        assert!(relationship[instant].as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')));
    }
    assert_eq!(
        relationship,
        json!({
            "id": relationship["id"], "user_id": "ada", "personality_id": agent, "role": relationship["role"],
            "turns": 2, "mood": null, "created_at": relationship["created_at"],
            "last_interaction_at": relationship["last_interaction_at"],
        })
    );
    let id = relationship["id"].as_str().expect("an id");
    assert_eq!(expect(200, client.get(&format!("{PATH}/{id}"))), relationship);
}

#[test]
fn an_unknown_relationship_is_404() {
    let client = shared().new_client();
    let unknown = client.get(&format!("{PATH}/01ARZ3NDEKTSV4RRFFQ69G5FAV"));
    assert_eq!(unknown.status, 404, "{unknown:?}");
    assert_eq!(unknown.json()["error"]["code"], "not_found");
}

#[test]
fn no_relationship_is_seen_from_another_organization_or_mode() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let agent = make_agent(&client, "Echo");
    turn(&client, &agent, "ada");
    let id = relationship_of(&client, "ada")["id"].as_str().expect("an id").to_owned();
    for stranger in [server.client(&organization, "test", "read_write"), server.new_client()] {
        assert_eq!(stranger.get(&format!("{PATH}/{id}")).status, 404, "never 403");
        for query in ["", "user_id=ada", &format!("personality_id={agent}")] {
            assert_eq!(relationships(&stranger, query), [] as [Value; 0], "{query}");
        }
    }
    expect(200, server.client(&organization, "live", "read").get(&format!("{PATH}/{id}")));
}

#[test]
fn relationships_are_listed_in_pages() {
    let (client, agents, users) = with_pairs();
    let whole = walk(&client, "", 200);
    assert_eq!(whole.len(), 12);
    assert_eq!(whole.iter().cloned().collect::<BTreeSet<_>>(), pairs(&agents, &users));
    for limit in [1, 2, 5, 11, 12] {
        assert_eq!(walk(&client, "", limit), whole, "{limit} a page");
    }
}

#[test]
fn relationships_are_selected_by_user_and_by_agent() {
    let (client, agents, users) = with_pairs();
    let selected = |query: &str| walk(&client, query, 2).into_iter().collect::<BTreeSet<_>>();
    for user in &users {
        assert_eq!(selected(&format!("user_id={}", encode(user))), pairs(&agents, [user]), "{user}");
    }
    for agent in &agents {
        assert_eq!(selected(&format!("personality_id={agent}")), pairs([agent], &users));
        for user in &users {
            let both = format!("personality_id={agent}&user_id={}", encode(user));
            assert_eq!(selected(&both), pairs([agent], [user]), "{user}");
        }
    }
    for nobody in ["user_id=nobody", "user_id=ad", "personality_id=00000000-0000-4000-8000-000000000000"] {
        assert_eq!(selected(nobody), BTreeSet::new(), "{nobody}");
    }
}

#[test]
fn a_list_shows_what_was_done_just_before() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    for count in 1..=20 {
        turn(&client, &agent, &format!("u{count:02}"));
        assert_eq!(relationships(&client, "").len(), count, "read your writes");
        turn(&client, &agent, "u01");
        assert_eq!(relationship_of(&client, "u01")["turns"], count + 1);
    }
}

#[test]
fn wrong_parameters_are_422_all_at_once() {
    let client = shared().new_client();
    for (query, paths) in [
        ("limit=0", vec!["limit"]),
        ("limit=201", vec!["limit"]),
        ("limit=x&page=2", vec!["limit", "page"]),
        ("user_id=..", vec!["user_id"]),
        ("user_id=", vec!["user_id"]),
        ("personality_id=", vec!["personality_id"]),
    ] {
        let response = client.get(&format!("{PATH}?{query}"));
        assert_eq!(response.status, 422, "{query}: {response:?}");
        let body = response.json();
        let fields = body["error"]["details"]["fields"].as_array().expect("fields");
        let given: BTreeSet<&str> = fields.iter().filter_map(|field| field["path"].as_str()).collect();
        assert_eq!(given, paths.into_iter().collect(), "{query}");
    }
}

#[test]
fn a_cursor_is_good_only_for_the_list_that_gave_it() {
    let (client, agents, _) = with_pairs();
    let query = format!("limit=1&personality_id={}", agents[0]);
    let page = expect(200, client.get(&format!("{PATH}?{query}")));
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    expect(200, client.get(&format!("{PATH}?{query}&cursor={cursor}")));
    for other in ["limit=1", "limit=1&user_id=ada", &format!("limit=1&personality_id={}", agents[1])] {
        assert_eq!(client.get(&format!("{PATH}?{other}&cursor={cursor}")).status, 400, "{other}");
    }
    assert_eq!(shared().new_client().get(&format!("{PATH}?{query}&cursor={cursor}")).status, 400);
    assert_eq!(client.get(&format!("{PATH}?cursor=x")).status, 400);
    assert_eq!(client.get(&format!("/v1/end-users?limit=1&cursor={cursor}")).status, 400);
}

#[test]
fn a_user_is_read_with_their_relationships_newest_first() {
    let client = shared().new_client();
    let agents: Vec<String> = (0..3).map(|index| make_agent(&client, &format!("agent {index}"))).collect();
    for agent in [&agents[0], &agents[1], &agents[2], &agents[0]] {
        turn(&client, agent, "ada");
        tick();
    }
    turn(&client, &agents[0], "eve");
    let user = expect(200, client.get("/v1/end-users/ada"));
    let shown = user["relationships"].as_array().expect("relationships");
    let order: Vec<&str> = shown.iter().filter_map(|one| one["personality_id"].as_str()).collect();
    assert_eq!(order, [&agents[0], &agents[2], &agents[1]]);
    assert_eq!(user["relationships_has_more"], false);
    for relationship in shown {
        let id = relationship["id"].as_str().expect("an id");
        assert_eq!(&expect(200, client.get(&format!("{PATH}/{id}"))), relationship);
    }
    let listed = expect(200, client.get("/v1/end-users"));
    assert!(listed["data"].as_array().expect("data").iter().all(|user| user.get("relationships").is_none()));
}

/// Users before and after, with and without relationships: a read fetches relationships only for users that have
/// some.
#[test]
fn everybody_is_read_with_their_own_relationships() {
    let client = shared().new_client();
    let agent = make_agent(&client, "agent");
    let users = ["a", "b", "c", "d", "e"];
    for user in users {
        expect(201, client.post("/v1/end-users", &json!({ "user_id": user })));
    }
    for user in ["b", "d", "e"] {
        turn(&client, &agent, user);
    }
    for (user, count) in users.into_iter().zip([0, 1, 0, 1, 1]) {
        let read = expect(200, client.get(&format!("/v1/end-users/{user}")));
        let related = read["relationships"].as_array().expect("relationships");
        assert_eq!(related.len(), count, "{user}");
        assert!(related.iter().all(|relationship| relationship["user_id"] == user));
    }
}

#[test]
fn a_user_is_read_with_a_hundred_relationships_at_most() {
    let client = shared().new_client();
    let agents: Vec<String> = (0..101).map(|index| make_agent(&client, &format!("agent {index}"))).collect();
    let shown = |count: usize, has_more: bool| {
        let user = expect(200, client.get("/v1/end-users/ada"));
        assert_eq!(user["relationships"].as_array().map(Vec::len), Some(count));
        assert_eq!(user["relationships_has_more"], has_more);
    };
    for agent in &agents[..100] {
        turn(&client, agent, "ada");
    }
    shown(100, false);
    turn(&client, &agents[100], "ada");
    shown(100, true);
    assert_eq!(walk(&client, "user_id=ada", 50).len(), 101, "the list has them all");
}

#[test]
fn an_export_holds_the_relationships() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    feel(&client, &agent, "ada", &json!({ "valence": 1, "arousal": 0 }));
    let id = relationship_of(&client, "ada")["id"].as_str().expect("an id").to_owned();
    let export = client.get("/v1/end-users/ada/export");
    assert_eq!(export.status, 200);
    assert!(export.body.contains(&id), "{export:?}");
}

#[test]
fn relationships_go_with_the_user_and_usage_stays() {
    let client = shared().new_client();
    let (first, second) = (make_agent(&client, "First"), make_agent(&client, "Second"));
    feel(&client, &first, "ada", &json!({ "valence": 1, "arousal": 1 }));
    turn(&client, &second, "ada");
    turn(&client, &first, "eve");
    let id = relationship_of(&client, "eve")["id"].as_str().expect("an id").to_owned();
    let gone: Vec<String> = relationships(&client, "user_id=ada")
        .iter()
        .map(|relationship| relationship["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(gone.len(), 2);

    let accepted = expect(202, client.delete("/v1/end-users/ada"));
    assert_eq!(relationships(&client, "user_id=ada"), [] as [Value; 0], "at once");
    let receipt = completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    assert_eq!(receipt["erased"], json!({ "records": 1, "relationships": 2, "moods": 1 }));
    for id in &gone {
        assert_eq!(client.get(&format!("{PATH}/{id}")).status, 404);
    }
    let left: Vec<Value> = relationships(&client, "");
    assert_eq!(left.iter().map(|one| one["id"].as_str().expect("an id")).collect::<Vec<_>>(), [id]);
    assert_eq!(used(&client), (3, 3), "what was used was used");
}

#[test]
fn whoever_comes_after_an_erasure_begins_anew() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    feel(&client, &agent, "ada", &json!({ "valence": 1, "arousal": 1 }));
    let before = relationship_of(&client, "ada");
    let accepted = expect(202, client.delete("/v1/end-users/ada"));
    completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    assert_eq!(expect(200, client.get("/v1/end-users/ada"))["relationships"], json!([]));
    turn(&client, &agent, "ada");
    let after = relationship_of(&client, "ada");
    assert_ne!(after["id"], before["id"]);
    assert_eq!((&after["turns"], &after["mood"]), (&json!(1), &Value::Null));
}

#[test]
fn a_partial_erasure_takes_what_it_names() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    feel(&client, &agent, "ada", &json!({ "valence": 1, "arousal": 1 }));
    let erase = |cascade: &str| -> Value {
        let body = json!({ "cascade": cascade }).to_string();
        let accepted = client.send("DELETE", "/v1/end-users/ada", Some(("application/json", body.as_bytes())));
        completed(&client, expect(202, accepted)["deletion_id"].as_str().expect("an id"))["erased"].clone()
    };
    assert_eq!(erase("model_only"), json!({ "records": 0, "relationships": 0, "moods": 1 }));
    let relationship = relationship_of(&client, "ada");
    assert_eq!((&relationship["turns"], &relationship["mood"]), (&json!(1), &Value::Null));
    assert_eq!(erase("memory_only"), json!({ "records": 0, "relationships": 1, "moods": 0 }));
    assert_eq!(relationships(&client, "user_id=ada"), [] as [Value; 0]);
    assert_eq!(expect(200, client.get("/v1/end-users/ada"))["status"], "active");
}

#[test]
fn a_relationship_is_deleted_by_itself() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Tutor");
    for user in ["ada", "bob"] {
        feel(&client, &agent, user, &json!({ "valence": 1, "arousal": 1 }));
    }
    let of = |user: &str| relationship_of(&client, user);
    let path = format!("/v1/relationships/{}", of("ada")["id"].as_str().expect("an id"));
    let body = json!({ "cascade": "model_only" }).to_string();
    assert_eq!(client.send("DELETE", &path, Some(("application/json", body.as_bytes()))).status, 422);

    let body = json!({ "cascade": "memory_only" }).to_string();
    let accepted = expect(202, client.send("DELETE", &path, Some(("application/json", body.as_bytes()))));
    assert_eq!(accepted["status"], "partial_deletion_pending");
    completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    let kept = of("ada");
    assert_eq!((&kept["turns"], &kept["last_interaction_at"]), (&json!(0), &Value::Null));
    assert!(kept["mood"].is_object(), "the mood stays");

    let accepted = expect(202, client.delete(&path));
    let receipt = completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    assert_eq!(receipt["erased"], json!({ "records": 0, "relationships": 1, "moods": 1 }));
    assert_eq!(client.get(&path).status, 404);
    assert_eq!(client.delete(&path).status, 404);
    let listed = expect(200, client.get(&format!("/api/v1/agents/{agent}/users")));
    let users: Vec<&Value> = listed["users"].as_array().expect("users").iter().map(|user| &user["user_id"]).collect();
    assert_eq!(users, ["bob"]);
    assert_eq!(expect(200, client.get("/v1/end-users/ada"))["status"], "active", "the person stays");
}

/// The test computes the remaining mood in whole millionths. `last_decay_at` is the instant of the turn, when the stored
/// mood was computed, and not that of the reading.
#[test]
fn a_mood_decays_by_the_half_life_that_is_set() {
    let vars = [roomy(), vec![("MOOD_HALF_LIFE_HOURS", "1".to_owned())]].concat();
    let server = Server::start(Options { vars, entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let client = server.new_client();
    let agent = make_agent(&client, "Echo");
    feel(&client, &agent, "ada", &json!({ "valence": 1, "arousal": -1 }));
    clock.advance(Duration::from_mins(90));
    let instant = |mood: &Value, name: &str| {
        let text = mood[name].as_str().expect("an instant");
        Timestamp::parse(text).expect("an instant").millis()
    };
    let assert_decayed = |mood: &Value| {
        assert_eq!(instant(mood, "last_decay_at"), instant(mood, "updated_at"));
        let left = 0.25 * (-1.5_f64).exp2();
        for (name, expected) in [("valence", left), ("arousal", -left)] {
            let level = mood[name].as_f64().expect("a number");
            assert!((level - expected).abs() < 1e-6, "{name}: {expected} after an hour and a half: {mood}");
        }
    };
    let users = || expect(200, client.get(&format!("/api/v1/agents/{agent}/users")))["users"][0]["mood"].clone();
    let relationship = relationship_of(&client, "ada");
    let id = relationship["id"].as_str().expect("an id");
    for mood in [
        &relationship["mood"],
        &users(),
        &expect(200, client.get(&format!("/v1/relationships/{id}")))["mood"],
        &expect(200, client.get("/v1/end-users/ada"))["relationships"][0]["mood"],
        &expect(200, client.get("/v1/end-users/ada/export"))["relationships"][0]["mood"],
    ] {
        assert_decayed(mood);
    }
    // A turn moves the mood from its decayed level.
    let before = users();
    feel(&client, &agent, "ada", &json!({ "valence": 0, "arousal": 0 }));
    let after = users()["valence"].as_f64().expect("a number");
    let expected = before["valence"].as_f64().expect("a number") * 0.75;
    assert!((expected - after).abs() < 2e-6, "{after}, not {expected}");
}
