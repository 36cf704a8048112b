//! The settings as the operator's diagnostics show them: which are there, and what is wrong with each.
//!
//! Invariant: nothing of a secret is shown, not even its length.

use serde::Serialize;

use super::configuration::{Configuration, WrongSettings, items};

/// Whether the diagnostics show the value of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Showing {
    Value,
    /// Only whether it is set: it is a secret, or may hold one, as a URL may.
    Presence,
}

use Showing::{Presence, Value};

/// Every setting of the Worker, in the order of `docs/configuration.md`.
const SETTINGS: &[(&str, Showing)] = &[
    ("KEY_SECRET", Presence),
    ("KEY_SECRET_PREVIOUS", Presence),
    ("ADMIN_TOKEN", Presence),
    (ALLOWED_ORIGINS, Value),
    ("PUBLIC_REQUESTS_PER_SECOND", Value),
    ("PUBLIC_BURST", Value),
    ("MOOD_HALF_LIFE_HOURS", Value),
    ("RESPONDER_URL", Presence),
    ("RESPONDER_KEY", Presence),
    ("RESPONDER_MODEL", Value),
    ("RESPONDER_TIMEOUT_MS", Value),
    (CLERK_ISSUER, Value),
    ("CLERK_JWKS_URL", Presence),
    ("CLERK_JWT_KEY", Presence),
    ("CLERK_AUTHORIZED_PARTIES", Value),
    ("CLERK_WEBHOOK_SECRET", Presence),
    ("CLERK_WEBHOOK_SECRET_PREVIOUS", Presence),
    ("JURISDICTION", Value),
    ("DEMO_API_KEY", Presence),
    ("DEMO_DISTANCE_MS_MAX", Value),
];
const ALLOWED_ORIGINS: &str = "ALLOWED_ORIGINS";
const CLERK_ISSUER: &str = "CLERK_ISSUER";

/// A setting, as the operator sees it.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct SettingView {
    name: &'static str,
    is_set: bool,
    /// Its text, unless it is or may hold a secret, or is refused.
    value: Option<String>,
    /// Why the Worker refuses it. Then every request that needs the configuration is 500.
    fault: Option<String>,
    /// Why it is of no use, although the Worker takes it.
    doubt: Option<String>,
}

/// Describes every setting. `has_ai` says whether the Worker has the binding `AI`.
pub fn examine(variable: impl Fn(&str) -> Option<String>, has_ai: bool) -> Vec<SettingView> {
    let wrong = Configuration::read(&variable, has_ai).err().unwrap_or_default();
    let view = |(name, showing): &(&'static str, Showing)| {
        let text = variable(name).filter(|text| !text.is_empty());
        let fault = fault_of(&wrong, name);
        let doubt = text.as_deref().filter(|_| fault.is_none()).and_then(|text| doubt(name, text));
        let is_set = text.is_some();
        SettingView { name, is_set, value: text.filter(|_| *showing == Value && fault.is_none()), fault, doubt }
    };
    SETTINGS.iter().map(view).collect()
}

/// What is wrong with the setting of this name.
fn fault_of(wrong: &WrongSettings, name: &str) -> Option<String> {
    let reason = wrong.0.iter().find_map(|refusal| refusal.0.strip_prefix(name)?.strip_prefix(": "));
    reason.map(str::to_owned)
}

