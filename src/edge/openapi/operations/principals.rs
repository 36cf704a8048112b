//! Principals: users and agents in dialect 3.

use serde_json::{Value, json};

use super::examples::{
    accepted, deletion, deprecated, enveloped, id, limit, metadata, object, parameter, principal, principal_links,
    reason,
};
use crate::edge::http::method::Method::{Delete, Get, Patch, Post};
use crate::edge::http::pages::OFFSET_MAX;
use crate::edge::openapi::operation::{CREATED, FOUND, Operation, READ, READ_SAME};

pub(super) fn all() -> Vec<Operation> {
    let (tag, all, one) = ("Principals", "/api/v1/principals", "/api/v1/principals/{principal_id}");
    let found = || enveloped(principal(false), "OK.", Value::Null);
    let cursor = |name, description| parameter(name, description, json!({ "type": "string", "minLength": 1 }));
    let places = json!({ "type": "integer", "minimum": 0, "maximum": OFFSET_MAX });
    let offset = deprecated(parameter("offset", "So many are left out; instead of a cursor.", places));
    let meta =
        json!({ "has_more": false, "after": null, "before": null, "total": null, "offset": null, "limit": null });
    let by_external_id = "/api/v1/principals/by-external-id/{external_id}";
    let created = enveloped(principal(true), "Principal created.", Value::Null);
    let erased = enveloped(accepted(), "The principal is being erased.", Value::Null);
    vec![
        Operation::new(Post, all, "createPrincipal", tag, "Register a principal")
            .says("A human is the end user whose `user_id` is the `external_id`; an agent is the agent.")
            .conditions(&["Idempotency-Key"])
            .request(
                object(
                    &["external_id", "type", "name"],
                    json!({ "external_id": id(), "type": { "enum": ["human", "agent"] }, "name": id(), "metadata": metadata() }),
                ),
                json!({ "external_id": "ada", "type": "human", "name": "Ada" }),
            )
            .answers(201, "Made by this request.", "PrincipalAnswer", created, CREATED)
            .links(principal_links())
            .answers(200, "Already there; nothing is overwritten.", "PrincipalAnswer", found(), FOUND)
            .links(principal_links())
            .errors(&[409]),
        Operation::new(Get, all, "listPrincipals", tag, "List principals")
            .says("In the order of their making. Only one of `after`, `before` and `offset`.")
            .query(vec![
                parameter("type", "Only of this type.", json!({ "enum": ["human", "agent"] })),
                limit("limit", 200, 50),
                cursor("after", "The page after a page's `meta.after`."),
                cursor("before", "The page before a page's `meta.before`."),
                offset,
            ])
            .answers(200, "A page.", "PrincipalPage", enveloped(json!([principal(false)]), "OK.", meta), &[]),
        Operation::new(Get, one, "getPrincipal", tag, "Read a principal")
            .conditions(&["If-None-Match"])
            .answers(200, "The principal.", "PrincipalAnswer", found(), &["ETag"])
            .bare(304, "Still in the version that was named.", &["ETag"])
            .errors(&[404]),
        Operation::new(Get, by_external_id, "getPrincipalByExternalId", tag, "Read a principal by your own id")
            .says("An agent without one is found by its name, unless a principal has it as its external id.")
            .conditions(&["If-None-Match", "Cache-Control"])
            .answers(200, "The principal.", "PrincipalAnswer", found(), READ)
            .bare(304, "Still in the version that was named.", READ_SAME)
            .errors(&[404, 409]),
        Operation::new(Patch, one, "updatePrincipal", tag, "Change a principal")
            .says("Changes what is named and leaves the rest. Only an agent has an owner, who is a human.")
            .conditions(&["If-Match"])
            .request(
                object(
                    &[],
                    json!({
                        "name": id(), "metadata": metadata(),
                        "owner_principal_id": { "type": ["string", "null"], "format": "uuid" },
                    }),
                ),
                json!({ "name": "Ada L." }),
            )
            .answers(200, "The principal as it is now.", "PrincipalAnswer", found(), &["ETag"])
            .errors(&[404, 409, 412]),
        Operation::new(Delete, one, "deletePrincipal", tag, "Erase a principal")
            .says("As the end user or the agent that it is.")
            .conditions(&["If-Match"])
            .request(deletion(&["all"]), reason())
            .answers(202, "The receipt's id.", "PrincipalDeletion", erased, &[])
            .errors(&[404, 412]),
    ]
}
