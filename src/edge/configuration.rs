//! The configuration, which the operator sets by variables and secrets of the Worker.

use crate::clerk::issuer::Issuer;
use crate::clerk::webhook_signature::SigningKey;
use crate::directory::mood;
use crate::directory::placement::Jurisdiction;
use crate::directory::secret::{KeyRing, Secret};
use crate::input::choice;
use crate::organization::limiter::Rate;
use crate::refusal::Refusal;
use crate::responder::settings::{Chat, Service};

/// An isolate reads the configuration once. If a setting is missing or wrong, `/ready` and every request that needs
/// it report it. No default replaces a wrong setting.
#[derive(Debug)]
pub struct Configuration {
    /// `KEY_SECRET` and, during a rotation, `KEY_SECRET_PREVIOUS`.
    pub key_ring: KeyRing,
    /// `ADMIN_TOKEN`. Without it the admin API refuses every request.
    pub admin_token: Option<Secret>,
    /// `ALLOWED_ORIGINS`, separated by commas.
    pub allowed_origins: Vec<String>,
    /// `PUBLIC_REQUESTS_PER_SECOND` and `PUBLIC_BURST`: the bucket of a client address, for public paths and failed
    /// authentication.
    pub public_rate: Rate,
    /// `CLERK_WEBHOOK_SECRET` and, during a rotation, `CLERK_WEBHOOK_SECRET_PREVIOUS`. Without the first the Worker
    /// accepts no events.
    pub clerk_webhook_keys: Vec<SigningKey>,
    /// `MOOD_HALF_LIFE_HOURS`, in milliseconds.
    pub mood_half_life_ms: u64,
    /// The model that answers messages. `None` if neither `RESPONDER_URL` nor the binding `AI` is set: then an echo
    /// answers.
    pub chat: Option<Chat>,
    /// The issuer of session tokens. `None` if none of Clerk's settings is set: then every session token is
    /// refused.
    pub issuer: Option<Issuer>,
    /// `JURISDICTION`: where all objects run and store their data. Then nothing is read at the edge, because KV knows no
    /// jurisdiction.
    pub jurisdiction: Option<Jurisdiction>,
    /// `DEMO_API_KEY`: the key with which `cargo dev` signs in the demo page.
    pub demo_api_key: Option<String>,
    /// `DEMO_DISTANCE_MS_MAX`: the longest distance that the demo page may ask for, in milliseconds; 0 where none is set.
    pub demo_distance_ms_max: u32,
}

const PUBLIC_REQUESTS_PER_SECOND_DEFAULT: u32 = 50;
const PUBLIC_BURST_DEFAULT: u32 = 500;
/// [`mood::HALF_LIFE_MS_DEFAULT`].
const MOOD_HALF_LIFE_HOURS_DEFAULT: u32 = 24;
const HTTP_MODEL_DEFAULT: &str = "gpt-4o-mini";
/// This model answers in many languages, without a chain of thought in the answer.
/// <https://developers.cloudflare.com/workers-ai/models/>
const WORKERS_AI_MODEL_DEFAULT: &str = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";
const RESPONDER_TIMEOUT_MS_DEFAULT: u32 = 30_000;
/// No person waits longer for an answer, and every waiting turn holds a request open.
const RESPONDER_TIMEOUT_MS_MAX: u32 = 600_000;

/// Longer than the way around the earth and back.
const DEMO_DISTANCE_MS_MAX_MAX: u32 = 1_000;

/// A century, up to which the decay of moods is monotone.
const MOOD_HALF_LIFE_HOURS_MAX: u32 = 876_600;

/// The path of completions, below the URL of an API.
const COMPLETIONS: &str = "/chat/completions";

impl Configuration {
    /// The longest time for the answer of a turn, in milliseconds.
    pub fn turn_budget_ms(&self) -> i64 {
        i64::from(self.chat.as_ref().map_or(RESPONDER_TIMEOUT_MS_DEFAULT, |chat| chat.timeout_ms))
    }

