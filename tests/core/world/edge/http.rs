//! Requests of clients, and what they are answered.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;

use futures_util::StreamExt;
use rollcall::edge::http::request::{BodyError, Incoming};
use rollcall::edge::http::response::{Content, EventSink, Response, event};
use rollcall::edge::routes::{self, Match};

/// A request of a client.
#[derive(Clone, Default)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub url: String,
    /// Whose request it is, unless it is the operator's.
    pub tenant: Option<usize>,
    /// Which of the tenant's keys it has.
    pub key: Option<usize>,
    /// After so many milliseconds the caller hangs up.
    pub hangs_up_ms: Option<i64>,
}

impl Request {
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        let path = path.into();
        Self { method, url: format!("https://edge{path}"), path, ..Self::default() }
    }

    pub fn of(self, tenant: usize) -> Self {
        Self { tenant: Some(tenant), ..self }
    }

    /// The kind of the request, for the tally.
    pub fn tallied(&self) -> &'static str {
        let path = self.path.split('?').next().unwrap_or_default();
        let route = routes::find(self.method, path);
        let Match::Found { route, .. } = route else { return "requests without a route" };
        route.pattern
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn json(self, body: impl Into<String>) -> Self {
        Self { body: body.into(), ..self.with("Content-Type", "application/json") }
    }
}

impl Incoming for Request {
    fn method(&self) -> &str {
        self.method
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    }

    async fn body(&self, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
        if self.body.len() > bytes_max { Err(BodyError::TooLarge) } else { Ok(self.body.clone().into_bytes()) }
    }
}

/// What a client is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(&'static str, String)>,
    pub body: String,
    /// The body ended before its end.
    pub is_cut_off: bool,
    /// A call of the request was lost, or came late.
    pub is_muddled: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| *held == name).map(|(_, value)| value.as_str())
    }

    /// The version that the tag names.
    pub fn version(&self) -> Option<i64> {
        self.header("ETag")?.trim_start_matches("W/").trim_matches('"').parse().ok()
    }

    /// Whether the answer is an error of this code, or says so of a row.
    pub fn is_error(&self, code: &str) -> bool {
        self.body.contains(&format!("\"code\":\"{code}\"")) || self.body.contains(&format!(":problem:{code}\""))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status) && !self.is_cut_off
    }

    pub async fn of(response: Response, is_muddled: &Cell<bool>) -> Self {
        let headers = response.headers.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let (mut body, mut is_cut_off) = (String::new(), false);
        match response.body {
            Content::None => {}
            Content::Text(text) => body = text,
            Content::Parts(mut parts) => {
                while let Some(part) = parts.next().await {
                    match part {
                        Ok(text) => body.push_str(&text),
                        Err(_) => is_cut_off = true,
                    }
                }
            }
            Content::Events(producer) => {
                let events = Rc::new(Events::default());
                producer(Rc::clone(&events) as Rc<dyn EventSink>).await;
                body = events.0.take();
            }
        }
        Self { status: response.status, headers, body, is_cut_off, is_muddled: is_muddled.get() }
    }
}

#[derive(Default)]
struct Events(RefCell<String>);

impl EventSink for Events {
    fn send(&self, name: &str, data: &str) -> bool {
        write!(self.0.borrow_mut(), "{}", event(name, data)).is_ok()
    }
}
