//! A request as the edge sees it, without any platform type.

use crate::fetch::FetchError;

/// The reason why a body was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// The body is longer than allowed. Reading stopped there.
    TooLarge,
    /// The connection broke.
    Broken(String),
}

impl From<BodyError> for FetchError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::Broken(reason) => Self::Broken(reason),
        }
    }
}

/// An incoming request.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Incoming {
    fn method(&self) -> &str;
    /// The whole URL, which the platform has normalised (WHATWG URL).
    fn url(&self) -> &str;
    fn header(&self, name: &str) -> Option<String>;
    /// Reads the body. Fails if it is longer than `bytes_max`.
    async fn body(&self, bytes_max: usize) -> Result<Vec<u8>, BodyError>;
}

/// The names under which a machine reaches itself (RFC 6761, section 6.3; RFC 4291, section 2.5.3).
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// The parts of a URL that routing needs, still percent-encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The scheme and the authority, for links to this server.
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

    /// Whether the request is for a loopback name, which no deployment has.
    pub fn is_loopback(&self) -> bool {
        let authority = self.origin.strip_prefix("http://").unwrap_or_default();
        LOOPBACK.iter().any(|host| match authority.strip_prefix(host).map(str::as_bytes) {
            Some([]) => true,
            Some([b':', port @ ..]) => port.iter().all(u8::is_ascii_digit),
            _ => false,
        })
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

    #[test]
    fn a_machine_reaches_itself_by_few_names() {
        for origin in ["http://127.0.0.1:8787", "http://localhost:1", "http://[::1]:8787", "http://[::1]"] {
            assert!(Target::parse(&format!("{origin}/demo.json")).is_loopback(), "{origin}");
        }
        for url in [
            "https://rollcall.example.workers.dev/",
            "http://localhost.example/",
            "http://127.0.0.1.example:8787/",
            "http://evil.example:127.0.0.1/",
            "http://localhost:80@evil.example/",
            "http://evil.example/",
            "http://evil.example/http://localhost",
            "http://0.0.0.0:8787/",
            "http://localhost8787/",
            "",
        ] {
            assert!(!Target::parse(url).is_loopback(), "{url}");
        }
    }
}
