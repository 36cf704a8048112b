//! The claims of a session token (Clerk's session tokens, versions 1 and 2:
//! <https://clerk.com/docs/guides/sessions/session-tokens>).
//!
//! Invariant: a [`Session`] comes only from claims that are meant for this directory. They name the one
//! issuer and an authorized party, they are valid already, and the person has completed signing in.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::issuer::Issuer;
use super::token;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;
use crate::json::{Present, RawValue, Tolerant};

/// How far the issuer's clock may be ahead of the edge's, in milliseconds. Clerk allows the same.
const SKEW_MS: i64 = 5_000;

/// The longest email address, in bytes (RFC 5321, section 4.5.3.1).
const EMAIL_BYTES_MAX: usize = 320;

/// A signed-in person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub person_id: UserId,
    /// Present only if the operator adds it to tokens.
    pub email: Option<String>,
    /// The organization that the person acts for.
    pub organization: Option<ActiveOrganization>,
    /// The token is invalid from this instant on.
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveOrganization {
    pub id: String,
    pub slug: Option<String>,
    pub role: Option<String>,
}

/// The claims that are read. Those in [`Tolerant`] only tell more about the person.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Claims<'a> {
    iss: String,
    sub: String,
    #[serde(borrow)]
    exp: Option<&'a RawValue>,
    #[serde(borrow)]
    nbf: Present<&'a RawValue>,
    #[serde(borrow)]
    iat: Present<&'a RawValue>,
    azp: Present<String>,
    sts: Present<String>,
    aud: Present<IgnoredAny>,
    email: Tolerant<String>,
    o: Present<Tolerant<OrganizationClaim>>,
    org_id: Tolerant<String>,
    org_slug: Tolerant<String>,
    org_role: Tolerant<String>,
}

/// The active organization in version 2.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OrganizationClaim {
    id: Tolerant<String>,
    slg: Tolerant<String>,
    /// Without the prefix of roles.
    rol: Tolerant<String>,
}

impl Claims<'_> {
    fn into_organization(self) -> Option<ActiveOrganization> {
        if let Some(organization) = self.o.0 {
            let OrganizationClaim { id, slg, rol } = organization.0?;
            return Some(ActiveOrganization {
                id: id.0?,
                slug: slg.0,
                role: rol.0.map(|role| ["org:", &role].concat()),
            });
        }
        Some(ActiveOrganization { id: self.org_id.0?, slug: self.org_slug.0, role: self.org_role.0 })
    }
}

impl Session {
    /// Reads claims. `None` if they are not meant for this directory or not valid yet. The caller checks
    /// [`Self::expired`] after the signature.
    pub fn read(claims: &[u8], issuer: &Issuer, now: Timestamp) -> Option<Self> {
        let claims: Claims<'_> = token::read(claims)?;
        // A claim that is not a time counts as a time that never comes.
        let is_ahead = |claim: &RawValue| millis(claim).is_none_or(|ms| ms > now.millis().saturating_add(SKEW_MS));
        let expires_at = Timestamp::from_millis(millis(claims.exp?)?);
        let refused = claims.iss != issuer.url
            || !issuer.authorizes(claims.azp.0.as_deref())
            // `pending`: the person has not completed a required step after signing in.
            || claims.sts.0.as_ref().is_some_and(|status| status != "active")
            // A session token has no audience. A token with one was made from a template for another
            // service (RFC 7519, section 4.1.3: a service that `aud` does not name must refuse it).
            || claims.aud.0.is_some()
            || claims.nbf.0.is_some_and(is_ahead)
            || claims.iat.0.is_some_and(is_ahead);
        if refused {
            return None;
        }
        let person_id = UserId::new(claims.sub.as_str()).ok()?;
        let email = claims.email.0.clone().filter(|email| email.len() <= EMAIL_BYTES_MAX);
        Some(Self { person_id, email, organization: claims.into_organization(), expires_at })
    }

    /// Whether the token has expired: at `exp` and later (RFC 7519, section 4.1.4).
    pub fn expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }
}

