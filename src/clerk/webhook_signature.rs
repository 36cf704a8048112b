//! Signatures of webhooks by Svix, through which Clerk sends its events
//! (<https://docs.svix.com/receiving/verifying-payloads/how-manual>; the same as
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! Invariants:
//!
//! - The signature is checked over the bytes as they came, before any code reads them.
//! - Every secret is compared with every signature, in a time that reveals neither where they differ nor
//!   which one is right.
//! - A delivery whose time is malformed, or too far from now, is refused before its body is read.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::directory::timestamp::Timestamp;
use crate::fault::CredentialFault;
use crate::refusal::Refusal;

/// The greatest distance of a delivery's time from now, in the past or in the future, in seconds. Svix's own
/// libraries allow the same.
const TOLERANCE_S: u64 = 300;

/// The shortest key, in bytes, so that a text that happens to be base64 is not taken for a key. Svix makes
/// keys of 24 bytes and more; the key in its documentation has 18.
const KEY_BYTES_MIN: usize = 16;

/// The only version that is known. Signatures of other versions are skipped.
const VERSION: &str = "v1,";

/// The key of an endpoint. Its `Debug` reveals nothing.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    /// Reads a secret as Clerk shows it: `whsec_`, then the key in base64.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let encoded = text.strip_prefix("whsec_").unwrap_or(text).trim_end_matches('=');
        let key = STANDARD_NO_PAD.decode(encoded).unwrap_or_default();
        if key.len() < KEY_BYTES_MIN {
            return Err(Refusal::new("must be a signing secret, whsec_ and at least 16 bytes in base64"));
        }
        Ok(Self(key))
    }

    /// The signature of a delivery, in base64.
    fn sign(&self, delivery: &Delivery<'_>) -> String {
        // HMAC accepts a key of any length (RFC 2104), so this never fails.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        for part in [delivery.id.as_bytes(), b".", delivery.timestamp.as_bytes(), b".", delivery.body] {
            mac.update(part);
        }
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningKey")
    }
}

/// A delivery of an event: the signed parts and the signatures.
pub struct Delivery<'a> {
    /// `svix-id`.
    pub id: &'a str,
    /// `svix-timestamp`: seconds since the epoch.
    pub timestamp: &'a str,
    /// `svix-signature`: signatures, each with its version, separated by spaces.
    pub signatures: &'a str,
    pub body: &'a [u8],
}

impl Delivery<'_> {
    /// Whether one of the keys signed this delivery.
    pub fn is_signed_by(&self, keys: &[SigningKey]) -> bool {
        let mut genuine = Choice::from(0);
        for key in keys {
            let expected = key.sign(self);
            for signature in self.signatures.split(' ').filter_map(|signature| signature.strip_prefix(VERSION)) {
                genuine |= signature.as_bytes().ct_eq(expected.as_bytes());
            }
        }
        bool::from(genuine)
    }
}

