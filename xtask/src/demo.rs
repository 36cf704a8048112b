//! The demo organization: created on the first run and kept with the state.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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

/// The operator's side of the API.
#[derive(Debug)]
pub struct Admin {
    url: String,
    token: String,
    agent: ureq::Agent,
}

impl Admin {
    pub fn new(url: &str, token: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { url: url.to_owned(), token: token.to_owned(), agent }
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let mut response = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("Authorization", format!("Bearer {}", self.token))
            .send_json(body)?;
        let answer: Value = response.body_mut().read_json()?;
        if response.status().is_success() {
            Ok(answer)
        } else {
            Err(format!("POST {path} answered {}: {answer}", response.status()).into())
        }
    }

    pub fn create_organization(&self, name: &str, limits: &Value) -> Result<String> {
        let organization = self.post("/admin/v1/organizations", &json!({ "name": name, "limits": limits }))?;
        text(&organization, "id")
    }

    pub fn change_organization(&self, id: &str, change: &Value) -> Result<()> {
        let path = format!("/admin/v1/organizations/{id}");
        let request = self.agent.patch(format!("{}{path}", self.url));
        let response = request.header("Authorization", format!("Bearer {}", self.token)).send_json(change)?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(format!("PATCH {path} answered {}", response.status()).into())
        }
    }

    pub fn issue_key(&self, organization_id: &str, request: &Value) -> Result<String> {
        let key = self.post(&format!("/admin/v1/organizations/{organization_id}/keys"), request)?;
        text(&key, "key")
    }

    /// The status of a `GET` with any credential.
    fn status(&self, path: &str, credential: &str) -> Result<u16> {
        let request = self.agent.get(format!("{}{path}", self.url));
        Ok(request.header("Authorization", format!("Bearer {credential}")).call()?.status().as_u16())
    }

    /// Whether the organization exists. Any other status than found or not found is an error.
    fn knows(&self, organization_id: &str) -> Result<bool> {
        match self.status(&format!("/admin/v1/organizations/{organization_id}"), &self.token)? {
            200 => Ok(true),
            404 => Ok(false),
            other => Err(format!("asking for the demo organization was answered {other}").into()),
        }
    }
}

fn text(value: &Value, name: &str) -> Result<String> {
    let text = value.get(name).and_then(Value::as_str).ok_or_else(|| format!("the answer has no {name}: {value}"))?;
    Ok(text.to_owned())
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
