//! The first organization of a deployment and its keys.

use serde_json::{Value, json};

use crate::admin::Admin;
use crate::deploy::credentials::{Credentials, IssuedKey};
use crate::{Result, step};

const NAME: &str = "First organization";
/// A slug is unique, so no interrupted run makes a second one.
const SLUG: &str = "first";

/// The keys' names, kinds and modes.
const KEYS: &[(&str, &str, &str)] =
    &[("API key", "api", "live"), ("Test-mode key", "api", "test"), ("Service key", "service", "live")];

/// Makes what is missing of the organization and its keys, and keeps each key before the next one is issued. A key that
/// was issued and not kept, because a run was cut off, is revoked.
pub fn ensure(admin: &Admin, credentials: &mut Credentials) -> Result<()> {
    let organizations = admin.organizations()?;
    let found = organizations.iter().find(|organization| organization["slug"] == SLUG);
    let found = found.and_then(|organization| organization["id"].as_str()).map(str::to_owned);
    let id = found.map_or_else(|| create(admin), Ok)?;
    credentials.set_organization(&id)?;
    for (name, kind, mode) in KEYS {
        if credentials.keys().iter().any(|key| key.name == *name) {
            continue;
        }
        revoke_all(admin, &id, name)?;
        step(format!("Issuing the {name} of the first organization"));
        let key = admin.issue_key(&id, &json!({ "name": name, "kind": kind, "mode": mode }))?;
        credentials.add_key(IssuedKey { name: (*name).to_owned(), key })?;
    }
    Ok(())
}

fn create(admin: &Admin) -> Result<String> {
    step("Making the first organization");
    admin.create_organization_of(&json!({ "name": NAME, "slug": SLUG }))
}

fn revoke_all(admin: &Admin, organization_id: &str, name: &str) -> Result<()> {
    for key in admin.keys(organization_id)? {
        let is_in_force = key["revoked_at"] == Value::Null && key["name"] == name;
        if let Some(id) = key["id"].as_str().filter(|_| is_in_force) {
            admin.revoke_key(organization_id, id)?;
        }
    }
    Ok(())
}
