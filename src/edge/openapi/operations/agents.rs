//! Agents, their users, and the signed-in person.

use serde_json::{Value, json};

use super::examples::{
    THEN, accepted, agent, agent_links, cursor, deletion, deletion_links, deprecated, described, id, limit, metadata,
    mood, object, or_null, parameter, reason,
};
use crate::edge::http::method::Method::{Delete, Get, Patch, Post};
use crate::edge::http::pages::OFFSET_MAX;
use crate::edge::openapi::operation::Operation;
use crate::edge::openapi::parts::{ULID, UUID, with};

/// The parameters of lists in dialect 2, including those that old clients send. `order` is the order of the list.
fn page_parameters(order: &str) -> Vec<Value> {
    let old = |name: &str, says: &str, schema: Value| deprecated(parameter(name, says, schema));
    vec![
        limit("page_size", 500, 100),
        cursor(),
        deprecated(limit("limit", 500, 100)),
        old(
            "offset",
            "Skips so many. Not with a cursor.",
            json!({ "type": "integer", "minimum": 0, "maximum": OFFSET_MAX }),
        ),
        old("sort_by", "The order that the list has.", json!({ "type": "string", "enum": [order] })),
        old("sort_order", "The direction that the list has.", json!({ "type": "string", "enum": ["asc"] })),
    ]
}

pub(super) fn all() -> Vec<Operation> {
    let (tag, all, one) = ("Agents", "/api/v1/agents", "/api/v1/agents/{agent_id}");
    let described_agent = || described("Agent", agent());
    let entry = json!({
        "agent_id": UUID, "name": "Tutor", "created_at": THEN, "instance_count": 1, "is_active": true,
        "owner_user_id": "", "tenant_id": ULID,
    });
    let agents = json!({ "items": [entry], "has_more": false, "total_count": 1 });
    let users = json!({
        "users": [{
            "user_id": "ada", "role": "user", "created_at": THEN, "display_name": "Ada", "last_interaction_at": THEN,
            "metadata": { "email": "ada@example.com", "custom": { "plan": "pro" } }, "mood": mood(),
        }],
        "has_more": false,
    });
    let organization = json!({
        "id": "org_1", "name": "Acme", "slug": "acme", "role": "org:admin", "member_count": 3, "created_at": THEN,
    });
    let me = json!({ "user_id": "user_1", "email": "ada@example.com", "orgs": [organization] });
    vec![
        Operation::new(Post, all, "saveAgent", tag, "Make or change an agent")
            .says("By `external_id` when one is given, else by `name`.")
            .conditions(&["Idempotency-Key"])
            .request(
                object(&["name"], json!({ "name": id(), "external_id": or_null(id()), "metadata": metadata() })),
                json!({ "name": "Tutor" }),
            )
            .answers(201, "Made by this request.", "Agent", described_agent(), AGENT_CREATED)
            .links(agent_links())
            .answers(200, "The one that is there, changed.", "Agent", described_agent(), AGENT_FOUND)
            .links(agent_links())
            .errors(&[409]),
        Operation::new(Get, all, "listAgents", tag, "List agents")
            .says("In the order of their making. `total_count` counts up to 10,000.")
            .query(page_parameters("created_at"))
            .answers(200, "A page.", "AgentList", described("AgentList", agents), &["Link"]),
        Operation::new(Get, one, "getAgent", tag, "Read an agent")
            .conditions(&["If-None-Match"])
            .answers(200, "The agent.", "Agent", described_agent(), &["ETag", "Link"])
            .bare(304, "Still in the version that was named.", &["ETag"])
            .errors(&[404, 409]),
        Operation::new(Get, "/api/v1/agents/{agent_id}/users", "listAgentUsers", tag, "List an agent's users")
            .says(AGENT_USERS)
            .query(page_parameters("user_id"))
            .answers(200, "A page.", "AgentUserList", described("AgentUserList", users), &["Link"])
            .errors(&[404, 409]),
        Operation::new(Delete, one, "deleteAgent", tag, "Delete an agent")
            .says("Gone at once, its relationships soon after.")
            .conditions(&["If-Match"])
            .request(deletion(&["all"]), reason())
            .answers(
                202,
                "The receipt's id.",
                "AgentDeletion",
                described("Deletion", with(accepted(), "success", json!(true))),
                &["Link"],
            )
            .links(deletion_links())
            .errors(&[404, 409, 412]),
        Operation::new(Patch, one, "updateAgent", tag, "Change an agent")
            .says("Changes what is named and leaves the rest.")
            .conditions(&["If-Match"])
            .request(object(&[], json!({ "name": id(), "metadata": metadata() })), json!({ "name": "Tutor" }))
            .answers(200, "The agent as it is now.", "Agent", described_agent(), &["ETag", "Link"])
            .errors(&[404, 409, 412]),
        Operation::new(Get, "/api/v1/me", "getMe", "Session", "Read who is signed in")
            .says("`orgs` is every organization the person belongs to, as mirrored from Clerk.")
            .answers(200, "The person.", "Me", described("Me", me), &["Link"]),
    ]
}

const AGENT_USERS: &str = "In byte order of `user_id`, by keyset: what a page costs does not depend on its depth. A mood \
    has the user's baselines only if `User-Agent` names `sonzai-python` 1.5.3 or a later version.";
const AGENT_CREATED: &[&str] = &["Location", "ETag", "Link", "Idempotency-Replayed"];
const AGENT_FOUND: &[&str] = &["ETag", "Link", "Idempotency-Replayed"];
