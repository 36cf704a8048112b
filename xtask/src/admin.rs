//! The operator's side of the API.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Result;

/// Longest wait for an answer.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// The entries that a list has at most on one page.
const PAGE: usize = 200;

#[derive(Debug)]
pub struct Admin {
    url: String,
    token: String,
    agent: ureq::Agent,
}

impl Admin {
    pub fn new(url: &str, token: &str) -> Self {
        let configuration = ureq::Agent::config_builder().http_status_as_error(false);
        let agent = configuration.timeout_global(Some(ANSWER_LIMIT)).build().into();
        Self { url: url.to_owned(), token: token.to_owned(), agent }
    }

    /// Whether the operator's token is the deployment's.
    pub fn accepts_token(&self) -> Result<bool> {
        match self.status("/admin/v1/organizations?limit=1", &self.token)? {
            200 => Ok(true),
            401 => Ok(false),
            other => Err(format!("asking for the organizations was answered {other}").into()),
        }
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let response = request.header("Authorization", format!("Bearer {}", self.token)).send_json(body)?;
        answer(&format!("POST {path}"), response)
    }

    fn get(&self, path: &str) -> Result<Value> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let response = request.header("Authorization", format!("Bearer {}", self.token)).call()?;
        answer(&format!("GET {path}"), response)
    }

    pub fn create_organization(&self, name: &str, limits: &Value) -> Result<String> {
        self.create_organization_of(&json!({ "name": name, "limits": limits }))
    }

    /// Creates an organization with everything that the request names. Returns its id.
    pub fn create_organization_of(&self, request: &Value) -> Result<String> {
        text(&self.post("/admin/v1/organizations", request)?, "id")
    }

    /// The first organizations, in the order of creation.
    pub fn organizations(&self) -> Result<Vec<Value>> {
        self.first_page("/admin/v1/organizations")
    }

    pub fn change_organization(&self, id: &str, change: &Value) -> Result<()> {
        let path = format!("/admin/v1/organizations/{id}");
        let request = self.agent.patch(format!("{}{path}", self.url));
        let response = request.header("Authorization", format!("Bearer {}", self.token)).send_json(change)?;
        answer(&format!("PATCH {path}"), response).map(drop)
    }

    /// The secret of the new key.
    pub fn issue_key(&self, organization_id: &str, request: &Value) -> Result<String> {
        let key = self.post(&format!("/admin/v1/organizations/{organization_id}/keys"), request)?;
        text(&key, "key")
    }

    /// The first keys of an organization, in the order of issue.
    pub fn keys(&self, organization_id: &str) -> Result<Vec<Value>> {
        self.first_page(&format!("/admin/v1/organizations/{organization_id}/keys"))
    }

    pub fn revoke_key(&self, organization_id: &str, key_id: &str) -> Result<()> {
        let path = format!("/admin/v1/organizations/{organization_id}/keys/{key_id}");
        let request = self.agent.delete(format!("{}{path}", self.url));
        let response = request.header("Authorization", format!("Bearer {}", self.token)).call()?;
        match response.status().as_u16() {
            204 => Ok(()),
            status => Err(format!("DELETE {path} answered {status}").into()),
        }
    }

    fn first_page(&self, path: &str) -> Result<Vec<Value>> {
        let mut page = self.get(&format!("{path}?limit={PAGE}"))?;
        match page.get_mut("data").map(Value::take) {
            Some(Value::Array(entries)) => Ok(entries),
            _ => Err(format!("GET {path} answered no list: {page}").into()),
        }
    }

    /// The status of a `GET` with any credential.
    pub fn status(&self, path: &str, credential: &str) -> Result<u16> {
        let request = self.agent.get(format!("{}{path}", self.url));
        Ok(request.header("Authorization", format!("Bearer {credential}")).call()?.status().as_u16())
    }

    /// Whether the organization exists. Any other status than found or not found is an error.
    pub fn knows(&self, organization_id: &str) -> Result<bool> {
        match self.status(&format!("/admin/v1/organizations/{organization_id}"), &self.token)? {
            200 => Ok(true),
            404 => Ok(false),
            other => Err(format!("asking for the organization was answered {other}").into()),
        }
    }
}

/// The body of a success. Any other answer is an error.
fn answer(request: &str, mut response: ureq::http::Response<ureq::Body>) -> Result<Value> {
    let status = response.status();
    let body = response.body_mut().read_to_string()?;
    if !status.is_success() {
        return Err(format!("{request} answered {status}: {body}").into());
    }
    serde_json::from_str(&body).map_err(|error| format!("{request} answered no JSON: {error}: {body}").into())
}

fn text(value: &Value, name: &str) -> Result<String> {
    let text = value.get(name).and_then(Value::as_str).ok_or_else(|| format!("the answer has no {name}"))?;
    Ok(text.to_owned())
}
