//! The operator's API: organizations, their keys, audits and deletions.

use serde_json::{Value, json};
use strum::VariantArray;

use super::examples::{THEN, accepted, cursor, deletion, described, id, limit, object, or_null, page, reason};
use crate::directory::placement::LocationHint;
use crate::edge::http::method::Method::{Delete, Get, Patch, Post};
use crate::edge::openapi::operation::Operation;
use crate::edge::openapi::parts::{ULID, with};
use crate::organization::protocol;
use crate::organization::schema as object_schema;
use crate::projection::listing::schema as listing_schema;

fn organization() -> Value {
    json!({
        "id": ULID, "name": "Acme", "slug": "acme", "clerk_org_id": null, "location": null,
        "limits": {
            "requests_per_second": 50, "burst": 100, "turns_per_period": 10_000, "active_relationships": 1_000,
            "edge_stale_s": 5, "end_users": 1_000_000, "storage_bytes": 1_000_000_000, "turns_per_user": 0,
        },
        "version": 1, "created_at": THEN, "updated_at": THEN,
    })
}

fn key() -> Value {
    json!({
        "id": ULID, "kind": "api", "mode": "live", "scope": "read_write", "prefix": "sk", "name": "Backend",
        "created_at": THEN, "expires_at": null, "revoked_at": null, "last_used_on": null,
    })
}

pub(super) fn all() -> Vec<Operation> {
    [diagnostics()].into_iter().chain(organizations()).chain(keys_and_reports()).collect()
}

fn diagnostics() -> Operation {
    let setting = |name: &str, is_set: bool, value: Value| json!({ "name": name, "is_set": is_set, "value": value, "fault": null, "doubt": null });
    let reached = json!({ "error": null, "latency_ms": 3 });
    let tables = |version: i64| with(reached.clone(), "schema_version", json!(version));
    let example = json!({
        "build": {
            "version": "0.1.0", "protocol_version": protocol::VERSION, "d1_schema_version": listing_schema::VERSION,
            "object_schema_version": object_schema::VERSION,
        },
        "settings": [
            setting("KEY_SECRET", true, Value::Null),
            setting("ALLOWED_ORIGINS", true, json!("https://app.example")),
        ],
        "has_client_address": true,
        "bindings": {
            "objects": reached, "kv": reached, "d1": tables(listing_schema::VERSION), "ai": false,
            "organization": with(tables(object_schema::VERSION), "id", json!(ULID)),
        },
        "cron": { "ran_at": THEN, "ran_s_ago": 120, "noted_for_s": 86_400 },
    });
    Operation::new(Get, "/admin/v1/diagnostics", "getDiagnostics", "Operator", "Read what is deployed, and what is wrong")
        .says(
            "Which settings are there, and what is wrong with each; never a secret. Whether each binding is reached, and which \
             version its tables have. When the cron trigger ran last. It answers also while the configuration is not usable.",
        )
        .answers(200, "What was found.", "Diagnostics", described("Diagnostics", example), &["Link"])
}

fn organizations() -> Vec<Operation> {
    let (tag, all, one) = ("Operator", "/admin/v1/organizations", "/admin/v1/organizations/{organization_id}");
    let whole = |min: u64, max: u64| json!({ "type": "integer", "minimum": min, "maximum": max });
    let fields = || {
        json!({
            "name": id(),
            "slug": { "type": "string", "minLength": 2, "maxLength": 64, "pattern": "^[a-z0-9]+(-[a-z0-9]+)*$" },
            "clerk_org_id": or_null(id()),
            "limits": object(&[], json!({
                "requests_per_second": whole(1, 1_000_000), "burst": whole(1, 10_000_000),
                "turns_per_period": whole(0, 1_000_000_000_000), "active_relationships": whole(0, 1_000_000_000_000),
                "edge_stale_s": whole(0, 5), "end_users": whole(0, 1_000_000_000_000),
                "storage_bytes": whole(0, 1_000_000_000_000), "turns_per_user": whole(0, 1_000_000_000_000),
            })),
        })
    };
    let locations: Vec<&str> = LocationHint::VARIANTS.iter().map(LocationHint::into_str).collect();
    let location = or_null(json!({ "type": "string", "enum": locations }));
    let parameters = json!({ "organization_id": "$response.body#/id" });
    let links = json!({
        "read": { "operationId": "getOrganization", "parameters": parameters },
        "change": { "operationId": "updateOrganization", "parameters": parameters },
        "issue": { "operationId": "issueKey", "parameters": parameters },
        "keys": { "operationId": "listKeys", "parameters": parameters },
        "usage": { "operationId": "getOrganizationUsage", "parameters": parameters },
        "repair": { "operationId": "repairOrganization", "parameters": parameters },
        "delete": { "operationId": "deleteOrganization", "parameters": parameters },
    });
    let receipt = json!({
        "operationId": "getOrganizationDeletion", "parameters": { "deletion_id": "$response.body#/deletion_id" },
    });
    let deletion_path = "/admin/v1/deletions/{deletion_id}";
    let deleted = json!({
        "deletion_id": ULID, "organization_id": ULID, "status": "completed", "requested_at": THEN,
        "completed_at": THEN, "reason": null, "erased": { "records": 3, "relationships": 2, "moods": 2 },
    });
    let again = "The receipt's id; the same again whenever asked.";
    vec![
        Operation::new(Post, all, "createOrganization", tag, "Make an organization")
            .says("The objects that hold the organization are made near `location`, and do not move.")
            .request(object(&["name"], with(fields(), "location", location)), json!({ "name": "Acme" }))
            .answers(201, "Made.", "Organization", organization(), &["Location", "ETag"])
            .links(links)
            .errors(&[409]),
        Operation::new(Get, all, "listOrganizations", tag, "List organizations")
            .says("In the order of their making.")
            .query(vec![limit("limit", 200, 50), cursor()])
            .answers(200, "A page.", "OrganizationPage", page(organization()), &[]),
        Operation::new(Get, one, "getOrganization", tag, "Read an organization")
            .conditions(&["If-None-Match"])
            .answers(200, "The organization.", "Organization", organization(), &["ETag"])
            .bare(304, "Still in the version that was named.", &["ETag"])
            .errors(&[404]),
        Operation::new(Patch, one, "updateOrganization", tag, "Change an organization")
            .says("Changes what is named and leaves the rest. The same limits hold for each mode, counted apart.")
            .conditions(&["If-Match"])
            .request(object(&[], fields()), json!({ "limits": { "requests_per_second": 100 } }))
            .answers(200, "The organization as it is now.", "Organization", organization(), &["ETag"])
            .errors(&[404, 409, 412]),
        Operation::new(Delete, one, "deleteOrganization", tag, "Delete an organization")
            .says("Gone at once with its keys, and all its data from every store soon after. Its slug is free again.")
            .conditions(&["If-Match"])
            .request(deletion(&["all"]), reason())
            .answers(202, again, "OrganizationDeletionAccepted", accepted(), &["Location"])
            .links(json!({ "receipt": receipt }))
            .errors(&[404, 412]),
        Operation::new(Get, deletion_path, "getOrganizationDeletion", tag, "Read the receipt of a deletion")
            .answers(200, "The receipt.", "OrganizationReceipt", deleted, &[])
            .errors(&[404]),
    ]
}

