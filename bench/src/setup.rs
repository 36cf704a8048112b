//! Organizations, keys and users for a contender, made through its own API.

use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use xtask::Result;
use xtask::admin::Admin;

use crate::host::ADMIN_TOKEN;

/// The rate of an organization.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub requests_per_second: u32,
    pub burst: u32,
}

/// Limits that are never reached.
pub const UNREACHED: Limits = Limits { requests_per_second: 100_000, burst: 100_000 };
/// Number of users of each organization that are requested by id.
const KNOWN: usize = 500;

/// An organization, with the keys and ids that its callers use.
#[derive(Debug, Clone)]
pub struct Directory {
    pub organization_id: String,
    pub bearer: String,
    pub service_key: String,
    /// `Bearer` and the key of an organization whose bucket is empty.
    pub exhausted: String,
    /// `Bearer` and a key with a wrong tag.
    pub forged: String,
    pub agent_id: String,
    /// Ids of existing users.
    pub known: Vec<String>,
}

#[derive(Debug)]
struct Api<'a> {
    url: &'a str,
    agent: Agent,
    admin: Admin,
}

impl Api<'_> {
    fn post(&self, path: &str, credential: (&str, &str), body: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.url)).header(credential.0, credential.1);
        let mut response = request.send_json(body)?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string()?;
        if !(200..300).contains(&status) {
            return Err(format!("POST {path}: {status}: {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    fn organization(&self, limits: Limits) -> Result<String> {
        let Limits { requests_per_second, burst } = limits;
        let limits = json!({ "requests_per_second": requests_per_second, "burst": burst, "turns_per_period": 1_000_000,
                             "active_relationships": 1_000_000, "end_users": 1_000_000_000,
                             "storage_bytes": 10_000_000_000_u64 });
        self.admin.create_organization("Benchmark", &limits)
    }

    fn key(&self, organization_id: &str, kind: &str) -> Result<String> {
        let mut request = json!({ "kind": kind, "mode": "live", "name": kind });
        if kind == "api" {
            request["scope"] = "read_write".into();
        }
        self.admin.issue_key(organization_id, &request)
    }
}

fn text(document: &Value, name: &str) -> Result<String> {
    let text = document[name].as_str().ok_or_else(|| format!("there is no {name:?} in {document}"))?;
    Ok(text.to_owned())
}

/// Creates organizations with a few users each.
pub fn organizations(url: &str, count: usize, limits: Limits) -> Result<Vec<Directory>> {
    let config = Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(30)));
    let api = Api { url, agent: config.build().new_agent(), admin: Admin::new(url, ADMIN_TOKEN) };
    let exhausted = api.organization(Limits { requests_per_second: 1, burst: 1 })?;
    let exhausted = format!("Bearer {}", api.key(&exhausted, "api")?);
    let known = if count > 1 { KNOWN / 10 } else { KNOWN };
    (0..count).map(|_| directory(&api, limits, &exhausted, known)).collect()
}

fn directory(api: &Api<'_>, limits: Limits, exhausted: &str, known: usize) -> Result<Directory> {
    let organization_id = api.organization(limits)?;
    let key = api.key(&organization_id, "api")?;
    let bearer = format!("Bearer {key}");
    let mut forged = key;
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    let forged = format!("Bearer {forged}{last}");
    let service_key = api.key(&organization_id, "service")?;
    let authorization = ("authorization", bearer.as_str());
    let agent_id = text(&api.post("/api/v1/agents", authorization, &json!({ "name": "Agent" }))?, "agent_id")?;
    let ids: Vec<String> = (0..known).map(|number| format!("known-{number:04}")).collect();
    for user_id in &ids {
        let metadata = json!({ "plan": "pro", "seats": 3, "email": format!("{user_id}@example.com") });
        let body = json!({ "user_id": user_id, "display_name": "Ada Lovelace", "metadata": metadata });
        api.post("/v1/end-users", authorization, &body)?;
    }
    Ok(Directory {
        organization_id,
        bearer,
        service_key,
        exhausted: exhausted.to_owned(),
        forged,
        agent_id,
        known: ids,
    })
}
