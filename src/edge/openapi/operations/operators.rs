//! Named operators.

use serde_json::{Value, json};

use super::examples::{THEN, cursor, id, limit, object, page};
use crate::edge::http::method::Method::{Delete, Get, Post};
use crate::edge::openapi::operation::Operation;
use crate::edge::openapi::parts::{ULID, with};

fn operator() -> Value {
    json!({ "id": ULID, "name": "Ada", "created_at": THEN, "revoked_at": null, "last_used_on": null })
}

pub(super) fn all() -> Vec<Operation> {
    let (tag, all) = ("Operator", "/admin/v1/operators");
    let of_operator = json!({ "operator_id": "$response.body#/id" });
    vec![
        Operation::new(Post, all, "createOperator", tag, "Make a named operator")
            .says(
                "The token is in this one answer only. It opens all of the admin API but these three operations, which \
                 need `ADMIN_TOKEN`.",
            )
            .request(object(&["name"], json!({ "name": id() })), json!({ "name": "Ada" }))
            .answers(201, "The operator.", "Operator", with(operator(), "token", json!("operator_…")), &["Location"])
            .links(json!({ "revoke": { "operationId": "revokeOperator", "parameters": of_operator } }))
            .errors(&[403]),
        Operation::new(Get, all, "listOperators", tag, "List named operators")
            .says("In the order of their making, revoked ones too.")
            .query(vec![limit("limit", 200, 50), cursor()])
            .answers(200, "A page.", "OperatorPage", page(operator()), &[])
            .errors(&[403]),
        Operation::new(
            Delete,
            "/admin/v1/operators/{operator_id}",
            "revokeOperator",
            tag,
            "Revoke an operator's token",
        )
        .says("From the next request on.")
        .bare(204, "Revoked, now or before.", &[])
        .errors(&[403, 404]),
    ]
}
