//! The issuer of session tokens, as the operator configures it.

use std::rc::Rc;

use super::key::PublicKey;
use crate::refusal::Refusal;

/// The issuer whose tokens are accepted.
#[derive(Debug)]
pub struct Issuer {
    /// `CLERK_ISSUER`: `iss` must be exactly this text.
    pub url: String,
    pub keys: Keys,
    /// `CLERK_AUTHORIZED_PARTIES`: the origins for which a token may be made.
    pub authorized_parties: AuthorizedParties,
}

/// The parties (`azp`) whose tokens are accepted.
#[derive(Debug)]
pub enum AuthorizedParties {
    /// `*`: every app of the issuer, and tokens that name none.
    Any,
    Listed(Vec<String>),
}

/// The source of the issuer's keys.
#[derive(Debug)]
pub enum Keys {
    /// `CLERK_JWT_KEY`: a single key, which needs no network.
    Set(Rc<PublicKey>),
    /// `CLERK_JWKS_URL`.
    Published { url: String },
}

impl Issuer {
    /// Whether a token made for this party (`azp`) is accepted.
    pub fn authorizes(&self, party: Option<&str>) -> bool {
        match &self.authorized_parties {
            AuthorizedParties::Any => true,
            AuthorizedParties::Listed(parties) => party.is_some_and(|party| parties.iter().any(|known| known == party)),
        }
    }

    /// Reads the settings. `None` if none is set: then every session token is refused.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Refusal> {
        let text = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let keys = match (text("CLERK_JWT_KEY"), text("CLERK_JWKS_URL")) {
            (Some(pem), _) => {
                let key = PublicKey::of_pem(&pem);
                Some(Keys::Set(Rc::new(key.map_err(|refusal| Refusal::new(format!("CLERK_JWT_KEY: {refusal}")))?)))
            }
            (None, Some(url)) if trustworthy(&url) => Some(Keys::Published { url }),
            (None, Some(_)) => return Err(Refusal::new("CLERK_JWKS_URL: must be a URL that begins with https://")),
            (None, None) => None,
        };
        match (text("CLERK_ISSUER"), keys) {
            (Some(url), Some(keys)) => {
                let parties = text("CLERK_AUTHORIZED_PARTIES").unwrap_or_default();
                Ok(Some(Self { url, keys, authorized_parties: AuthorizedParties::read(&parties)? }))
            }
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Refusal::new("CLERK_ISSUER: must be set along with the keys")),
            (Some(_), None) => {
                Err(Refusal::new("CLERK_ISSUER: is set, and neither CLERK_JWKS_URL nor CLERK_JWT_KEY is"))
            }
        }
    }
}

impl AuthorizedParties {
    /// Reads origins separated by commas, or `*`.
    fn read(text: &str) -> Result<Self, Refusal> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let parties: Vec<_> = text.split(',').map(str::trim).filter(|party| !party.is_empty()).collect();
        if parties.is_empty() || parties.contains(&"*") {
            let reason = "must be the origins of your apps, or * alone for every app of the issuer";
            return Err(Refusal::new(format!("CLERK_AUTHORIZED_PARTIES: {reason}")));
        }
        Ok(Self::Listed(parties.into_iter().map(str::to_owned).collect()))
    }
}

/// Whether the answer from a URL cannot be changed on its way, as an attacker that changes it chooses the
/// keys: HTTPS, or the same machine.
fn trustworthy(url: &str) -> bool {
    let local = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"];
    let safe = url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        || local.iter().any(|prefix| url.starts_with(prefix));
    safe && url.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'@' | b'\\' | b'#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Issuer>, Refusal> {
        Issuer::read(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    const ISSUER: (&str, &str) = ("CLERK_ISSUER", "https://clerk.example");
    const ANY: (&str, &str) = ("CLERK_AUTHORIZED_PARTIES", "*");

    #[test]
    fn an_issuer_has_a_name_and_keys_or_is_not_there() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("CLERK_ISSUER", ""), ("CLERK_JWKS_URL", " ")]).unwrap().is_none());
        let url = ("CLERK_JWKS_URL", "https://clerk.example/.well-known/jwks.json");
        let issuer = read(&[ISSUER, url, ANY]).unwrap().unwrap();
        assert!(
            matches!(&issuer.keys, Keys::Published { url } if url == "https://clerk.example/.well-known/jwks.json")
        );
        assert!(issuer.authorizes(None) && issuer.authorizes(Some("https://any.example")));
        for (variables, name) in [(&[ISSUER][..], "CLERK_ISSUER"), (&[url], "CLERK_ISSUER")] {
            assert!(read(variables).unwrap_err().0.starts_with(name));
        }
        assert!(read(&[ISSUER, url, ("CLERK_JWT_KEY", "x")]).unwrap_err().0.starts_with("CLERK_JWT_KEY:"));
    }

    #[test]
    fn keys_come_only_over_https_or_from_the_same_machine() {
        for good in ["https://h/jwks", "http://127.0.0.1:8080/jwks", "http://localhost:1/", "http://[::1]:1/"] {
            assert!(read(&[ISSUER, ANY, ("CLERK_JWKS_URL", good)]).is_ok(), "{good}");
        }
        for bad in [
            "http://h/jwks",
            "http://127.0.0.1.evil.example/",
            "http://localhost.evil.example:80/",
            "https://",
            "https:///jwks",
            "https://user:password@h/jwks",
            "http://127.0.0.1:80@evil.example/",
            "https://h/a b",
            "ftp://h/",
            "jwks.json",
        ] {
            let refusal = read(&[ISSUER, ("CLERK_JWKS_URL", bad)]).expect_err(bad);
            assert!(refusal.0.starts_with("CLERK_JWKS_URL: ") && !refusal.0.contains("password"), "{refusal}");
        }
    }

    #[test]
    fn the_parties_are_said_or_every_party_is_allowed_by_name() {
        for wrong in ["", " ", ",", "*,https://a.example"] {
            let refusal = read(&[ISSUER, ("CLERK_JWKS_URL", "https://h/"), ("CLERK_AUTHORIZED_PARTIES", wrong)]);
            assert!(refusal.expect_err(wrong).0.starts_with("CLERK_AUTHORIZED_PARTIES: "), "{wrong}");
        }
        let parties = ("CLERK_AUTHORIZED_PARTIES", "https://a.example, https://b.example,");
        let issuer = read(&[ISSUER, ("CLERK_JWKS_URL", "https://h/"), parties]).unwrap().unwrap();
        assert!(issuer.authorizes(Some("https://a.example")) && issuer.authorizes(Some("https://b.example")));
        assert!(!issuer.authorizes(Some("https://c.example")) && !issuer.authorizes(Some("")));
        assert!(!issuer.authorizes(None));
    }
}
