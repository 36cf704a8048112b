//! Organizations and modes cannot see each other.

use serde_json::json;

use crate::clock;
use crate::server::{expect, shared};

#[test]
fn tenants_and_modes_share_nothing() {
    let server = shared();
    let (first, second) = (server.organization(), server.organization());
    let clients = [
        ("first live", server.client(&first, "live", "read_write")),
        ("first test", server.client(&first, "test", "read_write")),
        ("second live", server.client(&second, "live", "read_write")),
        ("second test", server.client(&second, "test", "read_write")),
    ];
    for (owner, client) in &clients {
        let only = format!("only {owner}");
        assert_eq!(client.post("/v1/end-users", &json!({ "user_id": only })).status, 201);
        // Each mode of each organization has its own user with the same id.
        let created = client.post("/v1/end-users", &json!({ "user_id": "shared", "metadata": { "owner": owner } }));
        assert_eq!(created.status, 201);
    }
    for (owner, client) in &clients {
        let page = expect(200, client.get("/v1/end-users"));
        let listed: Vec<_> = page["data"].as_array().expect("data").iter().map(|user| &user["user_id"]).collect();
        assert_eq!(listed, [&json!(format!("only {owner}")), &json!("shared")]);
        assert_eq!(expect(200, client.get("/v1/end-users/shared"))["metadata"]["owner"], *owner);
        for (other, _) in clients.iter().filter(|(other, _)| other != owner) {
            let path = format!("/v1/end-users/{}", format!("only {other}").replace(' ', "%20"));
            let response = client.get(&path);
            assert_eq!(response.status, 404, "never 403");
            assert!(!response.body.contains(other));
        }
    }
}

#[test]
fn buckets_are_counted_apart_by_mode() {
    let server = clock::stopped();
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 3 }));
    let (live, test) = (server.client(&organization, "live", "read"), server.client(&organization, "test", "read"));
    let statuses: Vec<u16> = (0..4).map(|_| live.get("/v1/end-users").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert_eq!(test.get("/v1/end-users").header("x-ratelimit-remaining"), "2");
}
