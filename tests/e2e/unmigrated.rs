//! A deployment whose database lacks the migrations: what needs the database answers 503, until they are applied.

use serde_json::json;

use crate::server::{Options, Server};
use crate::stores::Store;

#[test]
fn without_the_migrations_what_needs_the_database_is_503() {
    let mut server = Server::start(Options::default());
    let organization = server.organization();
    let mut client = server.client(&organization, "live", "read_write");
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "ada" })).status, 201);
    let operator = server.admin().post("/admin/v1/operators", &json!({ "name": "Ada" })).json();
    server.kill();
    std::fs::remove_dir_all(server.state().join(Store::D1.folder())).expect("the database");
    server.restart();

    client.move_to(server.url());
    let admin = server.admin();
    let one = format!("/admin/v1/organizations/{}", organization.id);
    let body = json!({ "name": "Acme" });
    for response in [
        server.anonymous().get("/ready"),
        admin.get("/admin/v1/organizations"),
        admin.post("/admin/v1/organizations", &body),
        admin.get(&one),
        admin.patch(&one, &body),
        admin.delete(&one),
        admin.get(&format!("{one}/keys")),
        admin.post(&format!("{one}/keys"), &json!({ "kind": "api", "mode": "live", "name": "Backend" })),
        admin.get(&format!("{one}/usage")),
        admin.post(&format!("{one}/repair"), &json!({})),
        admin.get("/admin/v1/operators"),
        server.with_key(operator["token"].as_str().expect("a token")).get("/admin/v1/diagnostics"),
        client.get("/v1/end-users"),
    ] {
        assert_eq!(response.status, 503, "{response:?}");
        assert_ne!(response.header("retry-after"), "0", "{response:?}");
    }
    assert_eq!(server.anonymous().get("/health").status, 200);
    assert_eq!(client.get("/v1/end-users/ada").status, 200, "the object has it");
    assert_eq!(client.post("/v1/end-users", &json!({ "user_id": "bob" })).status, 201, "the object takes it");
}
