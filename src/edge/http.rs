//! Requests and responses as the edge sees them, free of any platform type.

use std::borrow::Cow;

/// Why a body could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than allowed; reading stopped there.
    TooLarge,
    /// The connection broke.
    Broken(String),
}

/// A request that came in.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Incoming {
    fn method(&self) -> String;
    /// The whole URL as the platform normalised it (WHATWG URL).
    fn url(&self) -> String;
    fn header(&self, name: &str) -> Option<String>;
    /// Reads the body, giving up after `bytes_max`.
    async fn body(&self, bytes_max: usize) -> Result<Vec<u8>, BodyError>;
}

/// The parts of a URL that routing needs, still percent-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// Scheme and authority, for links back to this server.
    pub origin: &'a str,
    pub path: &'a str,
    pub query: &'a str,
}

impl<'a> Target<'a> {
    pub fn parse(url: &'a str) -> Self {
        let url = url.split_once('#').map_or(url, |(before, _)| before);
        let (before_query, query) = url.split_once('?').unwrap_or((url, ""));
        let authority = before_query.find("://").map_or(0, |index| index.saturating_add(3));
        let path_start = before_query
            .get(authority..)
            .and_then(|rest| rest.find('/'))
            .map_or(before_query.len(), |index| authority.saturating_add(index));
        let (origin, path) = before_query.split_at_checked(path_start).unwrap_or((before_query, ""));
        Self { origin, path: if path.is_empty() { "/" } else { path }, query }
    }
}

pub type HeaderName = &'static str;

/// A response on its way out.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(HeaderName, Cow<'static, str>)>,
    pub body: Option<String>,
}

impl Response {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::with_capacity(16), body: None }
    }

    pub fn json(status: u16, body: String) -> Self {
        Self::new(status).with("Content-Type", "application/json").with_body(body)
    }

    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn with_body(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_splits_into_origin_path_and_query() {
        for (url, origin, path, query) in [
            ("https://h/a/b?c=d&e=/x#f", "https://h", "/a/b", "c=d&e=/x"),
            ("http://127.0.0.1:8787/v1/end-users/a%2Fb%3F", "http://127.0.0.1:8787", "/v1/end-users/a%2Fb%3F", ""),
            ("https://h", "https://h", "/", ""),
            ("https://h?q", "https://h", "/", "q"),
            ("https://h/?q?r", "https://h", "/", "q?r"),
        ] {
            assert_eq!(Target::parse(url), Target { origin, path, query }, "{url}");
        }
    }
}