fn keys_and_reports() -> Vec<Operation> {
    let tag = "Operator";
    let keys = "/admin/v1/organizations/{organization_id}/keys";
    let key_path = "/admin/v1/organizations/{organization_id}/keys/{key_id}";
    let usage_path = "/admin/v1/organizations/{organization_id}/usage";
    let repair = "/admin/v1/organizations/{organization_id}/repair";
    let of_organization = json!({ "organization_id": "$request.path.organization_id" });
    let read = json!({ "operationId": "getRepair", "parameters": of_organization });
    let of_key = json!({ "organization_id": "$request.path.organization_id", "key_id": "$response.body#/id" });
    let differences = json!({ "missing": 0, "outdated": 0, "foreign": 0 });
    let report = json!({
        "organization_id": ULID, "status": "completed",
        "modes": [{
            "mode": "live", "status": "completed", "phase": null, "started_at": THEN, "completed_at": THEN,
            "users_compared": 1200, "listing_fence_reset": false, "listing": differences, "cache": differences,
        }],
    });
    let share = json!({ "used": 17, "limit": 10_000 });
    let usage = json!({
        "organization_id": ULID,
        "modes": [{
            "mode": "live", "turns": share, "active_relationships": share, "period_start": THEN,
            "resets_at": "2026-12-21T22:41:26.283Z",
        }],
    });
    vec![
        Operation::new(Post, keys, "issueKey", tag, "Issue a key")
            .says("The key itself is in this one answer only.")
            .request(
                object(
                    &["kind", "mode", "name"],
                    json!({
                        "kind": { "enum": ["api", "service"] }, "mode": { "enum": ["live", "test"] },
                        "scope": { "enum": ["read", "read_write"], "default": "read_write" },
                        "prefix": { "type": "string", "pattern": "^[a-z]{2,12}$", "default": "sk" },
                        "name": id(), "expires_at": { "type": ["string", "null"], "format": "date-time" },
                    }),
                ),
                json!({ "kind": "api", "mode": "live", "name": "Backend" }),
            )
            .answers(201, "The key.", "Key", with(key(), "key", json!("sk_live_…")), &["Location"])
            .links(json!({ "revoke": { "operationId": "revokeKey", "parameters": of_key } }))
            .errors(&[404]),
        Operation::new(Get, keys, "listKeys", tag, "List keys")
            .says("Of both modes, in the order of their issue, revoked ones too.")
            .query(vec![limit("limit", 200, 50), cursor()])
            .answers(200, "A page.", "KeyPage", page(key()), &[])
            .errors(&[404]),
        Operation::new(Delete, key_path, "revokeKey", tag, "Revoke a key")
            .says("From the next request on.")
            .bare(204, "Revoked, now or before.", &[])
            .errors(&[404]),
        Operation::new(Get, usage_path, "getOrganizationUsage", tag, "Read usage")
            .answers(200, "Of each mode.", "OrganizationUsage", usage, &[])
            .errors(&[404]),
        Operation::new(Post, repair, "repairOrganization", tag, "Compare the projections and mend them")
            .request(object(&[], json!({})), json!({}))
            .answers(200, "Done: what differed.", "Repair", report.clone(), &[])
            .links(json!({ "read": read }))
            .answers(202, "It goes on by itself: how far it is.", "Repair", report.clone(), &[])
            .links(json!({ "read": read }))
            .errors(&[404]),
        Operation::new(Get, repair, "getRepair", tag, "Read the last comparison")
            .answers(200, "What it found.", "Repair", report, &[])
            .errors(&[404]),
    ]
}
