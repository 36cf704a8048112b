//! The distance between the edge and an object, which one machine does not have. On a developer's own machine a request
//! may ask for one by `X-Rollcall-Distance`: then the edge waits so many milliseconds before each call to an object, for
//! both directions together.
//!
//! Invariant: no deployment waits. Only `cargo dev` sets `DEMO_DISTANCE_MS_MAX`, in files that are not deployed. If it is
//! set on a deployment all the same, only a request for a loopback name may ask, and no deployment has such a name. No
//! page of another site can send the header, as no preflight allows it.

use super::request::Target;
use crate::edge::configuration::Configuration;

/// A whole number of milliseconds.
const DISTANCE: &str = "X-Rollcall-Distance";

/// The longest distance that a request may ask for, in milliseconds; 0 where none may.
pub fn max_ms(configuration: &Configuration, target: Target<'_>) -> u32 {
    if target.is_loopback() { configuration.demo_distance_ms_max } else { 0 }
}

/// How long the edge waits before a call to an object, in milliseconds. A distance that does not read, or is too long,
/// is ignored. The header is looked up only where it has an effect.
pub fn wait_ms(configuration: &Configuration, target: Target<'_>, header: impl FnOnce(&str) -> Option<String>) -> u32 {
    let max_ms = max_ms(configuration, target);
    let asked = if max_ms > 0 { header(DISTANCE) } else { None };
    let is_whole = |text: &String| text.bytes().all(|byte| byte.is_ascii_digit());
    let wait_ms = asked.filter(is_whole).and_then(|text| text.parse().ok());
    wait_ms.filter(|wait_ms| *wait_ms <= max_ms).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::http::headers;
    use crate::edge::http::response::Response;

    const OWN: &str = "http://127.0.0.1:8787";

    fn configuration(max_ms: Option<&str>) -> Configuration {
        let secret = "s".repeat(32);
        let variable = |name: &str| match name {
            "KEY_SECRET" => Some(secret.clone()),
            "DEMO_DISTANCE_MS_MAX" => max_ms.map(str::to_owned),
            _ => None,
        };
        Configuration::read(variable, false).unwrap()
    }

    /// The wait of a request for this origin, and whether the edge looked for the header.
    fn wait(max_ms: Option<&str>, origin: &str, asked: &str) -> (u32, bool) {
        let mut has_looked = false;
        let target = Target { origin, path: "/v1/end-users/ada", query: "" };
        let waited = wait_ms(&configuration(max_ms), target, |name| {
            assert_eq!(name, "X-Rollcall-Distance");
            has_looked = true;
            Some(asked.to_owned())
        });
        (waited, has_looked)
    }

    #[test]
    fn only_a_machine_that_allows_it_is_as_far_as_a_request_asks() {
        assert_eq!(wait(Some("1000"), OWN, "100"), (100, true));
        assert_eq!(wait(None, OWN, "100"), (0, false), "the variable is not set");
        for origin in ["https://rollcall.example.workers.dev", "http://rollcall.example", "http://localhost.example"] {
            assert_eq!(wait(Some("1000"), origin, "100"), (0, false), "{origin}");
        }
    }

    #[test]
    fn what_is_no_distance_is_ignored() {
        for (asked, expected) in [("0", 0), ("1", 1), ("1000", 1_000), ("1001", 0), ("99999999999", 0)] {
            assert_eq!(wait(Some("1000"), OWN, asked).0, expected, "{asked}");
        }
        for asked in ["", "-1", "+1", "1.5", "100ms", " 100", "100, 100"] {
            assert_eq!(wait(Some("1000"), OWN, asked).0, 0, "{asked}");
        }
        assert_eq!(
            (wait(Some("50"), OWN, "50").0, wait(Some("50"), OWN, "51").0),
            (50, 0),
            "the limit is the variable's"
        );
    }

    #[test]
    fn no_page_of_another_site_can_ask() {
        let preflight = headers::preflight(Response::new(204));
        let allowed: Vec<&str> = preflight
            .headers
            .iter()
            .filter(|(name, _)| *name == "Access-Control-Allow-Headers")
            .map(|(_, list)| &**list)
            .collect();
        assert_eq!(allowed.len(), 1);
        assert!(allowed.iter().all(|list| list.contains("Authorization") && !list.contains(DISTANCE)), "{allowed:?}");
    }
}
