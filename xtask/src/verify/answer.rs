//! An answer, and what a check may ask of it.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::report::{Checked, Fault};

/// The rate limit of a caller, on every answer that took a token.
pub const RATE_LIMIT: &[&str] =
    &["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit-policy", "ratelimit"];
/// What an organization has used of its quotas.
pub const QUOTAS: &[&str] = &[
    "x-quota-turns-used",
    "x-quota-turns-limit",
    "x-quota-relationships-used",
    "x-quota-relationships-limit",
    "x-quota-reset",
];

/// The longest part of a value that a message repeats, in characters.
const SHOWN_CHARACTERS_MAX: usize = 80;

#[derive(Debug, Clone)]
pub struct Answer {
    /// The method and the path.
    pub request: String,
    /// Whether it came by HTTPS.
    pub is_secure: bool,
    pub status: u16,
    /// Names in lower case. One may come several times.
    pub all_headers: Vec<(String, String)>,
    pub body: String,
    pub took: Duration,
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.request, self.status)
    }
}

impl Answer {
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.all_headers.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub fn find_header(&self, name: &str) -> Option<&str> {
        self.all_headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub fn header(&self, name: &str) -> Checked<&str> {
        self.find_header(name).ok_or_else(|| {
            Fault::new(
                format!("{self} has no header {name}"),
                "let whatever stands in front of the Worker pass all its headers on",
            )
        })
    }

    pub fn expect_headers(&self, names: &[&str]) -> Checked {
        names.iter().try_for_each(|name| self.header(name).map(drop))
    }

    /// The body; `null` if it is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The body, if the answer has this status.
    pub fn expect(&self, status: u16) -> Checked<Value> {
        if self.status == status { Ok(self.json()) } else { Err(self.unexpected(&status.to_string())) }
    }

    pub fn expect_status(&self, status: u16) -> Checked {
        self.expect(status).map(drop)
    }

    /// The body, if a member has this value.
    pub fn expect_member(&self, status: u16, pointer: &str, value: &Value) -> Checked<Value> {
        let body = self.expect(status)?;
        let given = body.pointer(pointer).unwrap_or(&Value::Null);
        if given == value {
            return Ok(body);
        }
        let what = format!("{self} says {} at {pointer}, and not {}", shown(given), shown(value));
        Err(Fault::new(what, "deploy the build that this command comes from, and let nothing in front change bodies"))
    }

    /// A text in the body.
    pub fn text(&self, name: &str) -> Checked<String> {
        let body = self.json();
        let text = body.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| Fault::new(format!("{self} has no {name}"), "deploy the build that this command comes from"))
    }

    /// Another status than the expected one.
    pub fn unexpected(&self, expected: &str) -> Fault {
        let code = self.json();
        let code = ["/error/code", "/title", "/error"].iter().find_map(|at| code.pointer(at).and_then(Value::as_str));
        let code = code.map(|code| format!(" {code}")).unwrap_or_default();
        let what = format!("{} answered {}{code}, and not {expected}", self.request, self.status);
        let id = self.find_header("x-request-id").unwrap_or("?");
        Fault::new(what, match self.status {
            300..400 => "give the URL that it redirects to".to_owned(),
            404 | 405 => "deploy the build that this command comes from".to_owned(),
            500.. => format!("look up why in the log (npx wrangler tail, or the dashboard), at requestId {id}"),
            _ => "let nothing in front of the Worker change requests or answers, and deploy the build that this command \
                  comes from"
                .to_owned(),
        })
    }
}

/// A value as a message repeats it.
pub fn shown(value: &Value) -> String {
    let text = value.to_string();
    let mut cut: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
