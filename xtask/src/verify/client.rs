//! Requests to the deployment. Each has a time limit, and none follows a redirect, so that a credential goes only to the
//! URL that the operator gave.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::answer::Answer;
use super::observations::Observations;
use super::report::{Checked, Fault};
use crate::interrupt;

/// Longer than the Worker waits for an object or a store.
const LIMIT: Duration = Duration::from_secs(30);
/// The largest answer that is read, in bytes. The Worker's largest pages have two million.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;

#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    agent: ureq::Agent,
    headers: Vec<(&'static str, String)>,
    observations: Arc<Observations>,
    limit: Duration,
    heeds_interrupts: bool,
}

impl Client {
    pub fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        Self {
            url: url.to_owned(),
            agent: config.build().into(),
            headers: Vec::new(),
            observations: Arc::default(),
            limit: LIMIT,
            heeds_interrupts: true,
        }
    }

    #[must_use]
    pub fn with(&self, name: &'static str, value: impl Into<String>) -> Self {
        let mut client = self.clone();
        client.headers.push((name, value.into()));
        client
    }

    /// The same client with a credential in `Authorization`.
    #[must_use]
    pub fn bearer(&self, token: &str) -> Self {
        self.with("Authorization", format!("Bearer {token}"))
    }

    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self { limit, ..self.clone() }
    }

    /// A client that cleans up: an interrupt does not end it.
    #[must_use]
    pub fn uninterrupted(&self) -> Self {
        Self { heeds_interrupts: false, ..self.clone() }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn observations(&self) -> &Observations {
        &self.observations
    }

    pub fn get(&self, path: &str) -> Checked<Answer> {
        self.send("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Checked<Answer> {
        self.send("POST", path, Some(("application/json", &body.to_string())))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Checked<Answer> {
        self.send("PATCH", path, Some(("application/json", &body.to_string())))
    }

    pub fn delete(&self, path: &str) -> Checked<Answer> {
        self.send("DELETE", path, None)
    }

    /// Sends a request to the Worker, and looks at what must hold of all its answers.
    pub fn send(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> Checked<Answer> {
        let answer = self.send_unobserved(method, path, body)?;
        self.observations.observe(&answer);
        Ok(answer)
    }

    /// Sends a request to whatever is there.
    pub fn send_unobserved(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> Checked<Answer> {
        if self.heeds_interrupts && interrupt::happened() {
            return Err(Fault::new("the command was interrupted", "run it again"));
        }
        self.try_send(method, path, body).map_err(|error| {
            Fault::new(
                format!("{method} {}{path} has no answer: {error}", self.url),
                "see that the URL is right, that the Worker is deployed there, and that this machine reaches it",
            )
        })
    }

    fn try_send(&self, method: &str, path: &str, body: Option<(&str, &str)>) -> Result<Answer, ureq::Error> {
        let started = Instant::now();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let mut response = if let Some((content_type, body)) = body {
            let request = request.header("Content-Type", content_type).body(body)?;
            self.agent.run(self.agent.configure_request(request).timeout_global(Some(self.limit)).build())?
        } else {
            let request = request.body(())?;
            self.agent.run(self.agent.configure_request(request).timeout_global(Some(self.limit)).build())?
        };
        // What is no text is no answer of the Worker's: its head shows what is wrong.
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        let headers = response.headers().iter();
        Ok(Answer {
            request: format!("{method} {path}"),
            is_secure: self.url.starts_with("https:"),
            status: response.status().as_u16(),
            all_headers: headers.map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))).collect(),
            body: text(&body),
            took: started.elapsed(),
        })
    }
}
