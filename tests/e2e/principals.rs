//! `/api/v1/principals`: users and agents in one resource.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::agents::PATH as AGENTS;
use crate::client::{Client, Response, encode};
use crate::delete_end_user::completed;
use crate::pages::PageCount;
use crate::respond::{race, turn};
use crate::server::{Options, Organization, Server, expect, roomy, shared};
use crate::stores::Store;

const PATH: &str = "/api/v1/principals";

/// Dialects 1 and 2, and dialect 3, of one organization.
fn both(server: &Server, organization: &Organization) -> (Client, Client) {
    (server.client(organization, "live", "read_write"), server.service(organization, "live", "read_write"))
}

fn human(external_id: &str) -> Value {
    json!({ "external_id": external_id, "type": "human", "name": "Ada" })
}

fn agent(external_id: &str) -> Value {
    json!({ "external_id": external_id, "type": "agent", "name": "Tutor" })
}

/// Checks a success's envelope and returns its result.
fn result(status: u16, response: Response) -> Value {
    assert!(response.header("content-type").starts_with("application/json"), "{response:?}");
    let body = expect(status, response);
    let mut names: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["message", "meta", "result", "success", "suggestion"]);
    assert_eq!((&body["success"], &body["suggestion"]), (&json!(true), &Value::Null));
    assert!(body["message"].is_string());
    body["result"].clone()
}

/// Checks a refusal's envelope and returns its error.
fn error(response: &Response, status: u16) -> Value {
    assert_eq!(response.status, status, "{response:?}");
    let body = response.json();
    let mut names: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["error", "request_id", "success", "suggestion"]);
    assert_eq!(body["success"], false);
    assert_eq!(body["request_id"], response.header("x-request-id"));
    assert!(body["suggestion"].as_str().is_some_and(|suggestion| !suggestion.is_empty()));
    body["error"].clone()
}

fn by_external_id(external_id: &str) -> String {
    format!("{PATH}/by-external-id/{}", encode(external_id))
}

fn of(principal: &Value) -> String {
    format!("{PATH}/{}", principal["id"].as_str().expect("an id"))
}

#[test]
fn a_human_is_made_once_and_read_by_either_id() {
    let client = shared().service(&shared().organization(), "live", "read_write");
    let id = "a/b @%.🦀";
    let mut body = human(id);
    body["metadata"] = json!({ "n": 9_007_199_254_740_993_u64 });
    let response = client.post(PATH, &body);
    let (location, etag) = (response.header("location").to_owned(), response.header("etag").to_owned());
    let created = result(201, response);
    assert_eq!(location, of(&created));
    assert!(etag.starts_with('"'), "{etag}");
    let uuid = created["id"].as_str().expect("an id").to_owned();
    assert!(uuid.len() == 36 && uuid.as_bytes()[14] == b'7', "{uuid}");
    assert_eq!(
        created,
        json!({
            "created": true, "id": uuid, "external_id": id, "type": "human", "name": "Ada",
            "created_at": created["created_at"], "updated_at": created["created_at"],
            "metadata": { "n": 9_007_199_254_740_993_u64 }, "is_temporary": false,
            "owner_principal_id": null, "onboarding_session_id": null,
        })
    );
    let mut held = created;
    held["created"] = json!(false);
    let again = json!({ "external_id": id, "type": "human", "name": "Other", "metadata": { "ignored": 1 } });
    assert_eq!(result(200, client.post(PATH, &again)), held, "nothing is overwritten");
    assert_eq!(result(200, client.get(&of(&held))), held);
    assert_eq!(result(200, client.get(&by_external_id(id))), held);
    assert_eq!(client.clone().with_header("If-None-Match", &etag).get(&of(&held)).status, 304);
    assert_eq!(client.send("HEAD", &of(&held), None).status, 200);
}

