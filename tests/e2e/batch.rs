//! `POST /v1/end-users/batch`.

use serde_json::{Value, json};

use crate::clock;
use crate::server::{expect, shared};

const PATH: &str = "/v1/end-users/batch";

#[test]
fn every_row_is_judged_by_itself() {
    let client = shared().new_client();
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "old", "metadata": { "kept": true } })).status, 201);
    let rows = json!([
        { "user_id": "new", "metadata": { "n": 1 }, "display_name": "New" },
        { "user_id": "old", "metadata": { "ignored": true } },
        { "user_id": "", "x": 1 },
        { "user_id": "new", "metadata": { "n": 2 } },
        { "metadata": {} },
        7,
        { "user_id": "a/b 🦀" },
    ]);
    let response = client.post(PATH, &json!({ "users": rows }));
    assert_eq!(response.status, 200, "{response:?}");
    let error = |message: &str| json!({ "code": "validation_error", "message": message });
    assert_eq!(
        response.json(),
        json!({
            "results": [
                { "user_id": "new", "status": 201 },
                { "user_id": "old", "status": 200 },
                { "user_id": "", "status": 422,
                  "error": error("user_id must have 1 to 255 characters; x is not a known field") },
                { "user_id": "new", "status": 200 },
                { "user_id": null, "status": 422, "error": error("user_id is required") },
                { "user_id": null, "status": 422, "error": error("it must be an object") },
                { "user_id": "a/b 🦀", "status": 201 },
            ],
            "created": 2, "existing": 2, "failed": 3,
        })
    );
    assert_eq!(expect(200, client.get("/v1/end-users/new"))["metadata"], json!({ "n": 1 }));
    assert_eq!(expect(200, client.get("/v1/end-users/old"))["metadata"], json!({ "kept": true }));
    let listed = expect(200, client.get("/v1/end-users"));
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_batch_costs_a_token_for_ten_rows_or_16_kib() {
    let server = clock::stopped();
    let organization = server.organization_with(&json!({ "requests_per_second": 1, "burst": 100 }));
    let client = server.client(&organization, "live", "read_write");
    let rows = |from: usize, count: usize| -> Value {
        (from..from + count).map(|index| json!({ "user_id": format!("u{index:04}") })).collect()
    };
    let remaining = |response: &crate::client::Response| -> i64 {
        response.header("x-ratelimit-remaining").parse().expect("a number")
    };
    assert_eq!(remaining(&client.get("/v1/end-users")), 99);
    let full = client.post(PATH, &json!({ "users": rows(0, 500) }));
    assert_eq!(full.json()["created"], 500);
    assert_eq!(remaining(&full), 49, "50 tokens: {full:?}");
    let eleven = client.post(PATH, &json!({ "users": rows(490, 11) }));
    assert_eq!((&eleven.json()["created"], &eleven.json()["existing"]), (&json!(1), &json!(10)));
    assert_eq!(remaining(&eleven), 47, "2 tokens: {eleven:?}");
    let metadata = json!({ "x": "y".repeat(15_000) });
    let large: Value = (0..4).map(|index| json!({ "user_id": format!("l{index}"), "metadata": metadata })).collect();
    let large = client.post(PATH, &json!({ "users": large }));
    assert_eq!(remaining(&large), 43, "4 tokens for 59 KiB: {large:?}");
    assert_eq!(client.post(PATH, &json!({ "users": rows(1_000, 500) })).status, 429);
}

/// A full bucket admits a batch that costs more than the bucket holds.
#[test]
fn a_small_bucket_admits_a_large_batch_when_it_is_full() {
    let server = shared();
    let organization = server.organization_with(&json!({ "requests_per_second": 1000, "burst": 5 }));
    let client = server.client(&organization, "live", "read_write");
    let rows: Value = (0..500).map(|index| json!({ "user_id": format!("u{index}") })).collect();
    let response = client.post(PATH, &json!({ "users": rows }));
    assert_eq!((response.status, response.header("x-ratelimit-remaining")), (200, "0"));
}

#[test]
fn a_batch_that_is_none_is_refused_whole() {
    let client = shared().new_client();
    let many: Value = (0..501).map(|index| json!({ "user_id": format!("u{index}") })).collect();
    for (body, status) in [
        (json!({ "users": [] }), 422),
        (json!({ "users": many }), 422),
        (json!({ "users": {} }), 422),
        (json!({}), 422),
        (json!({ "users": [{ "user_id": "a" }], "upsert": true }), 422),
        (json!([{ "user_id": "a" }]), 400),
    ] {
        let response = client.post(PATH, &body);
        assert_eq!(response.status, status, "{response:?}");
    }
    let row = json!({ "user_id": "a", "metadata": { "x": "y".repeat(15_000) } });
    let fits: Value = vec![row.clone(); 60].into();
    assert_eq!(client.post(PATH, &json!({ "users": fits })).status, 200, "up to 1 MiB");
    let too_large: Value = vec![row; 80].into();
    let response = client.post(PATH, &json!({ "users": too_large }));
    assert_eq!(response.status, 413);
    let read_only = shared().client(&shared().organization(), "live", "read");
    assert_eq!(read_only.post(PATH, &json!({ "users": [{ "user_id": "a" }] })).status, 403);
}
