//! Every page is bounded in bytes: where the rows are long, it ends early and says where to go on.

use std::thread;

use serde_json::{Value, json};

use crate::agents::{PATH as AGENTS, make_agent};
use crate::client::{Client, Response};
use crate::pages::PageCount;
use crate::respond::turn;
use crate::server::{expect, shared};
use crate::wait;

/// The documented bound.
const PAGE_BYTES_MAX: usize = 2_000_000;
/// Users whose metadata is as long as may be. They need two pages at least in every list.
const USERS: usize = 160;
const METADATA_BYTES_MAX: usize = 16 * 1024;

/// Metadata of the greatest length, full of quotes: each is escaped, and escaped again where an object is shown as a
/// text.
fn full_of_quotes() -> Value {
    let around = json!({ "o": { "q": "" } }).to_string().len();
    let metadata = json!({ "o": { "q": "\"".repeat((METADATA_BYTES_MAX - around) / 2) } });
    assert!((METADATA_BYTES_MAX - 1..=METADATA_BYTES_MAX).contains(&metadata.to_string().len()));
    metadata
}

fn user_id(index: usize) -> String {
    format!("u{index:03}")
}

/// Registers the users, in batches that fit into a body.
fn register(client: &Client) -> Vec<String> {
    let metadata = full_of_quotes();
    let ids: Vec<String> = (0..USERS).map(user_id).collect();
    for ids in ids.chunks(60) {
        let users: Vec<Value> = ids.iter().map(|id| json!({ "user_id": id, "metadata": metadata })).collect();
        let batch = expect(200, client.post("/v1/end-users/batch", &json!({ "users": users })));
        assert_eq!(batch["created"], ids.len());
    }
    ids
}

/// A page, as soon as the listing holds everything that was written.
fn read(client: &Client, path: &str) -> Response {
    wait::until(path, || client.get(path), |response| response.status != 503)
}

/// Walks a list. Every page has to keep the bound, and every page but the last to make use of it.
fn walk(client: &Client, path: &str, items: &str, item_id: &str, next: fn(&Value) -> Option<String>) -> Vec<String> {
    let (mut all, mut cursor, mut pages) = (Vec::new(), String::new(), PageCount::default());
    loop {
        pages.add();
        let response = read(client, &format!("{path}{cursor}"));
        assert!(response.body.len() <= PAGE_BYTES_MAX, "{path}: {} bytes", response.body.len());
        let length = response.body.len();
        let page = expect(200, response);
        let items = page[items].as_array().expect("items");
        all.extend(items.iter().map(|item| item[item_id].as_str().expect("an id").to_owned()));
        let has_more = page.pointer("/meta/has_more").unwrap_or(&page["has_more"]);
        let next = next(&page).filter(|_| has_more == &json!(true));
        assert_eq!(has_more, &json!(next.is_some()), "{path}");
        let Some(next) = next else { return all };
        assert!(length > PAGE_BYTES_MAX / 2, "{path}: a page of {length} bytes, and more follow");
        cursor = format!("&{next}");
    }
}

fn next_cursor(page: &Value) -> Option<String> {
    page["next_cursor"].as_str().map(|cursor| format!("cursor={cursor}"))
}

fn after(page: &Value) -> Option<String> {
    page["meta"]["after"].as_str().map(|cursor| format!("after={cursor}"))
}

fn before(page: &Value) -> Option<String> {
    page["meta"]["before"].as_str().map(|cursor| format!("before={cursor}"))
}

#[test]
fn no_page_of_users_or_principals_is_longer_than_two_megabytes() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let service = server.service(&organization, "live", "read");
    let ids = register(&client);
    let reversed: Vec<String> = ids.iter().rev().cloned().collect();
    for (query, expected) in [
        ("limit=200", &ids),
        ("limit=200&order=desc", &reversed),
        ("limit=200&order_by=created_at", &ids),
        ("limit=200&order_by=created_at&order=desc", &reversed),
    ] {
        let found = walk(&client, &format!("/v1/end-users?{query}"), "data", "user_id", next_cursor);
        assert_eq!(&found, expected, "{query}");
    }
    // Those of one batch have no order among them.
    let mut found = walk(&service, "/api/v1/principals?limit=200", "result", "external_id", after);
    found.sort_unstable();
    assert_eq!(found, ids);
    // From the last page backward, what it holds aside.
    let end = expect(200, service.get("/api/v1/principals?limit=200"));
    let end = expect(200, service.get(&format!("/api/v1/principals?limit=200&{}", after(&end).expect("a cursor"))));
    let end_items = end["result"].as_array().expect("items").len();
    let back = format!("/api/v1/principals?limit=200&{}", before(&end).expect("a cursor"));
    let page = service.get(&back);
    assert!(page.body.len() <= PAGE_BYTES_MAX);
    let (mut left, mut page) = (USERS - end_items, expect(200, page));
    loop {
        left -= page["result"].as_array().expect("items").len();
        if page["meta"]["has_more"] == false {
            break;
        }
        let path = format!("/api/v1/principals?limit=200&{}", before(&page).expect("a cursor"));
        page = expect(200, service.get(&path));
    }
    assert_eq!(left, 0, "backward too, everybody once");
}

/// A caller who goes on at the offset and the limit misses nobody.
#[test]
fn a_page_at_an_offset_is_whole_or_refused() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let service = server.service(&organization, "live", "read");
    register(&client);
    let refused = service.get("/api/v1/principals?limit=200&offset=0");
    let told = expect(422, refused).to_string();
    assert!(told.contains("offset") && told.contains("fit on a page"), "{told}");
    let mut found = 0;
    for offset in (0..USERS).step_by(50) {
        let page = expect(200, service.get(&format!("/api/v1/principals?limit=50&offset={offset}")));
        assert_eq!(page["meta"]["total"], USERS);
        found += page["result"].as_array().expect("items").len();
    }
    assert_eq!(found, USERS);
}

#[test]
fn no_page_of_an_agents_users_is_longer_than_two_megabytes() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Echo");
    let ids = register(&client);
    thread::scope(|scope| {
        for ids in ids.chunks(USERS / 4) {
            scope.spawn(|| ids.iter().for_each(|id| drop(turn(&client, &agent, id))));
        }
    });
    let path = format!("{AGENTS}/{agent}/users?page_size=500");
    assert_eq!(walk(&client, &path, "users", "user_id", next_cursor), ids);
    let refused = expect(422, read(&client, &format!("{path}&offset=0")));
    assert_eq!(refused["errors"][0]["location"], "query.offset", "{refused}");
    let third = expect(200, read(&client, &format!("{path}&offset={}", USERS - 1)));
    assert_eq!((&third["users"][0]["user_id"], &third["has_more"]), (&json!(user_id(USERS - 1)), &json!(false)));
}

/// Short rows fill a page up to its limit in rows.
#[test]
fn short_rows_never_end_a_page_early() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let service = server.service(&organization, "live", "read");
    let users: Vec<Value> = (0..201).map(|index| json!({ "user_id": user_id(index) })).collect();
    expect(200, client.post("/v1/end-users/batch", &json!({ "users": users })));
    let page = expect(200, read(&client, "/v1/end-users?limit=200"));
    assert_eq!((page["data"].as_array().map(Vec::len), &page["has_more"]), (Some(200), &json!(true)));
    let page = expect(200, service.get("/api/v1/principals?limit=200"));
    assert_eq!((page["result"].as_array().map(Vec::len), &page["meta"]["has_more"]), (Some(200), &json!(true)));
}
