//! How many end users an organization may have, and how much it may store.

use serde_json::{Value, json};

use crate::agents::{PATH as AGENTS, assert_problem, make_agent};
use crate::client::Client;
use crate::delete_end_user::completed;
use crate::respond::{PATH as RESPOND, assert_error, turn, used};
use crate::server::{Organization, expect, shared};

const USERS: &str = "/v1/end-users";
/// In bytes.
const SMALL: u32 = 180_000;
const PRINCIPALS: &str = "/api/v1/principals";

pub fn organization(limits: &Value) -> Organization {
    let mut all = json!({ "requests_per_second": 100_000, "burst": 1_000_000 });
    all.as_object_mut().expect("an object").extend(limits.as_object().expect("an object").clone());
    shared().organization_with(&all)
}

pub fn limit(organization: &Organization, limits: &Value) {
    let path = format!("/admin/v1/organizations/{}", organization.id);
    expect(200, shared().admin().patch(&path, &json!({ "limits": limits })));
}

fn create(client: &Client, user_id: &str) -> u16 {
    client.post(USERS, &json!({ "user_id": user_id })).status
}

#[test]
fn no_way_leads_to_more_end_users_than_the_limit() {
    let organization = organization(&json!({ "end_users": 2 }));
    let client = shared().client(&organization, "live", "read_write");
    let service = shared().service(&organization, "live", "read_write");
    let agent = make_agent(&client, "tutor");
    assert_eq!([create(&client, "a"), create(&client, "b")], [201, 201]);

    let refused = client.post(USERS, &json!({ "user_id": "c" }));
    assert_error(&refused, 403, "end_user_limit_reached", "quota");
    let batch = json!({ "users": [{ "user_id": "a" }, { "user_id": "c" }] });
    let batch = expect(200, client.post("/v1/end-users/batch", &batch));
    assert_eq!((&batch["existing"], &batch["failed"]), (&json!(1), &json!(1)));
    assert_eq!(batch["results"][1]["status"], 403);
    assert_eq!(batch["results"][1]["error"]["code"], "end_user_limit_reached");
    let message = json!({ "message": "hello", "personality_id": agent, "user_id": "c" });
    assert_error(&client.post(RESPOND, &message), 403, "end_user_limit_reached", "quota");
    let human = json!({ "external_id": "c", "type": "human", "name": "C" });
    let refused = service.post(PRINCIPALS, &human);
    assert_eq!(expect(403, refused)["error"], "The organization has as many end users as it may.");
    assert_eq!(client.get("/v1/end-users/c").status, 404);

    // Whoever is there is served, and agents are no end users.
    assert_eq!(create(&client, "a"), 200);
    turn(&client, &agent, "a");
    make_agent(&client, "coach");
    // The modes are counted apart.
    assert_eq!(create(&shared().client(&organization, "test", "read_write"), "a"), 201);

    let erasure = expect(202, client.delete("/v1/end-users/a"));
    completed(&client, erasure["deletion_id"].as_str().expect("an id"));
    assert_eq!([create(&client, "c"), create(&client, "d")], [201, 403]);
    limit(&organization, &json!({ "end_users": 3 }));
    assert_eq!([create(&client, "d"), create(&client, "e")], [201, 403]);
}

#[test]
fn a_full_storage_takes_nothing_more_and_gives_back() {
    let organization = organization(&json!({}));
    let client = shared().client(&organization, "live", "read_write");
    let service = shared().service(&organization, "live", "read_write");
    let [agent, stranger] = ["tutor", "stranger"].map(|name| make_agent(&client, name));
    assert_eq!([create(&client, "a"), create(&client, "b")], [201, 201]);
    turn(&client, &agent, "a");
    expect(200, client.patch("/v1/end-users/a", &json!({ "metadata": { "x": "yy" } })));
    // An object with next to nothing in it has more than this, and less than twice as much.
    limit(&organization, &json!({ "storage_bytes": SMALL }));

    let full = |response: &crate::client::Response| assert_error(response, 403, "storage_limit_reached", "quota");
    full(&client.post(USERS, &json!({ "user_id": "c" })));
    full(&client.patch("/v1/end-users/a", &json!({ "metadata": { "x": "yyy" } })));
    full(&client.patch("/v1/end-users/a", &json!({ "display_name": "Ada" })));
    assert_problem(&client.post(AGENTS, &json!({ "name": "coach" })), 403, "storage_limit_reached");
    let longer = client.patch(&format!("{AGENTS}/{agent}"), &json!({ "name": "a longer name" }));
    assert_problem(&longer, 403, "storage_limit_reached");
    for kind in ["human", "agent"] {
        let refused = service.post(PRINCIPALS, &json!({ "external_id": "c", "type": kind, "name": "C" }));
        assert_eq!(expect(403, refused)["error"], "The organization stores as much as it may.");
    }

    let changed = expect(200, client.patch("/v1/end-users/a", &json!({ "metadata": { "x": "zz" } })));
    assert_eq!(changed["metadata"], json!({ "x": "zz" }), "no longer than before");
    let message = json!({ "message": "hello", "personality_id": agent, "user_id": "a" });
    full(&client.clone().with_header("Idempotency-Key", "kept").post(RESPOND, &message));
    turn(&client, &agent, "a");
    for (agent, user) in [(&stranger, "a"), (&agent, "c")] {
        let message = json!({ "message": "hello", "personality_id": agent, "user_id": user });
        full(&client.post(RESPOND, &message));
    }
    assert_eq!(used(&client), (2, 1), "a refused turn is not counted");
    assert_eq!(client.get("/v1/end-users/a").status, 200);
    limit(&organization, &json!({ "storage_bytes": SMALL / 2 }));
    full(&client.patch("/v1/end-users/a", &json!({ "metadata": { "x": "yy" } })));
    let forget = json!({ "cascade": "memory_only" }).to_string();
    full(&client.send("DELETE", "/v1/end-users/a", Some(("application/json", forget.as_bytes()))));
    let erasure = expect(202, client.delete("/v1/end-users/b"));
    completed(&client, erasure["deletion_id"].as_str().expect("an id"));
    limit(&organization, &json!({ "storage_bytes": 1_000_000_000 }));
    assert_eq!(create(&client, "c"), 201);
}
