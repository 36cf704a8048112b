//! The demo organization: created on the first run and kept with the state.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::webhooks::Sender;
use crate::{Result, secrets, step};

/// The person that the demo's session token names.
pub const PERSON: &str = "user_demo";
pub const PERSON_EMAIL: &str = "demo@example.com";
/// The demo person's organization: id, slug and role.
pub const PERSON_ORGANIZATION: (&str, &str, &str) = ("org_demo", "demo", "admin");
/// The creation time of the demo person and organization. It is the same on every run, so a repeated event changes
/// nothing.
const PERSON_SINCE_MS: u64 = 1_767_225_600_000;

/// Credentials of the demo organization. All but `uniq_key` are of mode live.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Demo {
    pub organization_id: String,
    /// Scope `read_write`.
    pub api_key: String,
    /// Scope `read`.
    pub read_key: String,
    pub service_key: String,
    /// Scope `read_write`, prefix `uniq`, mode test.
    pub uniq_key: String,
}

/// A bucket that a burst from a browser can empty, and quotas in which one turn is visible.
fn limits() -> Value {
    json!({ "requests_per_second": 30, "burst": 100, "turns_per_period": 1_000, "active_relationships": 200 })
}

/// Returns the demo organization of this state, with working keys. Creates it if there is none.
pub fn ensure(admin: &Admin, state: &Path) -> Result<Demo> {
    let file = state.join("demo.json");
    let held = fs::read_to_string(&file).ok().and_then(|text| serde_json::from_str::<Demo>(&text).ok());
    let organization_id = match held {
        Some(demo) if admin.knows(&demo.organization_id)? => {
            // The keys may be of another `KEY_SECRET`, when this state is used with another `.dev.vars`.
            if admin.status("/v1/end-users?limit=1", &demo.read_key)? != 401 {
                return Ok(demo);
            }
            step("Issuing new keys for the demo organization");
            demo.organization_id
        }
        _ => {
            step("Making the demo organization and its keys");
            admin.create_organization("Demo", &limits())?
        }
    };
    let issue = |kind: &str, mode: &str, scope: &str, prefix: &str, name: &str| {
        let request = json!({ "kind": kind, "mode": mode, "scope": scope, "prefix": prefix, "name": name });
        admin.issue_key(&organization_id, &request)
    };
    let demo = Demo {
        api_key: issue("api", "live", "read_write", "sk", "Demo")?,
        read_key: issue("api", "live", "read", "sk", "Demo, read only")?,
        service_key: issue("service", "live", "read_write", "sk", "Demo, service")?,
        uniq_key: issue("api", "test", "read_write", "uniq", "Demo, test mode")?,
        organization_id,
    };
    secrets::write_private(&file, &serde_json::to_string_pretty(&demo)?)?;
    Ok(demo)
}

/// Sends the mirror the demo person, their organization and their membership, as Clerk does.
pub fn introduce(sender: &Sender) -> Result<()> {
    let (id, slug, role) = PERSON_ORGANIZATION;
    let at = PERSON_SINCE_MS;
    let email = json!({ "id": "idn_demo", "object": "email_address", "email_address": PERSON_EMAIL });
    let user = json!({
        "id": PERSON, "object": "user", "primary_email_address_id": "idn_demo", "email_addresses": [email],
        "created_at": at, "updated_at": at,
    });
    let organization = json!({
        "id": id, "object": "organization", "name": "Demo", "slug": slug, "members_count": 1,
        "created_at": at, "updated_at": at,
    });
    let membership = json!({
        "id": "orgmem_demo", "object": "organization_membership", "role": format!("org:{role}"), "organization": organization,
        "public_user_data": { "user_id": PERSON, "identifier": PERSON_EMAIL }, "created_at": at, "updated_at": at,
    });
    for (kind, data) in
        [("user.created", user), ("organization.created", organization), ("organizationMembership.created", membership)]
    {
        let event = json!({ "object": "event", "type": kind, "timestamp": at, "data": data });
        let status = sender.send(&format!("msg_demo_{kind}"), &event)?;
        if !(200..300).contains(&status) {
            return Err(format!("the event {kind} of the demo person was answered {status}").into());
        }
    }
    Ok(())
}