/// Checks the time of a delivery: seconds since the epoch, within the tolerance.
pub fn check_timestamp(timestamp: &str, now: Timestamp) -> Result<(), CredentialFault> {
    // Digits only: `parse` also accepts a sign.
    let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let sent_at_s = timestamp.parse::<u64>().ok().filter(|_| digits).ok_or(CredentialFault::Invalid)?;
    let now_s = now.unsigned_millis().div_euclid(1_000);
    if sent_at_s.abs_diff(now_s) > TOLERANCE_S { Err(CredentialFault::Expired) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of Svix's documentation.
    const SECRET: &str = "whsec_plJ3nmyCDGBKInavdOK15jsl";
    const ID: &str = "msg_loFOjxBNrRLzqYUf";
    const SENT_AT: &str = "1731705121";
    const BODY: &str = r#"{"event_type":"ping","data":{"success":true}}"#;
    const SIGNATURE: &str = "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=";

    const EXAMPLE: Delivery<'_> = Delivery { id: ID, timestamp: SENT_AT, signatures: SIGNATURE, body: BODY.as_bytes() };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn is_signed(delivery: &Delivery<'_>) -> bool {
        delivery.is_signed_by(&[SigningKey::parse(SECRET).unwrap()])
    }

    fn other() -> SigningKey {
        SigningKey::parse("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap()
    }

    #[test]
    fn the_published_example_holds() {
        assert!(is_signed(&EXAMPLE));
        assert!(EXAMPLE.is_signed_by(&[SigningKey::parse(&SECRET[6..]).unwrap()]));
    }

    #[test]
    fn every_change_of_a_bit_is_noticed() {
        fn flipped(text: &str) -> impl Iterator<Item = String> {
            let bits = (0..text.len()).flat_map(|index| (0..7).map(move |bit| (index, bit)));
            bits.map(|(index, bit)| {
                let mut bytes = text.as_bytes().to_vec();
                bytes[index] ^= 1 << bit;
                String::from_utf8(bytes).unwrap()
            })
        }
        for id in flipped(ID) {
            assert!(!is_signed(&Delivery { id: &id, ..EXAMPLE }), "{id}");
        }
        for timestamp in flipped(SENT_AT) {
            let delivery = Delivery { timestamp: &timestamp, ..EXAMPLE };
            assert!(!is_signed(&delivery), "{timestamp}");
        }
        for body in flipped(BODY) {
            let delivery = Delivery { body: body.as_bytes(), ..EXAMPLE };
            assert!(!is_signed(&delivery), "{body}");
        }
        for signatures in flipped(SIGNATURE) {
            let delivery = Delivery { signatures: &signatures, ..EXAMPLE };
            assert!(!is_signed(&delivery), "{signatures}");
        }
        for cut in 0..SIGNATURE.len() {
            let delivery = Delivery { signatures: &SIGNATURE[..cut], ..EXAMPLE };
            assert!(!is_signed(&delivery), "{cut}");
        }
    }

    #[test]
    fn one_good_signature_of_many_is_enough() {
        let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let code = SIGNATURE.strip_prefix("v1,").unwrap();
        for (signatures, genuine) in [
            (format!("{wrong} {SIGNATURE}"), true),
            (format!("{SIGNATURE} {wrong}"), true),
            (format!("v2,x v1a,{code}  {SIGNATURE} "), true),
            (format!("{wrong} {wrong}"), false),
            (format!("v1a,{code}"), false),
            (format!("v2,{code} {wrong}"), false),
            (code.to_owned(), false),
            (format!("v1,{code}v1,{code}"), false),
            (format!("v1 {code}"), false),
            ("v1,".to_owned(), false),
            (String::new(), false),
        ] {
            let delivery = Delivery { signatures: &signatures, ..EXAMPLE };
            assert_eq!(is_signed(&delivery), genuine, "{signatures}");
        }
    }

    #[test]
    fn either_key_of_a_rotation_is_good_and_no_other() {
        let key = SigningKey::parse(SECRET).unwrap();
        assert!(EXAMPLE.is_signed_by(&[key.clone(), other()]));
        assert!(EXAMPLE.is_signed_by(&[other(), key]));
        assert!(!EXAMPLE.is_signed_by(&[other()]));
        assert!(!EXAMPLE.is_signed_by(&[]));
    }

    #[test]
    fn a_delivery_is_good_for_five_minutes_either_way() {
        for (offset_s, expected) in [
            (-301, Err(CredentialFault::Expired)),
            (-300, Ok(())),
            (0, Ok(())),
            (300, Ok(())),
            (301, Err(CredentialFault::Expired)),
        ] {
            assert_eq!(check_timestamp(SENT_AT, at(1_731_705_121 + offset_s)), expected, "{offset_s}");
        }
    }

    #[test]
    fn a_time_is_digits() {
        for timestamp in ["", "+1731705121", "-1731705121", " 1731705121", "1731705121.0", "99999999999999999999"] {
            let expected = Err(CredentialFault::Invalid);
            assert_eq!(check_timestamp(timestamp, at(1_731_705_121)), expected, "{timestamp}");
        }
    }

    #[test]
    fn secrets_are_read_strictly_and_never_printed() {
        for bad in ["", "whsec_", "whsec_!", "whsec_plJ3nmyCDGBKInavdOK15", "whsec_c2hvcnQ=", "plain text"] {
            assert!(SigningKey::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(format!("{:?}", other()), "SigningKey");
    }
}