/// A `NumericDate` (RFC 7519, section 2) in milliseconds. A fraction of a second is cut off. An exponent,
/// which no issuer writes, is refused.
fn millis(value: &RawValue) -> Option<i64> {
    let text = value.get();
    if text.bytes().any(|byte| byte.eq_ignore_ascii_case(&b'e')) {
        return None;
    }
    let whole = text.split('.').next().unwrap_or_default();
    whole.parse::<i64>().ok().map(|seconds| seconds.saturating_mul(1_000))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::clerk::issuer::{AuthorizedParties, Keys};

    const NOW_S: i64 = 1_800_000_000;

    fn issuer(parties: &[&str]) -> Issuer {
        let listed = parties.iter().map(|party| (*party).to_owned()).collect();
        let authorized_parties =
            if parties.is_empty() { AuthorizedParties::Any } else { AuthorizedParties::Listed(listed) };
        Issuer {
            url: "https://clerk.example".to_owned(),
            keys: Keys::Published { url: "https://clerk.example/jwks".to_owned() },
            authorized_parties,
        }
    }

    fn claims() -> Value {
        json!({
            "iss": "https://clerk.example", "sub": "user_1", "sid": "sess_1", "azp": "https://app.example",
            "iat": NOW_S - 1, "nbf": NOW_S - 11, "exp": NOW_S + 59, "sts": "active", "v": 2,
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    fn read_for(claims: &Value, parties: &[&str]) -> Option<Session> {
        Session::read(claims.to_string().as_bytes(), &issuer(parties), Timestamp::from_millis(NOW_S * 1_000))
    }

    fn read(claims: &Value) -> Option<Session> {
        read_for(claims, &["https://other.example", "https://app.example"])
    }

    #[test]
    fn claims_name_the_person_and_the_expiry() {
        let session = read(&claims()).unwrap();
        assert_eq!((session.person_id.as_str(), session.email, session.organization), ("user_1", None, None));
        assert_eq!(session.expires_at.millis(), (NOW_S + 59) * 1_000);
    }

    #[test]
    fn each_claim_that_is_wrong_is_enough_to_refuse() {
        for (name, value) in [
            ("iss", json!("https://clerk.example/")),
            ("iss", json!("https://clerk.example.evil.example")),
            ("iss", json!("HTTPS://CLERK.EXAMPLE")),
            ("iss", json!(["https://clerk.example"])),
            ("iss", json!(null)),
            ("azp", json!("https://evil.example")),
            ("azp", json!("https://app.example/")),
            ("azp", json!("")),
            ("azp", json!(null)),
            ("azp", json!(["https://app.example"])),
            ("sub", json!("")),
            ("sub", json!("x".repeat(256))),
            ("sub", json!("user\u{0}1")),
            ("sub", json!(1)),
            ("sub", json!(null)),
            ("exp", json!(null)),
            ("exp", json!("1800000059")),
            ("exp", json!(true)),
            ("exp", json!([NOW_S + 59])),
            ("nbf", json!(NOW_S + 6)),
            ("nbf", json!("0")),
            ("nbf", json!(null)),
            ("iat", json!(NOW_S + 6)),
            ("iat", json!({})),
            ("sts", json!("pending")),
            ("sts", json!("Active")),
            ("sts", json!(null)),
            ("aud", json!("https://clerk.example")),
            ("aud", json!([])),
        ] {
            assert_eq!(read(&with(name, value.clone())), None, "{name}: {value}");
        }
        for name in ["iss", "sub", "exp", "azp"] {
            assert_eq!(read(&without(name)), None, "{name}");
        }
    }

    #[test]
    fn optional_claims_may_be_absent_or_different() {
        for name in ["nbf", "iat", "sts", "sid", "v"] {
            assert!(read(&without(name)).is_some(), "{name}");
        }
        for (name, value) in [
            ("nbf", json!(NOW_S + 5)),
            ("nbf", json!(NOW_S + 5).as_f64().unwrap().into()),
            ("nbf", json!(-1)),
            ("iat", json!(NOW_S + 5)),
            ("exp", json!(NOW_S + 1)),
            ("sub", json!("\u{1f980}")),
            ("custom", json!({ "deep": [1, 2, { "x": null }] })),
        ] {
            assert!(read(&with(name, value.clone())).is_some(), "{name}: {value}");
        }
        // Without a list every party is authorized.
        assert!(read_for(&without("azp"), &[]).is_some());
        assert!(read_for(&with("azp", json!("https://evil.example")), &[]).is_some());
        assert!(read_for(&with("azp", json!(7)), &[]).is_none());
    }

    #[test]
    fn a_token_is_good_until_it_expires_and_not_after() {
        let expired = |exp: Value| read(&with("exp", exp)).map(|it| it.expired(Timestamp::from_millis(NOW_S * 1_000)));
        assert_eq!(expired(json!(NOW_S + 1)), Some(false));
        assert_eq!(expired(json!(NOW_S)), Some(true));
        assert_eq!(expired(json!(NOW_S - 1)), Some(true));
        assert_eq!(expired(json!(0)), Some(true));
        assert_eq!(expired(json!(-5)), Some(true));
        assert_eq!(expired(json!(i64::MAX)), Some(false));
        assert_eq!(expired(json!(i64::MIN)), Some(true));
        // A fraction is cut off and never rounded up.
        assert_eq!(read(&with("exp", json!(1_800_000_000.75))).unwrap().expires_at.millis(), NOW_S * 1_000);
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        let read = |exp: &str| {
            let claims = claims().to_string().replace(&format!("\"exp\":{}", NOW_S + 59), &format!("\"exp\":{exp}"));
            Session::read(claims.as_bytes(), &issuer(&[]), Timestamp::from_millis(NOW_S * 1_000))
        };
        assert!(read("1800000059").is_some());
        for exp in ["1.9e9", "1800000059e0", "19E8", "99999999999999999999", "1800000059,\"exp\":1900000000"] {
            assert!(read(exp).is_none(), "{exp}");
        }
    }

    #[test]
    fn claims_are_one_plain_object() {
        let now = Timestamp::from_millis(NOW_S * 1_000);
        for bad in ["", "null", "[]", "{", "foo", "{} {}", "\"{}\""] {
            assert_eq!(Session::read(bad.as_bytes(), &issuer(&[]), now), None, "{bad}");
        }
        assert_eq!(Session::read(b"{\"iss\":\"\xff\"}", &issuer(&[]), now), None);
    }

    #[test]
    fn the_active_organization_is_read_in_both_versions() {
        let organization = |claims: Value| read(&claims).unwrap().organization;
        let expected = ActiveOrganization {
            id: "org_1".to_owned(),
            slug: Some("acme".to_owned()),
            role: Some("org:admin".to_owned()),
        };
        let mut first = claims();
        first["org_id"] = json!("org_1");
        first["org_slug"] = json!("acme");
        first["org_role"] = json!("org:admin");
        assert_eq!(organization(first), Some(expected.clone()));
        let second = with("o", json!({ "id": "org_1", "slg": "acme", "rol": "admin", "per": "read" }));
        assert_eq!(organization(second), Some(expected));
        let bare = ActiveOrganization { id: "org_1".to_owned(), slug: None, role: None };
        assert_eq!(organization(with("o", json!({ "id": "org_1", "slg": 7 }))), Some(bare.clone()));
        assert_eq!(organization(with("org_id", json!("org_1"))), Some(bare));
        for none in [json!(null), json!("org_1"), json!({}), json!({ "id": 7 }), json!([])] {
            assert_eq!(organization(with("o", none.clone())), None, "{none}");
        }
    }

    #[test]
    fn an_email_is_taken_when_it_is_one_line_of_text() {
        let email = |value: Value| read(&with("email", value)).unwrap().email;
        assert_eq!(email(json!("ada@example.com")).as_deref(), Some("ada@example.com"));
        assert!(email(json!("x".repeat(EMAIL_BYTES_MAX))).is_some());
        for none in [json!(null), json!(7), json!("x".repeat(321))] {
            assert_eq!(email(none), None);
        }
    }
}
