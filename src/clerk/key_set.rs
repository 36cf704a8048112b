//! The keys that an issuer publishes: a JSON Web Key Set (RFC 7517, section 5).

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::key::PublicKey;
use super::token;
use crate::json::{Present, Tolerant};

/// The largest set that is read, in bytes.
pub const SET_BYTES_MAX: usize = 64 * 1024;
/// The most keys in a set. An issuer has one, and two while it changes them.
const KEYS_MAX: usize = 32;

/// A key and its name, which is unique in the set.
pub type NamedKey = (String, PublicKey);

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Tolerant<Jwk>>,
}

/// A JSON Web Key of any type (RFC 7517, section 4).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    r#use: Present<Tolerant<String>>,
    alg: Present<Tolerant<String>>,
    key_ops: Present<Tolerant<Vec<Tolerant<String>>>>,
    n: Tolerant<String>,
    e: Tolerant<String>,
    /// The private part.
    d: Present<IgnoredAny>,
}

impl Jwk {
    /// Whether the key may check RS256 signatures and its set does not publish its private part.
    fn serves(&self) -> bool {
        let is = |member: &Present<Tolerant<String>>, expected| {
            member.0.as_ref().is_none_or(|member| member.0.as_deref() == Some(expected))
        };
        let verifies = self.key_ops.0.as_ref().is_none_or(|operations| {
            operations.0.iter().flatten().any(|operation| operation.0.as_deref() == Some("verify"))
        });
        verifies && is(&self.r#use, "sig") && is(&self.alg, "RS256") && self.d.0.is_none()
    }
}

/// Reads a set. Leaves out the keys that do not check RS256 signatures and the keys that are too weak. Of
/// several RSA keys with one name it leaves out all, as the name does not say which one is meant.
pub fn read(bytes: &[u8]) -> Result<Vec<NamedKey>, &'static str> {
    let set: KeySet = token::read(bytes).ok_or("the key set is not one plain JSON object with an array of keys")?;
    if set.keys.len() > KEYS_MAX {
        return Err("the key set has more than 32 keys");
    }
    let rsa = set.keys.into_iter().filter_map(|key| key.0).filter(|key| key.kty == "RSA");
    let rsa: Vec<(String, Jwk)> = rsa.filter_map(|mut key| Some((key.kid.take()?, key))).collect();
    let is_alone = |name: &String| rsa.iter().filter(|(other, _)| other == name).count() == 1;
    let keys = rsa.iter().filter(|(name, key)| is_alone(name) && key.serves());
    Ok(keys
        .filter_map(|(name, key)| Some((name.clone(), PublicKey::of_jwk(key.n.0.as_ref()?, key.e.0.as_ref()?)?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;

    fn key(kid: &str, bits: usize) -> Value {
        let n = URL_SAFE_NO_PAD.encode(vec![0xff; bits / 8]);
        json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": "AQAB" })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut key = key("a", 2_048);
        key[name] = value;
        key
    }

    fn names(keys: &[Value]) -> Vec<String> {
        let set = json!({ "keys": keys, "more": 1 }).to_string();
        read(set.as_bytes()).unwrap().into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_set_has_the_keys_that_sign_by_rs256() {
        assert_eq!(names(&[key("a", 2_048), key("b", 4_096)]), ["a", "b"]);
        let mut bare = key("a", 2_048);
        for name in ["use", "alg"] {
            bare.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(names(&[bare]), ["a"]);
        assert_eq!(names(&[with("key_ops", json!(["sign", "verify"]))]), ["a"]);
        assert_eq!(names(&[with("x5c", json!(["MII"])), with("kid", json!("b"))]), ["a", "b"]);
        assert!(names(&[]).is_empty());
    }

    #[test]
    fn a_key_that_does_not_serve_is_left_out_alone() {
        for (name, value) in [
            ("kty", json!("EC")),
            ("kty", json!("rsa")),
            ("kty", json!(null)),
            ("use", json!("enc")),
            ("use", json!(null)),
            ("alg", json!("RS512")),
            ("alg", json!("PS256")),
            ("key_ops", json!(["sign"])),
            ("key_ops", json!([])),
            ("key_ops", json!(null)),
            ("kid", json!(null)),
            ("kid", json!(7)),
            ("n", json!(null)),
            ("n", json!("")),
            ("n", key("a", 1_024)["n"].clone()),
            ("n", json!(format!("{}=", key("a", 2_048)["n"].as_str().unwrap()))),
            ("e", json!("Aw")),
            ("e", json!("AAEAAQ")),
            ("e", json!("AQAB=")),
            ("e", json!(65_537)),
            ("d", json!("AQAB")),
        ] {
            assert_eq!(names(&[with(name, value.clone()), key("b", 2_048)]), ["b"], "{name}: {value}");
        }
        for other in [json!(null), json!(7), json!([]), json!({}), json!("a")] {
            assert_eq!(names(&[other, key("b", 2_048)]), ["b"]);
        }
        let twice = r#"{"kty":"RSA","kid":"a","kid":"b"}"#;
        assert!(read(format!("{{\"keys\":[{twice}]}}").as_bytes()).is_err());
    }

    #[test]
    fn of_several_keys_with_one_name_none_is_used() {
        assert_eq!(names(&[key("a", 2_048), key("a", 2_048), key("b", 2_048)]), ["b"]);
        // Also if the other key is refused.
        for (name, value) in [("n", json!("AQAB")), ("use", json!("enc")), ("alg", json!("RS512")), ("e", json!("Aw"))]
        {
            assert!(names(&[key("a", 2_048), with(name, value)]).is_empty(), "{name}");
        }
        // A key of another type is no RSA key.
        assert_eq!(names(&[key("a", 2_048), with("kty", json!("EC"))]), ["a"]);
    }

    #[test]
    fn anything_but_a_key_set_is_an_error() {
        for bad in ["", "{}", "[]", "null", "<html>", "{\"keys\":{}}", "{\"keys\":null}", "{\"keys\":[],\"keys\":[]}"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        let many: Vec<Value> = (0..=KEYS_MAX).map(|number| key(&number.to_string(), 2_048)).collect();
        assert!(read(json!({ "keys": many }).to_string().as_bytes()).is_err());
        assert_eq!(names(&many[1..]).len(), KEYS_MAX);
    }
}
