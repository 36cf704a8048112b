//! End users and their erasure.

use serde_json::json;

use super::examples::{
    THEN, accepted, cursor, deletion, deletion_links, end_user, id, limit, metadata, new_end_user, object, or_null,
    page, parameter, reason, receipt, relationship, user_links,
};
use crate::edge::http::method::Method::{Delete, Get, Patch, Post};
use crate::edge::openapi::operation::{CREATED, FOUND, Operation, READ, READ_SAME};
use crate::edge::openapi::parts::{ULID, with};

const TAG: &str = "End users";

pub(super) fn all() -> Vec<Operation> {
    of_one().into_iter().chain(of_many()).collect()
}

fn of_one() -> Vec<Operation> {
    let tag = TAG;
    let users = "/v1/end-users";
    let user = "/v1/end-users/{user_id}";
    let instant = || json!({ "type": "string", "format": "date-time" });
    let with_relationships = with(end_user(), "relationships", json!([relationship()]));
    let with_relationships = with(with_relationships, "relationships_has_more", json!(false));
    let export = json!({
        "exported_at": THEN, "end_user": end_user(), "turns": [{ "period_start": THEN, "used": 17 }],
        "kept_answers": [], "relationships": [relationship()], "owned_agents": [], "deletions": [],
    });
    let usage = json!({
        "user_id": "ada", "turns": { "used": 17, "reserved": 1, "limit": 100, "remaining": 82 }, "period_start": THEN,
        "resets_at": "2026-12-21T22:41:26.283Z",
    });
    vec![
        Operation::new(Post, users, "createEndUser", tag, "Register an end user")
            .says("Idempotent by `user_id`: among any number of racing requests exactly one answers 201.")
            .conditions(&["Idempotency-Key"])
            .request(new_end_user(), json!({ "user_id": "ada", "metadata": { "plan": "pro" } }))
            .answers(201, "Made by this request.", "EndUser", end_user(), CREATED)
            .links(user_links())
            .answers(200, "Already there: the stored record, whatever was supplied.", "EndUser", end_user(), FOUND)
            .links(user_links())
            .errors(&[409]),
        Operation::new(Get, users, "listEndUsers", tag, "List end users")
            .says("Keyset pages, in byte order of `user_id` or in order of creation, with everything written before.")
            .query(vec![
                limit("limit", 200, 50),
                cursor(),
                parameter("order", "The direction.", json!({ "enum": ["asc", "desc"], "default": "asc" })),
                parameter("order_by", "The order.", json!({ "enum": ["user_id", "created_at"], "default": "user_id" })),
                parameter("user_id_prefix", "How ids begin; with `order_by=user_id`.", id()),
                parameter("created_after", "Exclusive; with `order_by=created_at`.", instant()),
                parameter("created_before", "Exclusive; with `order_by=created_at`.", instant()),
            ])
            .answers(200, "A page.", "EndUserPage", page(end_user()), &[]),
        Operation::new(Get, user, "getEndUser", tag, "Read an end user")
            .says(
                "Strongly consistent, with at most 100 relationships, the newest interaction first. An answer from nearby \
                 (`X-Rollcall-Source: edge`) shows no relationships.",
            )
            .conditions(&["If-None-Match", "Cache-Control"])
            .answers(200, "The record.", "EndUserWithRelationships", with_relationships, READ)
            .bare(304, "Still in the version that was named.", READ_SAME)
            .errors(&[404]),
        update_end_user(tag, user),
        Operation::new(Delete, user, "deleteEndUser", tag, "Erase an end user")
            .says(
                "With `cascade: all` gone from lists at once and purged from every store soon after; then the id is free \
                 again. `model_only` erases the moods, `memory_only` the relationships, and the user stays.",
            )
            .conditions(&["If-Match"])
            .request(deletion(&["all", "model_only", "memory_only"]), reason())
            .answers(202, "The receipt's id; the same again while the erasure lasts.", "DeletionAccepted", accepted(), &[])
            .links(deletion_links())
            .errors(&[404, 412]),
        Operation::new(Get, "/v1/end-users/{user_id}/export", "exportEndUser", tag, "Export everything held about a user")
            .says(
                "A long document is sent in pieces. If the person is erased before the end, the connection ends without \
                 the rest.",
            )
            .answers(200, "One document.", "Export", export, &[])
            .errors(&[404]),
        Operation::new(Get, "/v1/end-users/{user_id}/usage", "getEndUserUsage", tag, "Read the turns of an end user")
            .says("Strongly consistent. `limit` and `remaining` are `null` where the organization has no `turns_per_user`.")
            .answers(200, "Of this billing period.", "EndUserUsage", usage, &[])
            .errors(&[404]),
        Operation::new(Get, "/v1/deletions/{deletion_id}", "getDeletion", tag, "Read the receipt of an erasure")
            .says("It outlives what was erased, and names nobody.")
            .answers(200, "The receipt.", "Receipt", receipt(), &[])
            .errors(&[404]),
    ]
}

