//! `GET /v1/end-users/{user_id}`.

use serde_json::json;

use crate::server::{expect, shared};

#[test]
fn a_user_is_readable_as_soon_as_it_is_made() {
    let client = shared().new_client();
    for index in 0..50 {
        let created =
            client.post("/v1/end-users", &json!({ "user_id": format!("u{index}"), "metadata": { "n": index } }));
        let read = client.get(&format!("/v1/end-users/u{index}"));
        assert_eq!(read.status, 200, "{read:?}");
        assert_eq!(read.header("etag"), created.header("etag"));
        let mut expected = created.json();
        expected["relationships"] = json!([]);
        expected["relationships_has_more"] = json!(false);
        assert_eq!(read.json(), expected);
    }
}

#[test]
fn an_export_holds_everything_about_a_user() {
    let client = shared().new_client();
    let keyed = client.clone().with_header("Idempotency-Key", "k");
    let first = keyed.post("/v1/end-users", &json!({ "user_id": "a/b", "metadata": { "n": 1 } })).json();
    let now = expect(200, client.patch("/v1/end-users/a%2Fb", &json!({ "metadata": { "n": 2 } })));
    let export = expect(200, client.get("/v1/end-users/a%2Fb/export"));
    assert_eq!(export["end_user"], now);
    assert_eq!(export["kept_answers"][0]["answer"], first);
    assert_eq!(export["deletions"], json!([]));
    assert!(export["exported_at"].is_string());
    assert_eq!(client.get("/v1/end-users/nobody/export").status, 404);
}

#[test]
fn an_unknown_user_is_404() {
    let client = shared().new_client();
    for path in ["/v1/end-users/nobody", "/v1/end-users/%F0%9F%A6%80", "/v1/end-users/a%2F..%2Fb"] {
        let response = client.get(path);
        assert_eq!(response.status, 404, "{response:?}");
        let error = &response.json()["error"];
        assert_eq!((&error["code"], &error["type"]), (&json!("not_found"), &json!("not_found")));
        assert_eq!(error["message"], "There is no such end user.");
    }
}

#[test]
fn a_path_that_is_not_utf_8_is_400() {
    let client = shared().new_client();
    for path in ["/v1/end-users/%ff", "/v1/end-users/%c3%28", "/v1/end-users/%zz", "/v1/end-users/100%"] {
        let response = client.get(path);
        assert_eq!(response.status, 400, "{path}: {response:?}");
        assert_eq!(response.json()["error"]["code"], "invalid_request");
    }
    for path in ["/v1/end-users/a%00b", "/v1/end-users/a?x=1"] {
        assert_eq!(client.get(path).status, 422, "{path}");
    }
}

#[test]
fn head_answers_as_get_without_a_body() {
    let client = shared().new_client();
    let created = client.post("/v1/end-users", &json!({ "user_id": "ada" }));
    let head = client.send("HEAD", "/v1/end-users/ada", None);
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("etag"), created.header("etag"));
    assert_eq!(client.send("HEAD", "/v1/end-users/nobody", None).status, 404);
    assert_eq!(client.send("HEAD", "/v1/end-users", None).status, 200);
    assert_eq!(client.send("HEAD", "/health", None).status, 200);
}

/// Old clients send these on every request.
#[test]
fn harmless_headers_of_existing_clients_do_no_harm() {
    let client = shared()
        .new_client()
        .with_header("Content-Type", "application/json")
        .with_header("X-API-Key", "")
        .with_header("Idempotency-Key", "\"auto-1\"");
    expect(200, client.get("/v1/end-users"));
}
