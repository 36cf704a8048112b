//! `GET /demo.json`: what the demo page needs: how fast moods decay and, on a developer's own machine, the key that
//! the page signs in with, and how far away it may make the objects.
//!
//! Invariant: neither a deployment nor a page of another site gets the key. Only `cargo dev` sets `DEMO_API_KEY`, in files
//! that are not deployed. If it is set on a deployment all the same, the edge tells it only to a request for a loopback
//! name, which no deployment has. A site can point its own name at this machine and claim any URL, as the development
//! server believes the header `MF-Original-URL`. So the request must also say `Sec-Fetch-Site: same-origin`. No page can
//! set that header, and browsers send it only to `https` and to loopback names
//! (<https://www.w3.org/TR/fetch-metadata/>, section 2).

use serde::Serialize;

use crate::edge::configuration::Configuration;
use crate::edge::http::distance;
use crate::edge::http::request::Target;
use crate::edge::http::response::Response;
use crate::fault::Fault;

#[derive(Serialize, schemars::JsonSchema)]
pub struct Demo<'a> {
    /// `null` unless it is set and a page that came by a loopback name asks for it.
    api_key: Option<&'a str>,
    /// The most that `X-Rollcall-Distance` may say. 0 where the header has no effect.
    distance_ms_max: u32,
    mood_half_life_ms: u64,
}

/// `site` is the header `Sec-Fetch-Site`.
pub fn get(configuration: &Configuration, target: Target<'_>, site: Option<&str>) -> Result<Response, Fault> {
    let is_own_page = target.is_loopback() && site == Some("same-origin");
    let api_key = configuration.demo_api_key.as_deref().filter(|key| !key.is_empty() && is_own_page);
    let distance_ms_max = distance::max_ms(configuration, target);
    Response::json(200, &Demo { api_key, distance_ms_max, mood_half_life_ms: configuration.mood_half_life_ms })
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
        let told = |key: &str, origin: &str, site| {
            let target = Target { origin, path: "/demo.json", query: "" };
            match get(&configuration(key).unwrap(), target, site).unwrap().body {
                Content::Text(text) => text,
                _ => panic!("no text"),
            }
        };
        let text = |key: &str, origin: &str| told(key, origin, Some("same-origin"));
        let is = |key: &str| format!("{{\"api_key\":{key},\"distance_ms_max\":0,\"mood_half_life_ms\":86400000}}");
        for origin in ["http://127.0.0.1:8787", "http://localhost:1", "http://[::1]:8787", "http://[::1]"] {
            assert_eq!(text(key, origin), is(&format!("\"{key}\"")), "{origin}");
            assert_eq!(text("", origin), is("null"), "{origin}");
            for site in [None, Some(""), Some("none"), Some("same-site"), Some("cross-site")] {
                assert_eq!(told(key, origin, site), is("null"), "{origin} {site:?}");
            }
        }
        for origin in ["https://rollcall.example.workers.dev", "http://localhost.example", ""] {
            assert_eq!(text(key, origin), is("null"), "{origin}");
        }
    }
}