#[test]
fn among_racing_creations_exactly_one_creates() {
    let client = shared().service(&shared().organization(), "live", "read_write");
    for kind in [human, agent] {
        let body = kind("raced");
        let id = format!("{}-raced", body["type"].as_str().expect("a type"));
        let mut body = body;
        body["external_id"] = json!(id);
        let answers = race(16, 4, |_| client.post(PATH, &body));
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1);
        let ids: BTreeSet<String> = answers.iter().map(|answer| answer.json()["result"]["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
}

#[test]
fn a_human_is_the_end_user_and_has_one_row_everywhere() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let (client, service) = both(&server, &organization);
    let tenant = format!("{}/live", organization.id);
    let agent = result(201, service.post(PATH, &agent("tutor")));

    // First the test makes a principal, and then uses the other dialects.
    let ada = result(201, service.post(PATH, &human("ada")));
    let user = expect(200, client.post("/v1/end-users", &json!({ "user_id": "ada", "metadata": { "ignored": 1 } })));
    assert_eq!((&user["display_name"], &user["metadata"]), (&json!("Ada"), &json!({})));
    assert_eq!(user["created_at"], ada["created_at"]);
    turn(&client, agent["id"].as_str().expect("an id"), "ada");

    // Now the other dialects come first. A user without a given name has the id as its name.
    turn(&client, "Tutor", "eve");
    let eve = result(200, service.post(PATH, &human("eve")));
    assert_eq!((&eve["name"], &eve["created"]), (&json!("eve"), &json!(false)));
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "bob", "display_name": "Bob" })));
    assert_eq!(result(200, service.get(&by_external_id("bob")))["name"], "Bob");

    for store in [Store::Objects, Store::D1] {
        store.assert_users_eventually(server.state(), &tenant, 3);
    }
    let listed = expect(200, client.get("/v1/end-users"));
    let ids: Vec<&Value> = listed["data"].as_array().expect("data").iter().map(|user| &user["user_id"]).collect();
    assert_eq!(ids, ["ada", "bob", "eve"]);
    let principals = result(200, service.get(&format!("{PATH}?type=human")));
    let ids: Vec<&Value> = principals.as_array().expect("items").iter().map(|item| &item["external_id"]).collect();
    assert_eq!(ids, ["ada", "eve", "bob"], "in the order of their making");

    // A change through either is seen through the other.
    let changed = json!({ "name": "Ada L.", "metadata": { "a": 1 } });
    assert_eq!(result(200, service.patch(&of(&ada), &changed))["name"], "Ada L.");
    let user = expect(200, client.get("/v1/end-users/ada"));
    assert_eq!((&user["display_name"], &user["metadata"]), (&json!("Ada L."), &json!({ "a": 1 })));
    expect(200, client.patch("/v1/end-users/ada", &json!({ "display_name": null })));
    let seen = result(200, service.get(&of(&ada)));
    assert_eq!((&seen["name"], &seen["id"]), (&json!("ada"), &ada["id"]));
    let agent_id = agent["id"].as_str().expect("an id");
    assert_eq!(expect(200, client.get(&format!("{AGENTS}/{agent_id}")))["external_id"], "tutor");
}

#[test]
fn an_external_id_belongs_to_one_type() {
    let (client, service) = both(shared(), &shared().organization());
    result(201, service.post(PATH, &human("ada")));
    result(201, service.post(PATH, &agent("tutor")));
    let conflict = error(&service.post(PATH, &agent("ada")), 409);
    assert!(conflict.as_str().is_some_and(|message| message.contains("other type")), "{conflict}");
    error(&service.post(PATH, &human("tutor")), 409);
    // Every dialect refuses the duplicate.
    assert_eq!(client.post(AGENTS, &json!({ "name": "x", "external_id": "ada" })).status, 409);
    let refused = client.post("/v1/end-users", &json!({ "user_id": "tutor" }));
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (409, &json!("conflict")));
    let body = json!({ "message": "hi", "personality_id": "Tutor", "user_id": "tutor" });
    assert_eq!(client.post("/v1/respond", &body).status, 409);
    let rows = json!({ "users": [{ "user_id": "tutor" }, { "user_id": "bob" }] });
    let batch = expect(200, client.post("/v1/end-users/batch", &rows));
    assert_eq!((&batch["results"][0]["status"], &batch["results"][1]["status"]), (&json!(409), &json!(201)));
    assert_eq!(result(200, service.get(&by_external_id("tutor")))["type"], "agent");
}

