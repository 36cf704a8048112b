//! A JSON Web Token in its compact form (RFC 7515, section 7.1).
//!
//! Invariant: only the signed part is read, and it has one reading: strict base64url without padding, JSON
//! without a member named twice, and RS256 as the only algorithm. A header that brings its own key, or that
//! names an extension, is refused.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::json::{self, Present};

/// The largest token, in bytes: twice the size of the cookie in which Clerk keeps it.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A well-formed token whose signature is not checked yet.
#[derive(Debug)]
pub struct SessionToken<'a> {
    /// The name of the issuer's key that the token claims to be signed with.
    pub key_id: Option<String>,
    /// The payload.
    pub claims: Vec<u8>,
    /// The signed part of the token.
    pub signed: &'a str,
    pub signature: Vec<u8>,
}

impl<'a> SessionToken<'a> {
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header = decode(header)?;
        let key_id = read::<Header>(&header)?.into_key_id()?;
        Some(Self { key_id, claims: decode(claims)?, signed, signature: decode(signature)? })
    }
}

/// The header parameters that decide whether a token is accepted.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Header {
    alg: String,
    /// A media type is compared without regard to case (RFC 7515, section 4.1.9). The same issuer may sign
    /// tokens of other kinds, which name their kind here, such as `at+jwt` (RFC 9068).
    typ: Present<String>,
    kid: Present<String>,
    // These four say where the key is (RFC 7515, sections 4.1.2–4.1.6), which the sender of a token must not
    // choose.
    jku: Present<IgnoredAny>,
    jwk: Present<IgnoredAny>,
    x5u: Present<IgnoredAny>,
    x5c: Present<IgnoredAny>,
    /// Names extensions that a reader must understand (section 4.1.11). This one understands none.
    crit: Present<IgnoredAny>,
}

impl Header {
    /// The name of the key. `None` if the header is refused.
    fn into_key_id(self) -> Option<Option<String>> {
        let is_refused = self.alg != "RS256"
            || self.typ.0.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT"))
            || [self.jku, self.jwk, self.x5u, self.x5c, self.crit].iter().any(|refused| refused.0.is_some());
        (!is_refused).then_some(self.kid.0)
    }
}

/// Reads a JSON object that names no member twice, at any depth.
pub fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    let object = json::check(bytes).ok().filter(|value| json::is_object(value))?;
    serde_json::from_str(object.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header))
    }

    fn parses(text: &str) -> bool {
        SessionToken::parse(text).is_some()
    }

    #[test]
    fn a_token_has_three_parts() {
        let text = token(r#"{"alg":"RS256","kid":"k","typ":"jwt","x5t":"t"}"#);
        let parsed = SessionToken::parse(&text).unwrap();
        assert_eq!(parsed.key_id.as_deref(), Some("k"));
        assert_eq!((parsed.claims.as_slice(), parsed.signature.as_slice()), (&b"{}"[..], &b"sig"[..]));
        assert_eq!(format!("{}.c2ln", parsed.signed), text);
        let [header, claims, signature]: [&str; 3] = text.split('.').collect::<Vec<_>>().try_into().unwrap();
        for bad in [
            String::new(),
            header.to_owned(),
            format!("{header}.{claims}"),
            format!("{text}."),
            format!(".{text}"),
            format!("{text}.{signature}"),
            format!(".{claims}.{signature}"),
            format!("{header}.{claims}.{signature}."),
            format!("{header}=.{claims}.{signature}"),
            format!("{header}.{claims}=.{signature}"),
            format!("{header}.{claims}.{signature}=="),
            format!("{header}.{claims}.c2l+"),
            format!("{header}.{claims}.c2l/"),
            format!("{header}.{claims}.c2 ln"),
            format!("{header}.{claims}.c2ln\n"),
            // The last character has bits that belong to no byte.
            format!("{header}.{claims}.c2lnc3"),
            format!("{header}.{claims}.c2lnc"),
        ] {
            assert!(!parses(&bad), "{bad}");
        }
    }

    #[test]
    fn a_token_has_a_largest_size() {
        let text = token(r#"{"alg":"RS256"}"#);
        let padded = |length: usize| format!("{text}{}", "A".repeat(length - text.len()));
        assert!(parses(&padded(TOKEN_BYTES_MAX)));
        assert!(!parses(&padded(TOKEN_BYTES_MAX + 4)));
    }

    #[test]
    fn a_header_is_plain_and_names_rs256() {
        for good in [r#"{"alg":"RS256"}"#, r#" {"typ":"JWT", "alg":"RS256"}"#, r#"{"alg":"RS256","cat":"x","b":{}}"#] {
            assert!(parses(&token(good)), "{good}");
        }
        for bad in [
            "",
            "{",
            "[]",
            "null",
            "\"RS256\"",
            "{}",
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"rs256"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"RS512"}"#,
            r#"{"alg":"PS256"}"#,
            r#"{"alg":"ES256"}"#,
            r#"{"alg":null}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"none","alg":"RS256"}"#,
            r#"{"alg":"RS256","\u0061lg":"none"}"#,
            r#"{"alg":"RS256","kid":7}"#,
            r#"{"alg":"RS256","kid":null}"#,
            r#"{"alg":"RS256","typ":"at+jwt"}"#,
            r#"{"alg":"RS256","typ":7}"#,
            r#"{"alg":"RS256","crit":[]}"#,
            r#"{"alg":"RS256","crit":["exp"]}"#,
            r#"{"alg":"RS256","crit":null}"#,
            r#"{"alg":"RS256","b64":false,"crit":["b64"]}"#,
            r#"{"alg":"RS256","jku":"https://h/keys"}"#,
            r#"{"alg":"RS256","jwk":{"kty":"RSA"}}"#,
            r#"{"alg":"RS256","x5u":"https://h/cert"}"#,
            r#"{"alg":"RS256","x5c":["MII"]}"#,
            r#"{"alg":"RS256","x":{"a":1,"a":1}}"#,
            "{\"alg\":\"RS256\"}\u{0}",
        ] {
            assert!(!parses(&token(bad)), "{bad}");
        }
    }
}
