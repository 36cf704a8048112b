//! Data points in Workers Analytics Engine, for an operator who has bound a dataset.

use serde_json::{Value, json};

use crate::server::{Options, Server, expect, roomy};

/// The data points of a route. Other requests are those of the server's own preparation.
fn points(server: &Server, route: &str) -> Vec<Value> {
    let response = server.anonymous().get("/__metrics").json();
    let points = response.as_array().expect("data points").iter();
    points.filter(|point| point["blobs"][0] == route).cloned().collect()
}

#[test]
fn each_request_leaves_a_data_point_that_names_nobody() {
    let server = Server::start(Options { vars: roomy(), entry: Some("tests/runtime/measured.mjs") });
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "somebody" })));
    expect(200, client.get("/v1/end-users/somebody"));
    expect(404, client.get("/v1/end-users/somebody-else"));
    expect(200, client.get("/v1/end-users?limit=1"));
    server.anonymous().get("/v1/end-users/somebody");

    let read = points(&server, "/v1/end-users/{user_id}");
    let outcomes: Vec<_> = read.iter().map(|point| &point["blobs"][2]).collect();
    assert_eq!(outcomes, ["ok", "not_found", "authentication_error"]);
    let statuses: Vec<_> = read.iter().map(|point| &point["doubles"][0]).collect();
    assert_eq!(statuses, [200, 404, 401]);
    let indexes: Vec<_> = read.iter().map(|point| &point["indexes"]).collect();
    assert_eq!(indexes, [&json!([organization.id]), &json!([organization.id]), &json!([""])]);

    let lists: Vec<Value> = points(&server, "/v1/end-users");
    let list = lists.iter().find(|point| point["blobs"][1] == "GET").expect("the list");
    assert_eq!(list["blobs"], json!(["/v1/end-users", "GET", "ok", ""]));
    assert_eq!(list["doubles"].as_array().map(Vec::len), Some(6));
    assert!(list["doubles"][5].as_f64() >= Some(1.0), "rows that D1 read: {list}");
    assert!(!server.anonymous().get("/__metrics").body.contains("somebody"));
}
