//! The admin API: organizations, limits, keys.

use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::{self, Clock};
use crate::pages::PageCount;
use crate::server::{Options, Server, expect, roomy, shared};
use crate::wait;

const PATH: &str = "/admin/v1/organizations";

fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", &xtask::secrets::random_secret().expect("entropy")[..12])
}

#[test]
fn an_organization_is_made_read_and_changed() {
    let admin = shared().admin();
    let slug = unique("acme");
    let created = admin.post(PATH, &json!({ "name": "Acme", "slug": slug, "limits": { "burst": 7 } }));
    assert_eq!(created.status, 201, "{created:?}");
    let organization = created.json();
    let id = organization["id"].as_str().expect("an id").to_owned();
    assert_eq!(created.header("location"), format!("{PATH}/{id}"));
    assert_eq!(created.header("etag"), "\"1\"");
    assert!(!created.headers.contains_key("vary"), "no CORS for the operator");
    let created_at = &organization["created_at"];
    let expected = json!({
        "id": id, "name": "Acme", "slug": slug, "clerk_org_id": null, "location": null,
        "limits": {
            "requests_per_second": 50, "burst": 7, "turns_per_period": 10_000, "active_relationships": 1_000,
            "edge_stale_s": 5, "end_users": 1_000_000, "storage_bytes": 1_000_000_000, "turns_per_user": 0,
        },
        "version": 1, "created_at": created_at, "updated_at": created_at,
    });
    assert_eq!(organization, expected);
    assert_eq!(expect(200, admin.get(&format!("{PATH}/{id}"))), expected);

    let change = json!({ "name": "Acme GmbH", "clerk_org_id": unique("org"), "limits": { "requests_per_second": 3 } });
    let changed = expect(200, admin.patch(&format!("{PATH}/{id}"), &change));
    assert_eq!(changed["name"], "Acme GmbH");
    assert_eq!(changed["limits"]["requests_per_second"], 3);
    assert_eq!(changed["limits"]["burst"], 7, "what is not named stays");
    assert_eq!(changed["version"], 2);
    let cleared = expect(200, admin.patch(&format!("{PATH}/{id}"), &json!({ "clerk_org_id": null })));
    assert_eq!(cleared["clerk_org_id"], Value::Null);
    assert_eq!(cleared["name"], "Acme GmbH");
    assert_eq!(expect(200, admin.get(&format!("{PATH}/{id}"))), cleared);
    // Some languages write whole numbers like this.
    let limits = json!({ "burst": 8.0, "turns_per_period": 1e12 });
    let changed = expect(200, admin.patch(&format!("{PATH}/{id}"), &json!({ "limits": limits })));
    assert_eq!(changed["limits"]["burst"], json!(8));
    assert_eq!(changed["limits"]["turns_per_period"], json!(1_000_000_000_000_u64));
}

#[test]
fn organizations_are_guarded_by_their_version() {
    let admin = shared().admin();
    let created = admin.post(PATH, &json!({ "name": "Guarded" }));
    let path = created.header("location").to_owned();
    let guarded = |tag: &str| admin.clone().with_header("If-Match", tag);
    assert_eq!(guarded("\"1\"").patch(&path, &json!({ "name": "First" })).header("etag"), "\"2\"");
    assert_eq!(guarded("\"1\"").patch(&path, &json!({ "name": "Second" })).status, 412);
    assert_eq!(expect(200, admin.get(&path))["name"], "First");
    assert_eq!(admin.clone().with_header("If-None-Match", "\"2\"").get(&path).status, 304);
}

#[test]
fn a_slug_belongs_to_one_organization() {
    let admin = shared().admin();
    let slug = unique("taken");
    expect(201, admin.post(PATH, &json!({ "name": "First", "slug": slug })));
    let conflict = admin.post(PATH, &json!({ "name": "Second", "slug": slug }));
    assert_eq!(conflict.status, 409);
    assert_eq!(conflict.json()["detail"], "Another organization has this slug.");
    let other = expect(201, admin.post(PATH, &json!({ "name": "Third" })));
    let path = format!("{PATH}/{}", other["id"].as_str().expect("an id"));
    let conflict = admin.patch(&path, &json!({ "slug": slug, "name": "Changed" }));
    assert_eq!(conflict.status, 409);
    assert_eq!(expect(200, admin.get(&path)), other, "all or nothing");
}

