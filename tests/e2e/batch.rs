//! `POST /v1/end-users/batch`, `batch-get` and `batch-erase`.

use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::clock;
use crate::delete_end_user::completed;
use crate::server::{expect, shared};

const PATH: &str = "/v1/end-users/batch";
const GET: &str = "/v1/end-users/batch-get";
const ERASE: &str = "/v1/end-users/batch-erase";

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

/// The records as `GET` shows them, without relationships: in the order asked for, each once. Whoever is not there is named.
#[test]
fn many_users_are_read_in_one_call() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Tutor");
    for user in ["ada", "a/b 🦀", "gone", "batch-get"] {
        let new = json!({ "user_id": user, "metadata": { "n": 9_007_199_254_740_993_i64 }, "display_name": user });
        expect(201, client.post("/v1/end-users", &new));
    }
    let turn = json!({ "message": "hi", "personality_id": agent, "user_id": "ada" });
    expect(200, client.post("/v1/respond", &turn));
    let asked = json!({ "user_ids": ["nobody", "a/b 🦀", "ada", "ada", "batch-get", "nobody"] });
    let read = expect(200, client.post(GET, &asked));
    let single = |user: &str| {
        let mut user = expect(200, client.get(&format!("/v1/end-users/{}", crate::client::encode(user))));
        let members = user.as_object_mut().expect("a record");
        members.retain(|name, _| !name.starts_with("relationships"));
        user
    };
    let data = [single("a/b 🦀"), single("ada"), single("batch-get")];
    assert_eq!(read, json!({ "data": data, "not_found": ["nobody"] }));
    // Strongly consistent.
    expect(200, client.patch("/v1/end-users/ada", &json!({ "metadata": { "plan": "pro" } })));
    assert_eq!(expect(200, client.post(GET, &json!({ "user_ids": ["ada"] })))["data"], json!([single("ada")]));
    // Another organization has nobody of that name.
    let other = shared().new_client();
    let ids = json!({ "user_ids": ["ada"] });
    assert_eq!(expect(200, other.post(GET, &ids)), json!({ "data": [], "not_found": ["ada"] }));
    let read_only = shared().client(&shared().organization(), "live", "read");
    assert_eq!(expect(200, read_only.post(GET, &ids))["not_found"], json!(["ada"]));
    assert_eq!(read_only.post(ERASE, &ids).status, 403);
}

#[test]
fn many_persons_are_erased_with_a_receipt_each() {
    let client = shared().new_client();
    for user in ["ada", "bob", "eve", "batch-erase"] {
        expect(201, client.post("/v1/end-users", &json!({ "user_id": user })));
    }
    let bobs = expect(202, client.delete("/v1/end-users/bob"))["deletion_id"].clone();
    let keyed = client.clone().with_header("Idempotency-Key", "erase");
    let request = json!({ "user_ids": ["ada", "nobody", "ada", "batch-erase"], "reason": "asked for" });
    let first = keyed.post(ERASE, &request);
    let answer = expect(200, first);
    let results = answer["results"].as_array().expect("results");
    let statuses: Vec<_> = results.iter().map(|row| (&row["user_id"], &row["status"])).collect();
    let told = [("ada", 202), ("nobody", 404), ("ada", 202), ("batch-erase", 202)];
    assert_eq!(json!(statuses), json!(told), "in the order given");
    assert_eq!((&answer["accepted"], &answer["failed"]), (&json!(3), &json!(1)));
    assert_eq!(results[1]["error"]["code"], "not_found");
    assert_eq!(results[0]["deletion_id"], results[2]["deletion_id"], "one erasure of one person");
    assert_ne!(results[0]["deletion_id"], results[3]["deletion_id"]);
    let listed = expect(200, client.get("/v1/end-users"));
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "eve: {listed}");
    for row in [0, 3] {
        let receipt = completed(&client, results[row]["deletion_id"].as_str().expect("an id"));
        assert_eq!((&receipt["reason"], &receipt["erased"]["records"]), (&json!("asked for"), &json!(1)));
    }
    completed(&client, bobs.as_str().expect("an id"));
    // Whoever has the id now is somebody else, and a repetition leaves them alone.
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    let again = keyed.post(ERASE, &request);
    assert_eq!((again.header("idempotency-replayed"), again.json()), ("true", answer));
    assert_eq!(expect(200, client.get("/v1/end-users/ada"))["status"], "active");
}

/// Erasing is possible when there is room for nothing else, with a key too.
#[test]
fn a_full_organization_still_erases() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    let full = json!({ "limits": { "storage_bytes": 1 } });
    expect(200, server.admin().patch(&organization.path(), &full));
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "eve" })).status, 403);
    let keyed = client.with_header("Idempotency-Key", "erase");
    let answer = expect(200, keyed.post(ERASE, &json!({ "user_ids": ["ada"] })));
    assert_eq!(answer["accepted"], 1, "{answer}");
}

#[test]
fn a_list_of_ids_that_is_none_is_refused_whole() {
    let client = shared().new_client();
    let ids = |count: usize| -> Value { (0..count).map(|index| json!(format!("u{index}"))).collect() };
    for (path, most) in [(GET, 100), (ERASE, 500)] {
        assert_eq!(client.post(path, &json!({ "user_ids": ids(most) })).status, 200);
        for (body, status) in [
            (json!({ "user_ids": ids(most + 1) }), 422),
            (json!({ "user_ids": [] }), 422),
            (json!({ "user_ids": "ada" }), 422),
            (json!({ "user_ids": ["ada", 7] }), 422),
            (json!({ "user_ids": ["ada", ""] }), 422),
            (json!({ "user_ids": ["ada"], "cascade": "model_only" }), 422),
            (json!({}), 422),
            (json!(["ada"]), 400),
        ] {
            let response = client.post(path, &body);
            assert_eq!(response.status, status, "{path} {body}: {response:?}");
        }
    }
}
