//! Organizations on their way into another deployment.

use serde_json::json;

use super::examples::{THEN, cursor, object, parameter};
use crate::edge::http::method::Method::{Get, Post};
use crate::edge::openapi::operation::Operation;
use crate::edge::openapi::parts::{ULID, UUID};

pub(super) fn all() -> Vec<Operation> {
    let tag = "Operator";
    let mode = || json!({ "enum": ["live", "test"], "default": "live" });
    let user = json!({
        "type": "end_user", "user_id": "ada", "principal_id": UUID, "display_name": null, "metadata": { "plan": "pro" },
        "created_at": THEN, "updated_at": THEN, "last_interaction_at": null,
    });
    let kinds = json!({ "enum": ["end_user", "agent", "relationship"] });
    let record = json!({
        "type": "object", "required": ["type"], "properties": { "type": kinds }, "additionalProperties": true,
    });
    let records = json!({ "type": "array", "minItems": 1, "maxItems": 500, "items": record });
    let imported = json!({ "results": [{ "status": 201 }], "created": 1, "existing": 0, "failed": 0 });
    vec![
        Operation::new(Get, "/admin/v1/organizations/{organization_id}/export", "exportOrganization", tag, "Export an organization")
            .says(
                "Lines of JSON: the `organization`, then each `end_user`, `agent` and `relationship`, and `end`. Between them \
                 stands now and then a `place`, whose `cursor` goes on from there. An answer that ends with a `place`, or that \
                 was cut off, goes on with the last `cursor`. Records are as they were when their part was made, and whoever \
                 is being erased is left out. Keys, receipts, usage and kept answers are not exported.",
            )
            .query(vec![parameter("mode", "The data set.", mode()), cursor()])
            .lines("The records.", "ExportLine", json!({ "type": "place", "cursor": ULID }))
            .errors(&[400, 404]),
        Operation::new(Post, "/admin/v1/organizations/{organization_id}/import", "importRecords", tag, "Import up to 500 records")
            .says(
                "Lines of an export, in their order. They keep their ids and instants, and get new versions. A record that is \
                 there stays as it is; one that is faulty is refused in its place. At most 1 MiB.",
            )
            .request(object(&["records"], json!({ "mode": mode(), "records": records })), json!({ "records": [user] }))
            .answers(200, "What became of each, in the order given.", "ImportResult", imported, &[])
            .errors(&[404]),
    ]
}