fn of_many() -> Vec<Operation> {
    let tag = TAG;
    let created = json!({
        "results": [{ "user_id": "ada", "status": 201 }, { "user_id": "eve", "status": 200 }],
        "created": 1, "existing": 1, "failed": 0,
    });
    let users = json!({ "type": "array", "minItems": 1, "maxItems": 500, "items": new_end_user() });
    let ids = |most: usize| json!({ "type": "array", "minItems": 1, "maxItems": most, "items": id() });
    let erased = json!({
        "results": [{ "user_id": "ada", "status": 202, "deletion_id": ULID }],
        "accepted": 1, "failed": 0,
    });
    let reason_schema = json!({ "type": ["string", "null"], "maxLength": 500 });
    vec![
        Operation::new(Post, "/v1/end-users/batch", "createEndUsers", tag, "Register up to 500 end users")
            .says(
                "As many creations in one commit, each judged by itself: a row that is wrong is refused in its place, with \
                 422 as its `status`, and spoils no other. A token for ten rows or 16 KiB, whichever is more. At most 1 MiB.",
            )
            .conditions(&["Idempotency-Key"])
            .request(
                object(&["users"], json!({ "users": users })),
                json!({ "users": [{ "user_id": "ada" }, { "user_id": "eve" }] }),
            )
            .answers(200, "What became of each, in the order given.", "BatchResult", created, &["Idempotency-Replayed"]),
        Operation::new(Post, "/v1/end-users/batch-get", "getEndUsers", tag, "Read up to 100 end users")
            .says("Strongly consistent, in one call. A token for ten ids or 16 KiB, whichever is more.")
            .request(object(&["user_ids"], json!({ "user_ids": ids(100) })), json!({ "user_ids": ["ada", "eve"] }))
            .answers(
                200,
                "Each record once, in the order given, and who is not there.",
                "BatchGetResult",
                json!({ "data": [end_user()], "not_found": ["eve"] }),
                &[],
            ),
        Operation::new(Post, "/v1/end-users/batch-erase", "deleteEndUsers", tag, "Erase up to 500 end users")
            .says(
                "Each person and everything about them, as `DELETE` does, in one commit. A token for ten ids or 16 KiB, \
                 whichever is more.",
            )
            .conditions(&["Idempotency-Key"])
            .request(
                object(&["user_ids"], json!({ "user_ids": ids(500), "reason": reason_schema })),
                json!({ "user_ids": ["ada"] }),
            )
            .answers(200, "A receipt's id for each, in the order given.", "BatchEraseResult", erased, &["Idempotency-Replayed"]),
    ]
}

fn update_end_user(tag: &'static str, user: &'static str) -> Operation {
    let change = object(&[], json!({ "display_name": or_null(id()), "metadata": metadata() }));
    let update = Operation::new(Patch, user, "updateEndUser", tag, "Change an end user")
        .says(
            "`application/json` replaces what it names, `application/merge-patch+json` is applied to the record \
             (RFC 7396). No body is no change.",
        )
        .conditions(&["If-Match"])
        .request(change, json!({ "metadata": { "plan": "free" } }))
        .answers(200, "The record as it is now.", "EndUser", end_user(), &["ETag"])
        .errors(&[404, 409, 412]);
    let patch = object(
        &[],
        json!({
            "display_name": or_null(id()),
            "metadata": {
                "type": ["object", "null"], "additionalProperties": true,
                "description": "Members that are `null` are removed, at any depth; `null` itself removes all.",
            },
        }),
    );
    let example = json!({ "metadata": { "plan": "free", "trial_ends": null } });
    update.merge_patch(patch, example)
}