/// Clients of this dialect refuse a principal whose external id is no text.
#[test]
fn an_agent_that_was_made_by_name_shows_its_name_as_its_external_id() {
    let (client, service) = both(shared(), &shared().organization());
    let longest = "🦀".repeat(255);
    for name in ["Tutor", ".", "..", "a/b", &longest] {
        let made = expect(201, client.post(AGENTS, &json!({ "name": name })));
        assert_eq!(made["external_id"], Value::Null, "it has none of its own");
        let shown = result(200, service.get(&format!("{PATH}/{}", made["agent_id"].as_str().expect("an id"))));
        assert_eq!((&shown["external_id"], &shown["name"]), (&json!(name), &json!(name)));
        let changed = result(200, service.patch(&of(&shown), &json!({ "metadata": { "a": 1 } })));
        assert_eq!(changed["external_id"], name);
        if !name.starts_with('.') {
            assert_eq!(result(200, service.get(&by_external_id(name))), changed, "what is shown is found");
        }
    }
    let listed = result(200, service.get(&format!("{PATH}?type=agent")));
    assert!(listed.as_array().expect("items").iter().all(|item| item["external_id"] == item["name"]), "{listed}");
    // A principal that has the id is found before the agent that shows it.
    let human = result(201, service.post(PATH, &human("Tutor")));
    assert_eq!(result(200, service.get(&by_external_id("Tutor")))["id"], human["id"]);
}

#[test]
fn a_name_that_several_agents_show_as_their_external_id_finds_none_of_them() {
    let (client, service) = both(shared(), &shared().organization());
    let other = expect(201, client.post(AGENTS, &json!({ "name": "Other" })));
    expect(201, client.post(AGENTS, &json!({ "name": "Twin" })));
    let path = format!("{AGENTS}/{}", other["agent_id"].as_str().expect("an id"));
    expect(200, client.patch(&path, &json!({ "name": "Twin" })));
    error(&service.get(&by_external_id("Twin")), 409);
}

#[test]
fn an_agent_has_an_owner_until_the_owner_is_erased() {
    let (client, service) = both(shared(), &shared().organization());
    let ada = result(201, service.post(PATH, &human("ada")));
    let made = service.post(PATH, &agent("tutor"));
    let made_tag = made.header("etag").to_owned();
    let tutor = result(201, made);
    assert_eq!(tutor["owner_principal_id"], Value::Null);
    let own = json!({ "owner_principal_id": ada["id"] });
    let owned = service.patch(&of(&tutor), &own);
    assert_ne!(owned.header("etag"), made_tag, "another version");
    assert_eq!(result(200, owned)["owner_principal_id"], ada["id"]);
    let export = expect(200, client.get("/v1/end-users/ada/export"));
    assert_eq!(export["owned_agents"], json!([tutor["id"]]));

    for (path, owner) in [(of(&ada), &ada["id"]), (of(&tutor), &tutor["id"])] {
        let refused = error(&service.patch(&path, &json!({ "owner_principal_id": owner })), 422);
        assert_eq!(refused["detail"][0]["loc"], json!(["body", "owner_principal_id"]), "{refused}");
    }
    result(200, service.patch(&of(&ada), &json!({ "owner_principal_id": null })));
    let guarded = service.clone().with_header("If-Match", &made_tag);
    error(&guarded.patch(&of(&tutor), &json!({ "name": "x" })), 412);

    let accepted = result(202, service.delete(&of(&ada)));
    assert_eq!(accepted["status"], "deletion_pending");
    assert_eq!(result(200, service.get(&of(&tutor)))["owner_principal_id"], Value::Null);
    completed(&client, accepted["deletion_id"].as_str().expect("an id"));
    error(&service.get(&of(&ada)), 404);
    error(&service.delete(&of(&ada)), 404);
    assert_eq!(client.get("/v1/end-users/ada").status, 404);
    let anew = result(201, service.post(PATH, &human("ada")));
    assert_ne!(anew["id"], ada["id"], "someone else");

    let accepted = result(202, service.delete(&of(&tutor)));
    assert!(accepted["deletion_id"].is_string());
    error(&service.get(&of(&tutor)), 404);
    assert_eq!(client.get(&format!("{AGENTS}/Tutor")).status, 404);
}

