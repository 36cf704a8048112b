//! The configuration, which the operator sets by variables and secrets of the Worker.

use std::fmt;

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

/// Opens the admin API. Without it the API refuses every request.
const ADMIN_TOKEN: &str = "ADMIN_TOKEN";
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

    /// Reads the settings, and lists every one that is wrong. `has_ai` says whether the Worker has the binding `AI`, which
    /// is used if no URL is set.
    pub fn read(variable: impl Fn(&str) -> Option<String>, has_ai: bool) -> Result<Self, WrongSettings> {
        let variables = Variables(&variable);
        let mut wrong = WrongSettings::default();
        let key_secret = variables
            .secret("KEY_SECRET")
            .and_then(|secret| secret.ok_or_else(|| Refusal::new("KEY_SECRET: is not set")));
        let key_secret = wrong.note(key_secret);
        let key_secret_previous = wrong.note(variables.secret("KEY_SECRET_PREVIOUS"));
        wrong.note(variables.secret(ADMIN_TOKEN));
        let public_rate = wrong.note(variables.public_rate());
        let signing = wrong.note(variables.signing_key("CLERK_WEBHOOK_SECRET"));
        let signing_previous = wrong.note(variables.signing_key("CLERK_WEBHOOK_SECRET_PREVIOUS"));
        let half_life_hours =
            variables.number("MOOD_HALF_LIFE_HOURS", MOOD_HALF_LIFE_HOURS_DEFAULT, MOOD_HALF_LIFE_HOURS_MAX);
        let half_life_hours = wrong.note(half_life_hours);
        let chat = wrong.note(variables.chat(has_ai));
        let issuer = wrong.note(Issuer::read(&variable));
        let jurisdiction = wrong.note(variables.jurisdiction());
        let demo_api_key = wrong.note(variables.text("DEMO_API_KEY"));
        let demo_distance_ms_max = wrong.note(variables.number("DEMO_DISTANCE_MS_MAX", 0, DEMO_DISTANCE_MS_MAX_MAX));
        let read = || {
            Some(Self {
                key_ring: KeyRing { current: key_secret?, previous: key_secret_previous? },
                allowed_origins: items(&variable("ALLOWED_ORIGINS").unwrap_or_default()).map(str::to_owned).collect(),
                public_rate: public_rate?,
                clerk_webhook_keys: match (signing?, signing_previous?) {
                    (Some(key), previous) => [key].into_iter().chain(previous).collect(),
                    (None, _) => Vec::new(),
                },
                mood_half_life_ms: u64::from(half_life_hours?).saturating_mul(mood::HOUR_MS),
                chat: chat?,
                issuer: issuer?,
                jurisdiction: jurisdiction?,
                demo_api_key: demo_api_key?,
                demo_distance_ms_max: demo_distance_ms_max?,
            })
        };
        match read() {
            Some(configuration) if wrong.0.is_empty() => Ok(configuration),
            _ => Err(wrong),
        }
    }
}

/// Whether the operator has set this token. It is read apart from the other settings, so that the operator can ask what
/// is wrong with them.
pub fn is_admin_token(variable: impl Fn(&str) -> Option<String>, token: &str) -> bool {
    matches!(Variables(&variable).secret(ADMIN_TOKEN), Ok(Some(secret)) if secret.equals(token))
}

/// The items of a list that is separated by commas.
pub fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// Why the settings are not usable. Each refusal begins with the name of its setting.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct WrongSettings(pub Vec<Refusal>);

impl WrongSettings {
    /// Notes a refusal, and returns what was read.
    fn note<T>(&mut self, read: Result<T, Refusal>) -> Option<T> {
        read.map_err(|refusal| self.0.push(refusal)).ok()
    }
}

impl fmt::Display for WrongSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<&str> = self.0.iter().map(|refusal| refusal.0.as_str()).collect();
        formatter.write_str(&reasons.join("; "))
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

    fn public_rate(&self) -> Result<Rate, Refusal> {
        Ok(Rate::new(
            self.number("PUBLIC_REQUESTS_PER_SECOND", PUBLIC_REQUESTS_PER_SECOND_DEFAULT, u32::MAX)?,
            self.number("PUBLIC_BURST", PUBLIC_BURST_DEFAULT, u32::MAX)?,
        ))
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
mod tests;
