//! What the operator sets: variables and secrets of the Worker.

use crate::clerk::issuer::Issuer;
use crate::clerk::webhook_signature::SigningKey;
use crate::directory::mood;
use crate::directory::secret::{KeyRing, Secret};
use crate::organization::limiter::Rate;
use crate::refusal::Refusal;
use crate::responder::settings::{Chat, Service};

/// Read once per isolate. A setting that is missing or wrong is reported by
/// every request that needs it, and by `/ready`, never papered over.
#[derive(Debug)]
pub struct Configuration {
    /// `KEY_SECRET` and, while a rotation lasts, `KEY_SECRET_PREVIOUS`.
    pub key_ring: KeyRing,
    /// `ADMIN_TOKEN`: the admin API is closed without it.
    pub admin_token: Option<Secret>,
    /// `ALLOWED_ORIGINS`, separated by commas.
    pub allowed_origins: Vec<String>,
    /// `PUBLIC_REQUESTS_PER_SECOND` and `PUBLIC_BURST`: the bucket of one client
    /// address, for public paths and failed authentication.
    pub public_rate: Rate,
    /// `CLERK_WEBHOOK_SECRET` and, while a rotation lasts, `CLERK_WEBHOOK_SECRET_PREVIOUS`. No
    /// events are taken without the first.
    pub clerk_webhook_keys: Vec<SigningKey>,
    /// `MOOD_HALF_LIFE_HOURS`, in milliseconds.
    pub mood_half_life_ms: u64,
    /// Who answers messages. `None`, when neither `RESPONDER_URL` is set nor the binding
    /// `AI` is there, is an echo.
    pub chat: Option<Chat>,
    /// Who signs session tokens. `None`, when nothing of Clerk's is set: nobody is signed in.
    pub issuer: Option<Issuer>,
    /// `DEMO_API_KEY`: what `cargo dev` signs the demo page in with.
    pub demo_api_key: Option<String>,
}

const PUBLIC_REQUESTS_PER_SECOND_DEFAULT: u32 = 50;
const PUBLIC_BURST_DEFAULT: u32 = 500;
/// [`mood::HALF_LIFE_MS_DEFAULT`].
const MOOD_HALF_LIFE_HOURS_DEFAULT: u32 = 24;
const HTTP_MODEL_DEFAULT: &str = "gpt-4o-mini";
/// Answers without thinking aloud first, in many languages.
/// <https://developers.cloudflare.com/workers-ai/models/>
const WORKERS_AI_MODEL_DEFAULT: &str = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";
const RESPONDER_TIMEOUT_MS_DEFAULT: u32 = 30_000;
/// Nobody waits longer for an answer, and every turn that waits holds a request open.
const RESPONDER_TIMEOUT_MS_MAX: u32 = 600_000;

/// A century, up to which decay is exact.
const MOOD_HALF_LIFE_HOURS_MAX: u32 = 876_600;

/// What is appended to the URL of an API.
const COMPLETIONS: &str = "/chat/completions";

impl Configuration {
    /// How long a turn may take to be answered, in milliseconds.
    pub fn turn_budget_ms(&self) -> i64 {
        i64::from(self.chat.as_ref().map_or(RESPONDER_TIMEOUT_MS_DEFAULT, |chat| chat.timeout_ms))
    }

