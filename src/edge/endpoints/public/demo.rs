//! `GET /demo.json`: what the demo page needs: how fast moods decay and, on a developer's own machine, the key that
//! the page signs in with.
//!
//! Invariant: neither a deployment nor a page of another site gets the key. Only `cargo dev` sets `DEMO_API_KEY`, in files
//! that are not deployed. If it is set on a deployment all the same, the edge tells it only to a request for a loopback
//! name, which no deployment has. A site can point its own name at this machine and claim any URL, as the development
//! server believes the header `MF-Original-URL`. So the request must also say `Sec-Fetch-Site: same-origin`. No page can
//! set that header, and browsers send it only to `https` and to loopback names
//! (<https://www.w3.org/TR/fetch-metadata/>, section 2).

use serde::Serialize;

use crate::edge::configuration::Configuration;
use crate::edge::http::response::Response;
use crate::fault::Fault;

/// The names under which a machine reaches itself (RFC 6761, section 6.3; RFC 4291, section 2.5.3).
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

#[derive(Serialize, schemars::JsonSchema)]
pub struct Demo<'a> {
    /// `null` unless it is set and a page that came by a loopback name asks for it.
    api_key: Option<&'a str>,
    mood_half_life_ms: u64,
}

/// `site` is the header `Sec-Fetch-Site`.
pub fn get(configuration: &Configuration, origin: &str, site: Option<&str>) -> Result<Response, Fault> {
    let is_own_page = is_loopback(origin) && site == Some("same-origin");
    let api_key = configuration.demo_api_key.as_deref().filter(|key| !key.is_empty() && is_own_page);
    Response::json(200, &Demo { api_key, mood_half_life_ms: configuration.mood_half_life_ms })
}

fn is_loopback(origin: &str) -> bool {
    let authority = origin.strip_prefix("http://").unwrap_or_default();
    LOOPBACK.iter().any(|host| match authority.strip_prefix(host).map(str::as_bytes) {
        Some([]) => true,
        Some([b':', port @ ..]) => port.iter().all(u8::is_ascii_digit),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::http::response::Content;

    #[test]
    fn only_the_machine_itself_is_told() {
        let key = "sk_live_ABCdef012";
        let configuration = |key: &str| {
            let secret = "s".repeat(32);
            let variable = |name: &str| match name {
                "KEY_SECRET" => Some(secret.clone()),
                "DEMO_API_KEY" => Some(key.to_owned()),
                _ => None,
            };
            Configuration::read(variable, false)
        };
        let told = |key: &str, origin: &str, site| match get(&configuration(key).unwrap(), origin, site).unwrap().body {
            Content::Text(text) => text,
            _ => panic!("no text"),
        };
        let text = |key: &str, origin: &str| told(key, origin, Some("same-origin"));
        let is = |key: &str| format!("{{\"api_key\":{key},\"mood_half_life_ms\":86400000}}");
        for origin in ["http://127.0.0.1:8787", "http://localhost:1", "http://[::1]:8787", "http://[::1]"] {
            assert_eq!(text(key, origin), is(&format!("\"{key}\"")), "{origin}");
            assert_eq!(text("", origin), is("null"), "{origin}");
            for site in [None, Some(""), Some("none"), Some("same-site"), Some("cross-site")] {
                assert_eq!(told(key, origin, site), is("null"), "{origin} {site:?}");
            }
        }
        for origin in [
            "https://rollcall.example.workers.dev",
            "http://localhost.example",
            "http://127.0.0.1.example:8787",
            "http://evil.example:127.0.0.1",
            "http://localhost:80@evil.example",
            "http://evil.example",
            "http://0.0.0.0:8787",
            "http://localhost8787",
            "",
        ] {
            assert_eq!(text(key, origin), is("null"), "{origin}");
        }
    }
}
