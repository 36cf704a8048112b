//! Signing webhooks as Svix does, from the sender's side: for tests, and for trying things out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::Result;

/// A secret like those that Clerk shows: `whsec_` and 32 random bytes in base64.
pub fn random_secret() -> Result<String> {
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|error| format!("no entropy: {error}"))?;
    Ok(format!("whsec_{}", STANDARD.encode(key)))
}

/// The value of `svix-signature` for a delivery; the time is in seconds since the epoch.
///
/// # Panics
///
/// When the secret is none.
pub fn sign(secret: &str, id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("a secret is base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes any key");
    mac.update(format!("{id}.{timestamp_s}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    /// The example of <https://docs.svix.com/receiving/verifying-payloads/how-manual>.
    #[test]
    fn the_published_example_holds() {
        let body = br#"{"event_type":"ping","data":{"success":true}}"#;
        let signature = super::sign("whsec_plJ3nmyCDGBKInavdOK15jsl", "msg_loFOjxBNrRLzqYUf", 1_731_705_121, body);
        assert_eq!(signature, "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=");
    }
}