/// Every page of a list, by cursor, forward or backward; each with its `meta`.
fn walk(service: &Client, query: &str, limit: usize, backward_from: Option<&str>) -> Vec<Value> {
    let (mut all, mut pages) = (Vec::new(), PageCount::default());
    let (name, mut cursor) = match backward_from {
        Some(cursor) => ("before", Some(cursor.to_owned())),
        None => ("after", None),
    };
    loop {
        pages.add();
        let next = cursor.as_ref().map_or(String::new(), |cursor| format!("&{name}={cursor}"));
        let body = expect(200, service.get(&format!("{PATH}?limit={limit}{query}{next}")));
        let items = body["result"].as_array().expect("items").clone();
        let meta = &body["meta"];
        assert!(items.len() <= limit);
        assert_eq!((&meta["total"], &meta["offset"], &meta["limit"]), (&Value::Null, &Value::Null, &Value::Null));
        let more = meta["has_more"].as_bool().expect("has_more");
        assert_eq!(meta[name].is_string(), more, "{meta}");
        assert_eq!(meta[if name == "after" { "before" } else { "after" }].is_string(), cursor.is_some(), "{meta}");
        if backward_from.is_some() {
            all.splice(0..0, items);
        } else {
            all.extend(items);
        }
        if !more {
            return all;
        }
        cursor = meta[name].as_str().map(str::to_owned);
    }
}

#[test]
fn cursors_and_offsets_walk_the_same_sequence() {
    let (client, service) = both(shared(), &shared().organization());
    for index in 0..11 {
        let kind = if index % 3 == 0 { agent } else { human };
        result(201, service.post(PATH, &kind(&format!("p{index:02}"))));
    }
    expect(201, client.post(AGENTS, &json!({ "name": "only named" })));
    let all = walk(&service, "", 200, None);
    assert_eq!(all.len(), 12);
    assert_eq!(all[11]["external_id"], "only named", "made by its name");
    let ids: Vec<&str> = all.iter().map(|item| item["id"].as_str().expect("an id")).collect();
    assert!(ids.is_sorted());
    assert_eq!(walk(&service, "", 5, None), all);
    let last = expect(200, service.get(&format!("{PATH}?limit=11")))["meta"]["after"].clone();
    let end = expect(200, service.get(&format!("{PATH}?limit=1&after={}", last.as_str().expect("a cursor"))));
    let before = end["meta"]["before"].as_str().expect("a cursor").to_owned();
    assert_eq!(walk(&service, "", 4, Some(&before)), all[..11]);
    for (query, kind) in [("&type=human", "human"), ("&type=agent", "agent")] {
        let expected: Vec<Value> = all.iter().filter(|item| item["type"] == kind).cloned().collect();
        assert_eq!(walk(&service, query, 2, None), expected);
        let body = expect(200, service.get(&format!("{PATH}?offset=0{query}")));
        assert_eq!(body["meta"]["total"], json!(expected.len()));
    }
    let mut paged = Vec::new();
    for offset in (0..15).step_by(5) {
        let body = expect(200, service.get(&format!("{PATH}?limit=5&offset={offset}")));
        paged.extend(body["result"].as_array().expect("items").clone());
        let expected = json!({
            "has_more": offset + 5 < 12, "after": null, "before": null, "total": 12, "offset": offset, "limit": 5,
        });
        assert_eq!(body["meta"], expected);
    }
    assert_eq!(paged, all);

    // A principal that is being erased is neither listed nor counted.
    let gone = result(202, service.delete(&of(&all[1])));
    let body = expect(200, service.get(&format!("{PATH}?offset=0")));
    assert_eq!(body["meta"]["total"], 11);
    completed(&client, gone["deletion_id"].as_str().expect("an id"));
    assert_eq!(expect(200, service.get(&format!("{PATH}?offset=0")))["meta"]["total"], 11);
}

