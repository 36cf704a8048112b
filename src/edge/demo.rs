//! `GET /demo.json`: the key with which the demo page signs itself in on a developer's
//! own machine.
//!
//! Invariant: a deployment never gives a key away. Only `cargo dev` sets `DEMO_API_KEY`,
//! in files that are not deployed; and were it set all the same, it is told only to who asks
//! by a name of the machine itself, which no deployment has and no other site can borrow.

use super::configuration::Configuration;
use super::http::Response;

/// The names under which a machine reaches itself (RFC 6761, section 6.3; RFC 4291, section 2.5.3).
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// `{"api_key":null}` wherever there is none to give.
pub fn key(configuration: &Configuration, origin: &str) -> Response {
    // A key needs no escapes; what would is none.
    let is_key = |key: &&str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let body = match configuration.demo_api_key.as_deref().filter(is_key) {
        Some(key) if is_loopback(origin) => ["{\"api_key\":\"", key, "\"}"].concat(),
        _ => "{\"api_key\":null}".to_owned(),
    };
    Response::json(200, body)
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
    use crate::edge::http::Body;

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
        let told = |key: &str, origin: &str| match super::key(&configuration(key).unwrap(), origin).body {
            Body::Text(text) => text,
            _ => panic!("no text"),
        };
        for origin in ["http://127.0.0.1:8787", "http://localhost:1", "http://[::1]:8787", "http://[::1]"] {
            assert_eq!(told(key, origin), format!("{{\"api_key\":\"{key}\"}}"), "{origin}");
            assert_eq!(told("", origin), "{\"api_key\":null}", "{origin}");
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
            assert_eq!(told(key, origin), "{\"api_key\":null}", "{origin}");
        }
        assert_eq!(told("a\",\"b", "http://localhost"), "{\"api_key\":null}", "no key");
    }
}