/// Many operators write at once: no change is lost.
#[test]
fn racing_changes_are_all_kept() {
    let admin = shared().admin();
    let id = expect(201, admin.post(PATH, &json!({ "name": "Raced" })))["id"].as_str().expect("an id").to_owned();
    let path = format!("{PATH}/{id}");
    let fields = ["requests_per_second", "burst", "turns_per_period", "active_relationships"];
    std::thread::scope(|scope| {
        for field in fields {
            let (admin, path) = (admin.clone(), &path);
            scope.spawn(move || {
                let change = || {
                    let response = admin.patch(path, &json!({ "limits": { field: 77 } }));
                    assert!([200, 409].contains(&response.status), "{response:?}");
                    response.status
                };
                wait::until("a change that meets no other", change, |status| *status == 200);
            });
        }
    });
    let organization = expect(200, admin.get(&path));
    for field in fields {
        assert_eq!(organization["limits"][field], 77, "{field}");
    }
    assert_eq!(organization["version"], 5);
}

#[test]
fn organizations_are_listed_in_pages() {
    let admin = shared().admin();
    let made: Vec<String> = (0..5)
        .map(|index| {
            let created = expect(201, admin.post(PATH, &json!({ "name": format!("Listed {index}") })));
            created["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    let (mut listed, mut cursor, mut pages) = (Vec::new(), String::new(), PageCount::default());
    loop {
        pages.add();
        let page = expect(200, admin.get(&format!("{PATH}?limit=2{cursor}")));
        for organization in page["data"].as_array().expect("data") {
            listed.push(organization["id"].as_str().expect("an id").to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(listed.is_sorted() && listed.len() >= made.len());
    assert!(made.iter().all(|id| listed.contains(id)));
    assert_eq!(admin.get(&format!("{PATH}?cursor=x")).status, 400);
}

#[test]
fn changed_limits_hold_from_the_next_request() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let mut clock = Clock::stop(&server);
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 1 }));
    for mode in ["live", "test"] {
        let client = server.client(&organization, mode, "read_write");
        assert_eq!(client.get("/v1/end-users").header("x-ratelimit-limit"), "1");
        assert_eq!(client.get("/v1/end-users").status, 429);
    }
    let limits = json!({ "limits": { "requests_per_second": 1_000, "burst": 1_000 } });
    expect(200, server.admin().patch(&organization.path(), &limits));
    // The debt from the old rate remains, and is paid off at the new rate.
    clock.advance(Duration::from_secs(1));
    for mode in ["live", "test"] {
        let client = server.client(&organization, mode, "read_write");
        let response = client.get("/v1/end-users");
        assert_eq!((response.status, response.header("x-ratelimit-limit")), (200, "1000"));
    }
}

#[test]
fn a_key_is_shown_once_and_fits_every_client() {
    let server = shared();
    let organization = server.organization();
    let path = format!("{}/keys", organization.path());
    let request = json!({ "kind": "api", "mode": "test", "prefix": "uniq", "name": "CI" });
    let created = server.admin().post(&path, &request);
    assert_eq!(created.status, 201, "{created:?}");
    let issued = created.json();
    let key = issued["key"].as_str().expect("a key").to_owned();
    let (head, body) = key.rsplit_once('_').expect("a key");
    assert_eq!(head, "uniq_test");
    assert!(body.len() == 66 && body.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    assert_eq!(created.header("location"), format!("{path}/{}", issued["id"].as_str().expect("an id")));
    assert_eq!(
        issued,
        json!({
            "id": issued["id"], "key": key, "kind": "api", "mode": "test", "scope": "read_write", "prefix": "uniq",
            "name": "CI", "created_at": issued["created_at"], "expires_at": null, "revoked_at": null,
            "last_used_on": null,
        })
    );
    expect(200, server.with_key(&key).get("/v1/end-users"));
    let listed = expect(200, server.admin().get(&path));
    let view = &listed["data"][0];
    assert_eq!(view["id"], issued["id"]);
    assert_eq!(view.get("key"), None);
    assert_eq!(view["last_used_on"].as_str().map(str::len), Some(10), "{view}");
}

#[test]
fn keys_of_both_modes_are_listed_in_pages() {
    let server = shared();
    let organization = server.organization();
    let issued: Vec<Value> = (0..5)
        .map(|index| {
            let mode = if index % 2 == 0 { "live" } else { "test" };
            server.issue(&organization, &json!({ "kind": "service", "mode": mode, "name": format!("k{index}") }))
        })
        .collect();
    let (mut listed, mut cursor, mut pages) = (Vec::new(), String::new(), PageCount::default());
    loop {
        pages.add();
        let page = expect(200, server.admin().get(&format!("{}/keys?limit=2{cursor}", organization.path())));
        listed.extend(page["data"].as_array().expect("data").iter().map(|key| key["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let mut expected: Vec<Value> = issued.iter().map(|key| key["id"].clone()).collect();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(listed, expected);
}

#[test]
fn a_revoked_key_is_refused_from_the_next_request_on() {
    let server = shared();
    let organization = server.organization();
    for mode in ["live", "test"] {
        let issued = server.issue(&organization, &json!({ "kind": "api", "mode": mode, "name": "k" }));
        let client = server.with_key(issued["key"].as_str().expect("a key"));
        expect(200, client.get("/v1/end-users"));
        let path = format!("{}/keys/{}", organization.path(), issued["id"].as_str().expect("an id"));
        let revoked = server.admin().delete(&path);
        assert_eq!((revoked.status, revoked.body.as_str()), (204, ""));
        let refused = client.get("/v1/end-users");
        assert_eq!(refused.status, 401);
        assert_eq!(refused.json()["error"]["code"], "invalid_token");
        assert_eq!(server.admin().delete(&path).status, 204, "again");
    }
    let listed = expect(200, server.admin().get(&format!("{}/keys", organization.path())));
    assert!(listed["data"].as_array().expect("data").iter().all(|key| key["revoked_at"].is_string()));
    let unknown = format!("{}/keys/01ARZ3NDEKTSV4RRFFQ69G5FAV", organization.path());
    assert_eq!(server.admin().delete(&unknown).status, 404);
}

#[test]
fn faults_are_problems_with_exactly_these_members() {
    let server = shared();
    let response = server.admin().post(PATH, &json!({ "slug": "A B", "limits": { "burst": 0, "x": 1 } }));
    assert_eq!(response.status, 422);
    assert_eq!(response.header("content-type"), "application/problem+json");
    assert_eq!(
        response.json(),
        json!({
            "$schema": "/api/v1/schemas/Problem.json",
            "type": "urn:rollcall:problem:validation_error",
            "title": "Validation failed",
            "status": 422,
            "detail": "name is required; slug must have 2 to 64 characters from a-z, 0-9 and single hyphens between \
                       them; limits.burst must be a whole number from 1 to 10000000; limits.x is not a known field",
            "instance": format!("urn:ulid:{}", response.header("x-request-id")),
            "errors": [
                { "location": "body.name", "message": "is required", "value": null },
                { "location": "body.slug", "message": "must have 2 to 64 characters from a-z, 0-9 and single hyphens \
                    between them", "value": "A B" },
                { "location": "body.limits.burst", "message": "must be a whole number from 1 to 10000000", "value": 0 },
                { "location": "body.limits.x", "message": "is not a known field", "value": 1 },
            ],
        })
    );
    for (client, path, status) in [
        (server.anonymous(), PATH.to_owned(), 401),
        (server.with_key("guess"), PATH.to_owned(), 401),
        (server.new_client(), PATH.to_owned(), 401),
        (server.admin(), format!("{PATH}/01ARZ3NDEKTSV4RRFFQ69G5FAV"), 404),
        (server.admin(), format!("{PATH}/x"), 422),
        (server.admin(), "/admin/v1/nothing".to_owned(), 404),
    ] {
        let response = client.get(&path);
        assert_eq!(response.status, status, "{path}: {response:?}");
        assert_eq!(response.header("content-type"), "application/problem+json");
    }
    // The operator's token works only on the operator's routes.
    assert_eq!(server.admin().get("/v1/end-users").status, 401);
}

#[test]
fn keys_with_wrong_fields_are_not_issued() {
    let server = shared();
    let organization = server.organization();
    let path = format!("{}/keys", organization.path());
    for (body, location) in [
        (json!({ "mode": "live", "name": "k" }), "body.kind"),
        (json!({ "kind": "root", "mode": "live", "name": "k" }), "body.kind"),
        (json!({ "kind": "api", "mode": "prod", "name": "k" }), "body.mode"),
        (json!({ "kind": "api", "mode": "live", "name": "" }), "body.name"),
        (json!({ "kind": "api", "mode": "live", "name": "k", "prefix": "SK" }), "body.prefix"),
        (json!({ "kind": "api", "mode": "live", "name": "k", "prefix": "s" }), "body.prefix"),
        (json!({ "kind": "api", "mode": "live", "name": "k", "scope": "write" }), "body.scope"),
        (
            json!({ "kind": "api", "mode": "live", "name": "k", "expires_at": "2020-01-01T00:00:00Z" }),
            "body.expires_at",
        ),
    ] {
        let response = server.admin().post(&path, &body);
        assert_eq!(response.status, 422, "{body}");
        assert_eq!(response.json()["errors"][0]["location"], location, "{body}");
    }
    assert_eq!(expect(200, server.admin().get(&path))["data"], json!([]));
}