#[test]
fn a_cursor_is_of_one_organization_mode_and_list() {
    let server = shared();
    let organization = server.organization();
    let service = server.service(&organization, "live", "read_write");
    for id in ["a", "b", "c"] {
        result(201, service.post(PATH, &human(id)));
    }
    let cursor = expect(200, service.get(&format!("{PATH}?limit=1")))["meta"]["after"].clone();
    let cursor = cursor.as_str().expect("a cursor");
    let others =
        [server.service(&server.organization(), "live", "read"), server.service(&organization, "test", "read")];
    for other in &others {
        error(&other.get(&format!("{PATH}?after={cursor}")), 400);
    }
    for query in ["type=human&after=", "type=agent&before="] {
        error(&service.get(&format!("{PATH}?{query}{cursor}")), 400);
    }
    for query in [
        format!("after={cursor}&before={cursor}"),
        format!("after={cursor}&offset=0"),
        "after=x".to_owned(),
        "after=".to_owned(),
    ] {
        error(&service.get(&format!("{PATH}?{query}")), 400);
    }
    for query in ["limit=0", "limit=201", "offset=10001", "offset=-1", "type=robot", "page=1"] {
        error(&service.get(&format!("{PATH}?{query}")), 422);
    }
    result(200, service.get(&format!("{PATH}?offset=10000")));
}

#[test]
fn wrong_input_is_told_field_by_field() {
    let service = shared().service(&shared().organization(), "live", "read_write");
    let wrong = json!({ "type": "robot", "name": "", "metadata": [], "extra": 1 });
    let told = error(&service.post(PATH, &wrong), 422);
    let detail = told["detail"].as_array().expect("detail");
    let paths: BTreeSet<&str> = detail.iter().map(|fault| fault["loc"][1].as_str().expect("a path")).collect();
    assert_eq!(paths, BTreeSet::from(["external_id", "extra", "metadata", "name", "type"]));
    for fault in detail {
        let names: BTreeSet<&str> = fault.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(names, BTreeSet::from(["input", "loc", "msg", "type"]));
        assert_eq!(fault["loc"][0], "body");
    }
    let of_type = detail.iter().find(|fault| fault["loc"][1] == "type").expect("the type's fault");
    assert_eq!(of_type["input"], "robot");
    error(&service.send("POST", PATH, Some(("application/json", b"{"))), 400);
    error(&service.send("POST", PATH, Some(("text/plain", b"{}"))), 415);
    error(&service.get(&format!("{PATH}/nobody")), 422);
    error(&service.get(&format!("{PATH}/018bcfe5-687b-7707-8707-070707070707")), 404);
    error(&service.get(&by_external_id("nobody")), 404);
    error(&service.get(&format!("{PATH}/a/b")), 404);
    error(&service.send("PUT", PATH, None), 405);
    error(&service.patch(&by_external_id("x"), &json!({})), 405);
}

#[test]
fn a_creation_with_a_key_is_replayed() {
    let service = shared().service(&shared().organization(), "live", "read_write");
    for kind in [human, agent] {
        let body = kind(kind("x")["type"].as_str().expect("a type"));
        let keyed = service.clone().with_header("Idempotency-Key", &body.to_string().replace(' ', ""));
        let first = keyed.post(PATH, &body);
        let again = keyed.post(PATH, &body);
        assert_eq!((first.status, again.status), (201, 201), "{again:?}");
        assert_eq!(again.header("idempotency-replayed"), "true");
        assert_eq!(first.body, again.body);
        assert_eq!(first.header("location"), again.header("location"));
        let mut other = body.clone();
        other["name"] = json!("Other");
        error(&keyed.post(PATH, &other), 422);
    }
}

#[test]
fn only_a_service_key_in_its_header_opens_it() {
    let server = shared();
    let organization = server.organization();
    let request = json!({ "kind": "service", "mode": "live", "scope": "read", "name": "test" });
    let key = server.issue(&organization, &request)["key"].as_str().expect("a key").to_owned();
    let service = server.with_service_key(&key);
    result(200, service.get(PATH));
    error(&service.post(PATH, &human("ada")), 403);
    let bearer = server.with_key(&key);
    assert_eq!(error(&bearer.get(PATH), 401), error(&server.anonymous().get(PATH), 401));
    assert_eq!(bearer.get("/v1/end-users").status, 401, "a service key opens no other dialect");
    let api = server.issue(&organization, &json!({ "kind": "api", "mode": "live", "scope": "read", "name": "x" }));
    error(&server.with_service_key(api["key"].as_str().expect("a key")).get(PATH), 401);
}
