//! Requests and responses as the edge sees them, free of any platform type.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;

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
    fn method(&self) -> &str;
    /// The whole URL as the platform normalised it (WHATWG URL).
    fn url(&self) -> &str;
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
        let authority = before_query
            .split_once(':')
            .filter(|(_, rest)| rest.starts_with("//"))
            .map_or(0, |(scheme, _)| scheme.len().saturating_add(3));
        let path_start = before_query
            .get(authority..)
            .and_then(|rest| rest.find('/'))
            .map_or(before_query.len(), |index| authority.saturating_add(index));
        let (origin, path) = before_query.split_at_checked(path_start).unwrap_or((before_query, ""));
        Self { origin, path: if path.is_empty() { "/" } else { path }, query }
    }
}

pub type HeaderName = &'static str;

/// Where the events of a response go.
pub trait EventSink {
    /// Sends an event; says whether there is still a reader. Does not wait for one that
    /// is slow, so that whoever sends keeps to their own time.
    fn send(&self, event: &str, data: &str) -> bool;
}

/// Sends events until it ends, and with it the response. It runs to its end whether or
/// not there is still a reader.
pub type Producer = Box<dyn FnOnce(Rc<dyn EventSink>) -> Pin<Box<dyn Future<Output = ()>>>>;

/// The body of a response.
pub enum Body {
    None,
    Text(String),
    /// Server-sent events, made after the head was sent.
    Events(Producer),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::None => "None",
            Self::Text(text) => text,
            Self::Events(_) => "Events",
        })
    }
}

/// A response on its way out.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(HeaderName, Cow<'static, str>)>,
    pub body: Body,
}

impl Response {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::with_capacity(16), body: Body::None }
    }

    pub fn json(status: u16, body: String) -> Self {
        Self::new(status).with("Content-Type", "application/json").with_body(body)
    }

    pub fn events(producer: Producer) -> Self {
        let response = Self::new(200).with("Content-Type", "text/event-stream");
        Self { body: Body::Events(producer), ..response }
    }

    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn with_body(mut self, body: String) -> Self {
        self.body = Body::Text(body);
        self
    }
}

/// An event as it is sent (WHATWG HTML, section 9.2). Its name has one line.
pub fn event(name: &str, data: &str) -> String {
    let mut event = ["event: ", name, "\n"].concat();
    for line in data.split('\n').flat_map(|line| line.split('\r')) {
        event.extend(["data: ", line, "\n"]);
    }
    event.push('\n');
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_data_line_by_line() {
        assert_eq!(event("delta", "{\"a\":1}"), "event: delta\ndata: {\"a\":1}\n\n");
        assert_eq!(event("x", "a\nid: 1\rb"), "event: x\ndata: a\ndata: id: 1\ndata: b\n\n");
        assert_eq!(event("x", ""), "event: x\ndata: \n\n");
    }

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
