//! What the operator sets: variables and secrets of the Worker.

use crate::directory::Refusal;
use crate::directory::secret::{KeyRing, Secret};
use crate::organization::limiter::Rate;

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
}

const PUBLIC_REQUESTS_PER_SECOND_DEFAULT: u32 = 50;
const PUBLIC_BURST_DEFAULT: u32 = 500;

impl Configuration {
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Refusal> {
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Configuration, Refusal> {
        Configuration::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
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
}