    /// Reads the settings. `has_ai` says whether the Worker has the binding `AI`, which is used if no URL is set.
    pub fn read(variable: impl Fn(&str) -> Option<String>, has_ai: bool) -> Result<Self, Refusal> {
        let variables = Variables(&variable);
        let half_life_hours =
            variables.number("MOOD_HALF_LIFE_HOURS", MOOD_HALF_LIFE_HOURS_DEFAULT, MOOD_HALF_LIFE_HOURS_MAX)?;
        let (signing, previous) =
            (variables.signing_key("CLERK_WEBHOOK_SECRET")?, variables.signing_key("CLERK_WEBHOOK_SECRET_PREVIOUS")?);
        let chat = variables.chat(has_ai)?;
        let allowed_origins = variable("ALLOWED_ORIGINS").unwrap_or_default();
        Ok(Self {
            key_ring: KeyRing {
                current: variables.secret("KEY_SECRET")?.ok_or_else(|| Refusal::new("KEY_SECRET: is not set"))?,
                previous: variables.secret("KEY_SECRET_PREVIOUS")?,
            },
            admin_token: variables.secret("ADMIN_TOKEN")?,
            allowed_origins: allowed_origins
                .split(',')
                .map(|origin| origin.trim().to_owned())
                .filter(|origin| !origin.is_empty())
                .collect(),
            public_rate: Rate::new(
                variables.number("PUBLIC_REQUESTS_PER_SECOND", PUBLIC_REQUESTS_PER_SECOND_DEFAULT, u32::MAX)?,
                variables.number("PUBLIC_BURST", PUBLIC_BURST_DEFAULT, u32::MAX)?,
            ),
            clerk_webhook_keys: signing.map_or(Vec::new(), |key| [key].into_iter().chain(previous).collect()),
            mood_half_life_ms: u64::from(half_life_hours).saturating_mul(mood::HOUR_MS),
            chat,
            issuer: Issuer::read(&variable)?,
            jurisdiction: variables.jurisdiction()?,
            demo_api_key: variables.text("DEMO_API_KEY")?,
            demo_distance_ms_max: variables.number("DEMO_DISTANCE_MS_MAX", 0, DEMO_DISTANCE_MS_MAX_MAX)?,
        })
    }
}

/// The variables and secrets of the Worker. Each refusal begins with the name of the setting.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// A secret. `None` if it is absent or empty.
    fn secret(&self, name: &str) -> Result<Option<Secret>, Refusal> {
        let text = (self.0)(name).filter(|text| !text.is_empty());
        text.map(Secret::new).transpose().map_err(|refusal| Refusal::new(format!("{name}: {refusal}")))
    }

    /// A whole number from 1 to `max`, and a default if it is absent.
    fn number(&self, name: &str, default: u32, max: u32) -> Result<u32, Refusal> {
        let Some(text) = (self.0)(name) else { return Ok(default) };
        let number = text.parse::<u32>().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| Refusal::new(format!("{name}: must be a whole number above 0")))?;
        if number > max { Err(Refusal::new(format!("{name}: must not be above {max}"))) } else { Ok(number) }
    }

    /// A text of visible ASCII characters. `None` if it is absent or empty.
    fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        let text = (self.0)(name).filter(|text| !text.is_empty());
        // A header allows no other characters, a URL has hardly any, and the name of a model has none.
        if text.iter().flat_map(|text| text.bytes()).all(|byte| byte.is_ascii_graphic()) {
            Ok(text)
        } else {
            Err(Refusal::new(format!("{name}: must consist of visible ASCII characters")))
        }
    }

    fn jurisdiction(&self) -> Result<Option<Jurisdiction>, Refusal> {
        let name = self.text("JURISDICTION")?;
        let jurisdiction = name.map(|name| choice(&name)).transpose();
        jurisdiction.map_err(|refusal| Refusal::new(format!("JURISDICTION: {refusal}")))
    }

    fn signing_key(&self, name: &str) -> Result<Option<SigningKey>, Refusal> {
        let key = self.text(name)?.map(|text| SigningKey::parse(&text)).transpose();
        key.map_err(|refusal| Refusal::new(format!("{name}: {refusal}")))
    }

    fn chat(&self, has_ai: bool) -> Result<Option<Chat>, Refusal> {
        let (model, key) = (self.text("RESPONDER_MODEL")?, self.text("RESPONDER_KEY")?);
        let timeout_ms = self.number("RESPONDER_TIMEOUT_MS", RESPONDER_TIMEOUT_MS_DEFAULT, RESPONDER_TIMEOUT_MS_MAX)?;
        let (service, default) = match self.text("RESPONDER_URL")? {
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
        Ok(service.map(|service| {
            let model = model.unwrap_or_else(|| default.to_owned());
            Chat { service, model, timeout_ms }
        }))
    }
}

/// The URL for completions of an API. The path is appended unless the URL ends with it already.
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
    fn moods_have_a_half_life_of_a_day_by_default() {
        let secret = "s".repeat(32);
        assert_eq!(read(&[("KEY_SECRET", &secret)]).unwrap().mood_half_life_ms, mood::HALF_LIFE_MS_DEFAULT);
        let set = read(&[("KEY_SECRET", &secret), ("MOOD_HALF_LIFE_HOURS", "2")]).unwrap();
        assert_eq!(set.mood_half_life_ms, 7_200_000);
    }

    #[test]
    fn the_largest_numbers_are_taken() {
        let secret = "s".repeat(32);
        let settings =
            [("KEY_SECRET", secret.as_str()), ("MOOD_HALF_LIFE_HOURS", "876600"), ("DEMO_DISTANCE_MS_MAX", "1000")];
        let configuration = read(&settings).unwrap();
        assert_eq!(configuration.mood_half_life_ms, 876_600 * 3_600_000);
        assert_eq!(configuration.demo_distance_ms_max, 1_000);
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
            ("DEMO_DISTANCE_MS_MAX", "0"),
            ("DEMO_DISTANCE_MS_MAX", "1001"),
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