/// Why a setting never matches what it is compared with. Both are compared to the letter.
fn doubt(name: &str, text: &str) -> Option<String> {
    match name {
        ALLOWED_ORIGINS if !items(text).all(is_origin) => Some(
            "a browser never sends one of these as its origin: write each as https://host or https://host:port, in lower \
             case and without a path"
                .to_owned(),
        ),
        CLERK_ISSUER if !is_issuer(text.trim()) => Some(
            "Clerk never names an issuer so: it begins with https:// and does not end with a slash, as in `iss` of a \
             session token"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Whether a browser may send this text as `Origin` (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    host.is_some_and(|host| {
        let is_of_host = |byte: u8| {
            byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || matches!(byte, b'.' | b'-' | b':' | b'[' | b']' | b'_')
        };
        !host.is_empty() && host.bytes().all(is_of_host)
    })
}

fn is_issuer(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://localhost"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examine_set(variables: &[(&str, &str)]) -> Vec<SettingView> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        examine(variable, false)
    }

    fn find<'a>(views: &'a [SettingView], name: &str) -> &'a SettingView {
        views.iter().find(|view| view.name == name).expect(name)
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let secret = "s3cr3t-".repeat(6);
        for (name, showing) in SETTINGS {
            for value in [secret.as_str(), "s3cr3t"] {
                let views = examine_set(&[(name, value)]);
                let shown = serde_json::to_string(&views).unwrap();
                assert!(find(&views, name).is_set);
                assert!(*showing == Value || !shown.contains("s3cr3t"), "{name}: {shown}");
                assert!(!shown.contains("42"), "no length either: {shown}");
            }
        }
    }

    #[test]
    fn every_wrong_setting_has_its_fault_and_no_value() {
        for (name, value) in [
            ("KEY_SECRET", "short"),
            ("KEY_SECRET_PREVIOUS", "short"),
            ("ADMIN_TOKEN", "short"),
            ("PUBLIC_REQUESTS_PER_SECOND", "many"),
            ("PUBLIC_BURST", "0"),
            ("MOOD_HALF_LIFE_HOURS", "0"),
            ("RESPONDER_URL", "api.example"),
            ("RESPONDER_KEY", "a b"),
            ("RESPONDER_MODEL", "a b"),
            ("RESPONDER_TIMEOUT_MS", "30s"),
            ("CLERK_ISSUER", "https://clerk.example"),
            ("CLERK_JWKS_URL", "http://clerk.example/jwks"),
            ("CLERK_JWT_KEY", "x"),
            ("CLERK_WEBHOOK_SECRET", "x"),
            ("CLERK_WEBHOOK_SECRET_PREVIOUS", "x"),
            ("JURISDICTION", "mars"),
            ("DEMO_API_KEY", "a b"),
            ("DEMO_DISTANCE_MS_MAX", "0"),
        ] {
            let views = examine_set(&[(name, value)]);
            let view = find(&views, name);
            assert!(view.fault.is_some() && view.value.is_none(), "{view:?}");
        }
        let views = examine_set(&[]);
        assert_eq!(find(&views, "KEY_SECRET").fault.as_deref(), Some("is not set"));
        assert_eq!(views.iter().filter(|view| view.fault.is_some()).count(), 1);
    }

    #[test]
    fn what_never_matches_is_doubted() {
        let doubt = |name: &'static str, value: &str| {
            let secret = "s".repeat(32);
            let clerk = [("CLERK_JWKS_URL", "https://h/jwks"), ("CLERK_AUTHORIZED_PARTIES", "*")];
            let clerk = if name == CLERK_ISSUER { &clerk[..] } else { &[] };
            let views = examine_set(&[&[("KEY_SECRET", secret.as_str()), (name, value)], clerk].concat());
            let view = find(&views, name);
            assert_eq!((&view.fault, view.value.as_deref()), (&None, Some(value)));
            view.doubt.is_some()
        };
        for good in ["https://a.example", "https://a.example, http://localhost:5173,", "http://[::1]:80"] {
            assert!(!doubt(ALLOWED_ORIGINS, good), "{good}");
        }
        for bad in ["https://a.example/", "a.example", "*", "https://A.example", "https://a.example https://b.example"]
        {
            assert!(doubt(ALLOWED_ORIGINS, bad), "{bad}");
        }
        for good in ["https://clerk.example", "https://a.example/__clerk"] {
            assert!(!doubt(CLERK_ISSUER, good), "{good}");
        }
        for bad in ["https://clerk.example/", "clerk.example", "http://clerk.example", "https://"] {
            assert!(doubt(CLERK_ISSUER, bad), "{bad}");
        }
    }
}
