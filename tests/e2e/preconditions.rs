//! `If-Match` and `If-None-Match`: every precondition is honoured or refused, on every method of every resource.

use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::{Client, Response};
use crate::respond::{feel, relationship_of, turn};
use crate::server::{expect, shared};

/// A resource that is deleted under a precondition, by a client that may.
struct Resource {
    client: Client,
    path: String,
}

impl Resource {
    fn new(client: &Client, path: impl Into<String>) -> Self {
        Self { client: client.clone(), path: path.into() }
    }

    fn delete_if(&self, tag: &str) -> Response {
        self.client.clone().with_header("If-Match", tag).delete(&self.path)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// One of each kind: end user, agent, both kinds of principals, relationship, organization.
fn resources() -> Vec<Resource> {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let service = server.service(&organization, "live", "read_write");
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    let agent = make_agent(&client, "tutor");
    let principal = |external_id: &str, kind: &str| {
        let new = json!({ "external_id": external_id, "type": kind, "name": "x" });
        let made = expect(201, service.post("/api/v1/principals", &new));
        Resource::new(&service, format!("/api/v1/principals/{}", text(&made["result"]["id"])))
    };
    let (human, other) = (principal("eve", "human"), principal("t-1", "agent"));
    turn(&client, &agent, "bob");
    let relationship = format!("/v1/relationships/{}", text(&relationship_of(&client, "bob")["id"]));
    vec![
        Resource::new(&client, "/v1/end-users/ada"),
        Resource::new(&client, relationship),
        Resource::new(&client, format!("/api/v1/agents/{agent}")),
        human,
        other,
        Resource::new(&server.admin(), organization.path()),
    ]
}

#[test]
fn nothing_is_deleted_in_another_version() {
    for resource in resources() {
        let before = resource.client.get(&resource.path);
        assert_eq!(before.status, 200, "{before:?}");
        for tag in ["\"999999\"", "W/\"999999\"", "\"x\""] {
            let refused = resource.delete_if(tag);
            assert_eq!(refused.status, 412, "{} with {tag}: {refused:?}", resource.path);
        }
        let read_if = |tag: &str| resource.client.clone().with_header("If-Match", tag).get(&resource.path).status;
        let tag = before.header("etag");
        assert_eq!(["\"999999\"", tag, "*"].map(read_if), [412, 200, 200], "{}", resource.path);
        let after = resource.client.get(&resource.path);
        assert_eq!((after.status, after.header("etag")), (200, before.header("etag")), "{}", resource.path);
        // A proxy that compresses a response weakens its tag.
        let weak = if tag.starts_with("W/") { tag.to_owned() } else { format!("W/{tag}") };
        assert_eq!(resource.delete_if(&weak).status, 202, "{}", resource.path);
    }
}

#[test]
fn a_precondition_by_date_is_refused() {
    for resource in resources() {
        let dated = resource.client.clone().with_header("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!([dated.get(&resource.path), dated.delete(&resource.path)].map(|refused| refused.status), [400, 400]);
        assert_eq!(resource.client.get(&resource.path).status, 200, "{}", resource.path);
    }
}

#[test]
fn any_version_is_deleted_if_it_is_there() {
    for resource in resources() {
        assert_eq!(resource.delete_if("*").status, 202, "{}", resource.path);
    }
}

/// A request that is repeated after it took effect gets its receipt, although the version is another one now.
#[test]
fn a_repeated_deletion_of_a_user_gets_the_receipt() {
    let client = shared().new_client();
    let made = client.post("/v1/end-users", &json!({ "user_id": "ada" }));
    let guarded = client.clone().with_header("If-Match", made.header("etag"));
    let first = expect(202, guarded.delete("/v1/end-users/ada"));
    let second = guarded.delete("/v1/end-users/ada");
    // 404 once the erasure is complete.
    assert!(second.status == 404 || second.json() == first, "{second:?}");
}

#[test]
fn a_precondition_on_what_has_no_version_is_refused() {
    let server = shared();
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let tagged = client.clone().with_header("If-Match", "\"1\"");
    assert_eq!(tagged.get("/v1/end-users").status, 412);
    assert_eq!(tagged.post("/v1/end-users", &json!({ "user_id": "ada" })).status, 412);
    let new = client.clone().with_header("If-None-Match", "*");
    assert_eq!(new.post("/v1/end-users", &json!({ "user_id": "ada" })).status, 412);
    assert_eq!(client.get("/v1/end-users/ada").status, 404, "nothing was made");
    expect(201, client.post("/v1/end-users", &json!({ "user_id": "ada" })));
    assert_eq!(new.delete("/v1/end-users/ada").status, 412);
    assert_eq!(new.patch("/v1/end-users/ada", &json!({})).status, 412);
    assert_eq!(expect(200, client.get("/v1/end-users/ada"))["status"], "active");

    let key = server.issue(&organization, &json!({ "kind": "api", "mode": "live", "name": "x" }));
    let path = format!("{}/keys/{}", organization.path(), text(&key["id"]));
    assert_eq!(server.admin().with_header("If-Match", "\"1\"").delete(&path).status, 412);
    assert_eq!(server.with_key(text(&key["key"])).get("/v1/end-users").status, 200, "the key is in force");
    let faulty = tagged.post("/v1/end-users", &json!({ "user_id": "" }));
    assert_eq!(faulty.status, 422, "faults in the input come first");
}

#[test]
fn a_relationship_has_a_tag() {
    let client = shared().new_client();
    let agent = make_agent(&client, "tutor");
    turn(&client, &agent, "ada");
    let path = format!("/v1/relationships/{}", text(&relationship_of(&client, "ada")["id"]));
    let read = client.get(&path);
    let tag = read.header("etag");
    assert!(tag.starts_with("W/\""), "{tag}");
    let known = client.clone().with_header("If-None-Match", tag);
    let unchanged = known.get(&path);
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    turn(&client, &agent, "ada");
    assert_eq!(known.get(&path).status, 200, "another turn is another version");

    feel(&client, &agent, "ada", &json!({ "valence": 1, "arousal": 0 }));
    let moody = client.get(&path);
    let known = client.clone().with_header("If-None-Match", moody.header("etag"));
    assert_eq!(known.get(&path).status, 200, "a mood decays without a version");
}

/// A mood decays with time and without a new version. So a tag is weak while a user has relationships, and answers no 304;
/// it guards a change as well as a strong one.
#[test]
fn a_user_with_relationships_has_a_weak_tag_and_is_always_sent() {
    let client = shared().new_client();
    let agent = make_agent(&client, "Kind");
    feel(&client, &agent, "ada", &json!({ "valence": 0.5, "arousal": 0.5 }));
    let tag = client.get("/v1/end-users/ada").header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    for held in [tag.as_str(), tag.trim_start_matches("W/"), "*"] {
        let read = client.clone().with_header("If-None-Match", held).get("/v1/end-users/ada");
        assert_eq!((read.status, read.header("etag")), (200, tag.as_str()), "{read:?}");
    }
    let guarded = client.clone().with_header("If-Match", &tag);
    let changed = guarded.patch("/v1/end-users/ada", &json!({ "display_name": "Ada" }));
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(guarded.patch("/v1/end-users/ada", &json!({ "display_name": "Eve" })).status, 412);
}

/// Proxies weaken tags, of every resource.
#[test]
fn a_weak_tag_guards_a_change_of_anything() {
    let client = shared().new_client();
    let organization = shared().organization();
    let service = shared().service(&organization, "live", "read_write");
    let agent = expect(201, client.post("/api/v1/agents", &json!({ "name": "Kind" })));
    let principal = json!({ "external_id": "ada", "type": "human", "name": "Ada" });
    let principal = expect(201, service.post("/api/v1/principals", &principal));
    let paths = [
        (&client, format!("/api/v1/agents/{}", agent["agent_id"].as_str().expect("an id"))),
        (&service, format!("/api/v1/principals/{}", principal["result"]["id"].as_str().expect("an id"))),
        (&shared().admin(), organization.path()),
    ];
    for (client, path) in paths {
        let read = client.get(&path);
        let weak = format!("W/{}", read.header("etag").trim_start_matches("W/"));
        let guarded = client.clone().with_header("If-Match", &weak);
        assert_eq!(guarded.patch(&path, &json!({ "name": "Other" })).status, 200, "{path}");
        assert_eq!(guarded.patch(&path, &json!({ "name": "Another" })).status, 412, "{path}");
    }
}