    /// `has_ai` says whether the Worker has the binding `AI`. A URL that is set goes before it.
    pub fn read(variable: impl Fn(&str) -> Option<String>, has_ai: bool) -> Result<Self, Refusal> {
        let secret = |name: &str| {
            variable(name)
                .filter(|text| !text.is_empty())
                .map(Secret::new)
                .transpose()
                .map_err(|refusal| Refusal::new(format!("{name}: {refusal}")))
        };
        let number = |name: &str, default: u32| match variable(name) {
            None => Ok(default),
            Some(text) => text
                .parse::<u32>()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| Refusal::new(format!("{name}: must be a whole number above 0"))),
        };
        let text = |name: &str| {
            let text = variable(name).filter(|text| !text.is_empty());
            // A header takes no other characters, a URL hardly any, and the model's name has none.
            if text.iter().flat_map(|text| text.bytes()).all(|byte| byte.is_ascii_graphic()) {
                Ok(text)
            } else {
                Err(Refusal::new(format!("{name}: must consist of visible ASCII characters")))
            }
        };
        let (model, key) = (text("RESPONDER_MODEL")?, text("RESPONDER_KEY")?);
        let timeout_ms = number("RESPONDER_TIMEOUT_MS", RESPONDER_TIMEOUT_MS_DEFAULT)?;
        if timeout_ms > RESPONDER_TIMEOUT_MS_MAX {
            return Err(Refusal::new(format!("RESPONDER_TIMEOUT_MS: must not be above {RESPONDER_TIMEOUT_MS_MAX}")));
        }
        let half_life_hours = number("MOOD_HALF_LIFE_HOURS", MOOD_HALF_LIFE_HOURS_DEFAULT)?;
        if half_life_hours > MOOD_HALF_LIFE_HOURS_MAX {
            return Err(Refusal::new(format!("MOOD_HALF_LIFE_HOURS: must not be above {MOOD_HALF_LIFE_HOURS_MAX}")));
        }
        let (service, default) = match text("RESPONDER_URL")? {
            Some(url) => {
                let url = completions(&url).ok_or_else(|| {
                    Refusal::new(
                        "RESPONDER_URL: must be a URL such as https://api.example/v1, without a user and a fragment",
                    )
                })?;
                (Some(Service::Http { url, key }), HTTP_MODEL_DEFAULT)
            }
            None => (has_ai.then_some(Service::WorkersAi), WORKERS_AI_MODEL_DEFAULT),
        };
        let chat = service.map(|service| {
            let model = model.unwrap_or_else(|| default.to_owned());
            Chat { service, model, timeout_ms }
        });
        let demo_api_key = text("DEMO_API_KEY")?;
        let signing_key = |name: &str| {
            let key = text(name)?.map(|text| SigningKey::parse(&text)).transpose();
            key.map_err(|refusal| Refusal::new(format!("{name}: {refusal}")))
        };
        let (signing, previous) = (signing_key("CLERK_WEBHOOK_SECRET")?, signing_key("CLERK_WEBHOOK_SECRET_PREVIOUS")?);
        let clerk_webhook_keys = signing.map_or(Vec::new(), |key| [key].into_iter().chain(previous).collect());
        let allowed_origins = variable("ALLOWED_ORIGINS").unwrap_or_default();
        Ok(Self {
            key_ring: KeyRing {
                current: secret("KEY_SECRET")?.ok_or_else(|| Refusal::new("KEY_SECRET: is not set"))?,
                previous: secret("KEY_SECRET_PREVIOUS")?,
            },
            admin_token: secret("ADMIN_TOKEN")?,
            allowed_origins: allowed_origins
                .split(',')
                .map(|origin| origin.trim().to_owned())
                .filter(|origin| !origin.is_empty())
                .collect(),
            public_rate: Rate::new(
                number("PUBLIC_REQUESTS_PER_SECOND", PUBLIC_REQUESTS_PER_SECOND_DEFAULT)?,
                number("PUBLIC_BURST", PUBLIC_BURST_DEFAULT)?,
            ),
            clerk_webhook_keys,
            mood_half_life_ms: u64::from(half_life_hours).saturating_mul(mood::HOUR_MS),
            chat,
            issuer: Issuer::read(&variable)?,
            demo_api_key,
        })
    }
}

