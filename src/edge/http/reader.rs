//! What the models of a published client need in the bodies of dialect 2, beyond what every caller gets.
//!
//! The models of sonzai for Python take an absolute `$schema` only. From version 1.5.3 on they require a mood to have
//! four members more, which the versions before refuse. The client names its version in `User-Agent`.
//!
//! Invariant: a caller that is not this client gets exactly the members of the contract.

use std::borrow::Cow;

/// The product that the client names first in `User-Agent` (RFC 9110, section 10.1.5).
const PRODUCT: &str = "sonzai-python/";
/// The first version whose models require the user's baselines: major, minor, patch.
const USER_BASELINES_SINCE: [u32; 3] = [1, 5, 3];

/// How a caller reads bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader<'a> {
    Any,
    /// The models of sonzai for Python.
    Sonzai {
        /// What stands before the path of a schema.
        origin: &'a str,
        /// Whether a mood must have the user's baselines, or must not.
        user_baselines: bool,
    },
}

impl<'a> Reader<'a> {
    /// The reader that a `User-Agent` names. A client whose version does not read is any reader.
    pub fn of(user_agent: Option<&str>, origin: &'a str) -> Self {
        let product = user_agent.and_then(|text| text.split_ascii_whitespace().next());
        let Some(version) = product.and_then(|product| product.strip_prefix(PRODUCT)).and_then(version) else {
            return Self::Any;
        };
        Self::Sonzai { origin, user_baselines: version >= USER_BASELINES_SINCE }
    }

    /// The value of `$schema` for the path of a schema.
    pub fn schema_url(self, path: &'static str) -> Cow<'static, str> {
        match self {
            Self::Any => path.into(),
            Self::Sonzai { origin, .. } => [origin, path].concat().into(),
        }
    }

    /// Whether a mood must have the user's baselines.
    pub const fn needs_user_baselines(self) -> bool {
        matches!(self, Self::Sonzai { user_baselines: true, .. })
    }
}

/// Reads three numbers with dots between them.
fn version(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.');
    let mut next = || parts.next()?.parse().ok();
    let version = [next()?, next()?, next()?];
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://h";

    #[test]
    fn the_version_decides() {
        for (user_agent, user_baselines) in [
            ("sonzai-python/1.0.0", false),
            ("sonzai-python/1.5.2", false),
            ("sonzai-python/1.5.3", true),
            ("sonzai-python/1.8.0", true),
            ("sonzai-python/1.10.0", true),
            ("sonzai-python/2.0.0 (CPython 3.12)", true),
        ] {
            let expected = Reader::Sonzai { origin: ORIGIN, user_baselines };
            assert_eq!(Reader::of(Some(user_agent), ORIGIN), expected, "{user_agent}");
        }
    }

    #[test]
    fn other_callers_are_any_reader() {
        let others = ["", "curl/8.5.0", "python-httpx/0.28.1", "Mozilla/5.0 sonzai-python/1.8.0", "sonzai-python"];
        let unread = ["sonzai-python/", "sonzai-python/1.8", "sonzai-python/1.8.0.1", "sonzai-python/1.8.x"];
        assert_eq!(Reader::of(None, ORIGIN), Reader::Any);
        for user_agent in others.into_iter().chain(unread) {
            assert_eq!(Reader::of(Some(user_agent), ORIGIN), Reader::Any, "{user_agent}");
        }
    }

    #[test]
    fn only_the_client_gets_an_absolute_url() {
        assert_eq!(Reader::Any.schema_url("/a.json"), "/a.json");
        let reader = Reader::of(Some("sonzai-python/1.5.0"), ORIGIN);
        assert_eq!(reader.schema_url("/a.json"), "https://h/a.json");
        assert!(!Reader::Any.needs_user_baselines() && !reader.needs_user_baselines());
    }
}
