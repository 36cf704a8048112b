//! `GET /v1/end-users`: order, pages, filters, cursors.

use serde_json::{Value, json};

use crate::client::{Client, encode};
use crate::clock::tick;
use crate::pages::PageCount;
use crate::server::{expect, shared};

fn ids(page: &Value) -> Vec<String> {
    let data = page["data"].as_array().expect("data");
    data.iter().map(|user| user["user_id"].as_str().expect("an id").to_owned()).collect()
}

/// Walks a list page by page and returns every id in the order given.
fn walk(client: &Client, query: &str, limit: usize) -> Vec<String> {
    let mut all = Vec::new();
    let (mut cursor, mut pages) = (String::new(), PageCount::default());
    loop {
        pages.add();
        let page = expect(200, client.get(&format!("/v1/end-users?limit={limit}&{query}{cursor}")));
        let page_ids = ids(&page);
        assert!(page_ids.len() <= limit);
        all.extend(page_ids);
        if page["next_cursor"].is_null() {
            assert_eq!(page["has_more"], false);
            return all;
        }
        assert_eq!(page["has_more"], true);
        let next = page["next_cursor"].as_str().expect("a cursor");
        assert!(!next.is_empty() && next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        cursor = format!("&cursor={next}");
    }
}

fn with_users(ids: &[&str]) -> Client {
    let client = shared().new_client();
    for id in ids {
        assert_eq!(client.post("/v1/end-users", &json!({ "user_id": id })).status, 201);
    }
    client
}

#[test]
fn pages_follow_byte_order_both_ways_at_any_size() {
    // JavaScript orders the last two in reverse.
    let ids = ["A", "Z", "a", "a b", "a/b", "aa", "b", "é", "日本", "\u{FFFD}", "🦀"];
    let client = with_users(&ids);
    let reversed: Vec<&str> = ids.iter().rev().copied().collect();
    for limit in [1, 2, 3, ids.len() - 1, ids.len(), 200] {
        assert_eq!(walk(&client, "", limit), ids, "limit {limit}");
        assert_eq!(walk(&client, "order=asc&order_by=user_id", limit), ids);
        assert_eq!(walk(&client, "order=desc", limit), reversed);
    }
}

#[test]
fn the_default_page_has_50_users() {
    let client = shared().new_client();
    for index in 0..51 {
        client.post("/v1/end-users", &json!({ "user_id": format!("u{index:02}") }));
    }
    let page = expect(200, client.get("/v1/end-users"));
    assert_eq!(ids(&page).len(), 50);
    assert_eq!(page["has_more"], true);
    let members: Vec<&String> = page.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["data", "has_more", "next_cursor"]);
}

#[test]
fn a_prefix_selects_by_bytes() {
    let client = with_users(&["a", "ab", "ab/1", "ab/2", "abc", "ac", "b", "ü", "\u{10FFFF}", "\u{10FFFF}x"]);
    assert_eq!(walk(&client, "user_id_prefix=ab", 2), ["ab", "ab/1", "ab/2", "abc"]);
    assert_eq!(walk(&client, "user_id_prefix=ab&order=desc", 3), ["abc", "ab/2", "ab/1", "ab"]);
    assert_eq!(walk(&client, "user_id_prefix=ab%2F", 1), ["ab/1", "ab/2"]);
    assert_eq!(walk(&client, "user_id_prefix=%C3%BC", 1), ["ü"]);
    let last = encode("\u{10FFFF}");
    assert_eq!(walk(&client, &format!("user_id_prefix={last}"), 1), ["\u{10FFFF}", "\u{10FFFF}x"]);
    assert_eq!(walk(&client, "user_id_prefix=zz", 1), Vec::<String>::new());
}

#[test]
fn creation_order_has_its_own_filters() {
    let client = shared().new_client();
    let mut created = Vec::new();
    for id in ["c", "a", "d", "b"] {
        let user = client.post("/v1/end-users", &json!({ "user_id": id })).json();
        created.push((id, user["created_at"].as_str().expect("created_at").to_owned()));
        tick();
    }
    assert_eq!(walk(&client, "order_by=created_at", 1), ["c", "a", "d", "b"]);
    assert_eq!(walk(&client, "order_by=created_at&order=desc", 3), ["b", "d", "a", "c"]);
    let (first, third) = (&created[0].1, &created[2].1);
    let between = format!("order_by=created_at&created_after={first}&created_before={third}");
    assert_eq!(walk(&client, &between, 1), ["a"], "both ends are exclusive");
    assert_eq!(walk(&client, &format!("order_by=created_at&created_after={first}"), 2), ["a", "d", "b"]);
    assert_eq!(walk(&client, &format!("order_by=created_at&order=desc&created_before={third}"), 1), ["a", "c"]);
    for (long, nobody) in [("created_after=1249-07-30T19:33:15Z", false), ("created_before=1249-07-30T19:33:15Z", true)]
    {
        assert_eq!(walk(&client, &format!("order_by=created_at&{long}"), 5).is_empty(), nobody, "{long}");
    }
    let offset = first.replace('Z', "%2B00:00");
    assert_eq!(walk(&client, &format!("order_by=created_at&created_after={offset}"), 2), ["a", "d", "b"]);
}