/// Where an API takes requests for completions: below its URL, unless that already says so.
fn completions(url: &str) -> Option<String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split('/').next().and_then(|before| before.split('?').next()).unwrap_or_default();
    let is_odd = |rest: &str| rest.contains('#') || rest.contains('\\');
    if authority.is_empty() || authority.starts_with(':') || authority.contains('@') || is_odd(rest) {
        return None;
    }
    let (path, query) = url.find('?').and_then(|index| url.split_at_checked(index)).unwrap_or((url, ""));
    let path = path.trim_end_matches('/');
    Some([path, if path.ends_with(COMPLETIONS) { "" } else { COMPLETIONS }, query].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(variables: &[(&str, &str)], has_ai: bool) -> Result<Configuration, Refusal> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Configuration::read(variable, has_ai)
    }

    fn read(variables: &[(&str, &str)]) -> Result<Configuration, Refusal> {
        read_with(variables, false)
    }

    #[test]
    fn says_which_setting_is_wrong() {
        let secret = "s".repeat(32);
        assert!(read(&[]).unwrap_err().0.starts_with("KEY_SECRET:"));
        assert!(read(&[("KEY_SECRET", "short")]).unwrap_err().0.starts_with("KEY_SECRET:"));
        assert!(read(&[("KEY_SECRET", &secret), ("ADMIN_TOKEN", "x")]).unwrap_err().0.starts_with("ADMIN_TOKEN:"));
        assert!(read(&[("KEY_SECRET", &secret), ("PUBLIC_BURST", "0")]).unwrap_err().0.starts_with("PUBLIC_BURST:"));
        let good =
            read(&[("KEY_SECRET", &secret), ("ALLOWED_ORIGINS", "https://a.example, https://b.example,")]).unwrap();
        assert_eq!(good.allowed_origins, ["https://a.example", "https://b.example"]);
        assert!(good.admin_token.is_none());
    }

    fn read_chat(variables: &[(&str, &str)]) -> Result<Option<Chat>, Refusal> {
        let secret = "s".repeat(32);
        read(&[variables, &[("KEY_SECRET", &secret)]].concat()).map(|configuration| configuration.chat)
    }

    /// The model, and the URL unless it is asked by the binding.
    fn read_service(variables: &[(&str, &str)], has_ai: bool) -> Option<(String, Option<String>)> {
        let secret = "s".repeat(32);
        let read = read_with(&[variables, &[("KEY_SECRET", &secret)]].concat(), has_ai).unwrap();
        read.chat.map(|chat| match chat.service {
            Service::Http { url, .. } => (chat.model, Some(url)),
            Service::WorkersAi => (chat.model, None),
        })
    }

    #[test]
    fn completions_are_asked_for_below_the_url() {
        for (given, expected) in [
            ("https://h/v1", "https://h/v1/chat/completions"),
            ("https://h/v1/", "https://h/v1/chat/completions"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/chat/completions"),
            ("https://h/v1/chat/completions", "https://h/v1/chat/completions"),
            ("https://h/v1/chat/completions/", "https://h/v1/chat/completions"),
            ("https://h/d?api-version=1/2", "https://h/d/chat/completions?api-version=1/2"),
            ("https://h?q", "https://h/chat/completions?q"),
        ] {
            let (_, url) = read_service(&[("RESPONDER_URL", given)], false).unwrap();
            assert_eq!(url.as_deref(), Some(expected), "{given}");
        }
    }

    #[test]
    fn the_responder_has_defaults_and_without_a_url_there_is_none() {
        assert!(read_chat(&[]).unwrap().is_none());
        assert!(read_chat(&[("RESPONDER_URL", ""), ("RESPONDER_KEY", "k")]).unwrap().is_none());
        let chat = read_chat(&[("RESPONDER_URL", "https://h/v1"), ("RESPONDER_KEY", "")]).unwrap().unwrap();
        assert_eq!((chat.model.as_str(), chat.timeout_ms), ("gpt-4o-mini", 30_000));
        assert!(matches!(chat.service, Service::Http { key: None, .. }));
        let settings = [
            ("RESPONDER_URL", "https://h/v1"),
            ("RESPONDER_MODEL", "a/b:1"),
            ("RESPONDER_KEY", "sk-1"),
            ("RESPONDER_TIMEOUT_MS", "600000"),
        ];
        let chat = read_chat(&settings).unwrap().unwrap();
        assert_eq!(format!("{chat:?}"), "Chat");
        assert_eq!((chat.model.as_str(), chat.timeout_ms), ("a/b:1", 600_000));
        assert!(matches!(chat.service, Service::Http { key: Some(key), .. } if key == "sk-1"));
    }

    #[test]
    fn moods_have_a_half_life_of_a_day_unless_told_otherwise() {
        let secret = "s".repeat(32);
        assert_eq!(read(&[("KEY_SECRET", &secret)]).unwrap().mood_half_life_ms, mood::HALF_LIFE_MS_DEFAULT);
        let set = read(&[("KEY_SECRET", &secret), ("MOOD_HALF_LIFE_HOURS", "2")]).unwrap();
        assert_eq!(set.mood_half_life_ms, 7_200_000);
    }

    #[test]
    fn the_binding_answers_unless_a_url_is_set() {
        assert_eq!(read_service(&[], false), None);
        assert_eq!(read_service(&[], true), Some((WORKERS_AI_MODEL_DEFAULT.to_owned(), None)));
        assert_eq!(read_service(&[("RESPONDER_URL", "")], true), Some((WORKERS_AI_MODEL_DEFAULT.to_owned(), None)));
        assert_eq!(read_service(&[("RESPONDER_MODEL", "@cf/a/b")], true), Some(("@cf/a/b".to_owned(), None)));
        let (model, url) = read_service(&[("RESPONDER_URL", "https://h/v1")], true).unwrap();
        assert_eq!((model.as_str(), url.as_deref()), ("gpt-4o-mini", Some("https://h/v1/chat/completions")));
    }

    #[test]
    fn says_which_setting_of_turns_is_wrong() {
        for (name, value) in [
            ("RESPONDER_URL", "h/v1"),
            ("RESPONDER_URL", "ftp://h"),
            ("RESPONDER_URL", "https://"),
            ("RESPONDER_URL", "https:///v1"),
            ("RESPONDER_URL", "https://:80/v1"),
            ("RESPONDER_URL", "https://?q"),
            ("RESPONDER_URL", "https://user:password@h/v1"),
            ("RESPONDER_URL", "https://h/v1#x"),
            ("RESPONDER_URL", "https://h\\v1"),
            ("RESPONDER_URL", " https://h/v1"),
            ("RESPONDER_URL", "https://h/ü"),
            ("RESPONDER_MODEL", "a b"),
            ("RESPONDER_KEY", "k\r\nX: y"),
            ("RESPONDER_TIMEOUT_MS", ""),
            ("RESPONDER_TIMEOUT_MS", "0"),
            ("RESPONDER_TIMEOUT_MS", "-1"),
            ("RESPONDER_TIMEOUT_MS", "30s"),
            ("RESPONDER_TIMEOUT_MS", "600001"),
            ("MOOD_HALF_LIFE_HOURS", "0"),
            ("MOOD_HALF_LIFE_HOURS", "0.5"),
            ("MOOD_HALF_LIFE_HOURS", "876601"),
        ] {
            let refusal = read_chat(&[(name, value)]).expect_err(value);
            assert!(refusal.0.starts_with(&format!("{name}: ")), "{value}: {refusal}");
            assert!(!refusal.0.contains("X: y") && !refusal.0.contains("password"), "{refusal}");
        }
    }

    #[test]
    fn events_are_taken_with_either_secret_once_there_is_one() {
        let (secret, good) = ("s".repeat(32), "whsec_plJ3nmyCDGBKInavdOK15jsl");
        let keys = |variables: &[(&str, &str)]| {
            let read = read(&[variables, &[("KEY_SECRET", &secret)]].concat());
            read.map(|configuration| configuration.clerk_webhook_keys.len())
        };
        let (name, previous) = ("CLERK_WEBHOOK_SECRET", "CLERK_WEBHOOK_SECRET_PREVIOUS");
        assert_eq!(keys(&[]), Ok(0));
        assert_eq!(keys(&[(name, "")]), Ok(0));
        assert_eq!(keys(&[(previous, good)]), Ok(0));
        assert_eq!(keys(&[(name, good)]), Ok(1));
        assert_eq!(keys(&[(name, good), (previous, good)]), Ok(2));
        for name in [name, previous] {
            let refusal = keys(&[(name, "whsec_secret")]).unwrap_err();
            assert!(refusal.0.starts_with(&format!("{name}: ")) && !refusal.0.contains("whsec_secret"), "{refusal}");
        }
    }
}