/// Users made within one millisecond are ordered by id, and no page loses one.
#[test]
fn equal_instants_are_settled_by_id() {
    let client = std::sync::Arc::new(shared().new_client());
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let client = std::sync::Arc::clone(&client);
            std::thread::spawn(move || {
                for index in 0..25 {
                    client.post("/v1/end-users", &json!({ "user_id": format!("{thread}-{index}") }));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("a writer");
    }
    let whole = walk(&client, "order_by=created_at", 200);
    assert_eq!(whole.len(), 200);
    assert_eq!(walk(&client, "order_by=created_at", 7), whole);
    let mut reversed = walk(&client, "order_by=created_at&order=desc", 7);
    reversed.reverse();
    assert_eq!(reversed, whole);
}

#[test]
fn a_list_shows_what_was_written_just_before() {
    let client = shared().new_client();
    for index in 0..50 {
        let id = format!("u{index:03}");
        assert_eq!(client.post("/v1/end-users", &json!({ "user_id": id })).status, 201);
        let page = expect(200, client.get("/v1/end-users?order=desc&limit=1"));
        assert_eq!(ids(&page), [id], "read your writes");
    }
}

#[test]
fn wrong_parameters_are_422_all_at_once() {
    let client = shared().new_client();
    for (query, paths) in [
        ("limit=0", vec!["limit"]),
        ("limit=201", vec!["limit"]),
        ("limit=x&order=up&order_by=name&page=2", vec!["limit", "order", "order_by", "page"]),
        ("limit=1&limit=2", vec!["limit"]),
        ("user_id_prefix=", vec!["user_id_prefix"]),
        ("user_id_prefix=a&order_by=created_at", vec!["user_id_prefix"]),
        ("created_after=2026-01-01T00:00:00Z", vec!["created_after"]),
        ("created_before=yesterday&order_by=created_at", vec!["created_before"]),
    ] {
        let response = client.get(&format!("/v1/end-users?{query}"));
        assert_eq!(response.status, 422, "{query}: {response:?}");
        let body = response.json();
        let fields = body["error"]["details"]["fields"].as_array().expect("fields");
        let given: Vec<&str> = fields.iter().map(|field| field["path"].as_str().expect("a path")).collect();
        assert_eq!(given, paths, "{query}");
    }
    assert_eq!(client.get("/v1/end-users?limit=%ff").status, 400);
    assert_eq!(client.get(&format!("/v1/end-users?{}", "a&".repeat(5_000))).status, 400, "bounded work");
}

#[test]
fn a_cursor_is_good_only_for_the_list_that_gave_it() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let test_mode = server.client(&organization, "test", "read_write");
    let stranger = server.new_client();
    for client in [&client, &test_mode, &stranger] {
        for id in ["a", "b", "c"] {
            client.post("/v1/end-users", &json!({ "user_id": id }));
        }
    }
    let page = expect(200, client.get("/v1/end-users?limit=1"));
    let cursor = page["next_cursor"].as_str().expect("a cursor").to_owned();
    let with = |client: &Client, query: &str, cursor: &str| {
        client.get(&format!("/v1/end-users?limit=1&cursor={cursor}{query}"))
    };
    assert_eq!(ids(&expect(200, with(&client, "", &cursor))), ["b"]);
    assert_eq!(ids(&expect(200, with(&client, "&order=asc", &cursor))), ["b"], "the default, spelled out");
    for (client, query) in [
        (&client, "&order=desc"),
        (&client, "&order_by=created_at"),
        (&client, "&user_id_prefix=a"),
        (&test_mode, ""),
        (&stranger, ""),
    ] {
        let refused = with(client, query, &cursor);
        assert_eq!(refused.status, 400, "{query}: {refused:?}");
        assert_eq!(refused.json()["error"]["code"], "invalid_request");
    }
    let changed = format!("{}{}", &cursor[..cursor.len() - 1], if cursor.ends_with('A') { 'E' } else { 'A' });
    for bad in ["", "x", "%F0%9F%A6%80", &changed, &cursor[1..], &format!("{cursor}{cursor}")] {
        assert_eq!(with(&client, "", bad).status, 400, "{bad}");
    }
}
