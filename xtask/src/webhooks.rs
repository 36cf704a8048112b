//! Sends webhooks as Svix does for Clerk, for tests and for the demo person.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::Result;

/// The target of events, and their signing secret.
#[derive(Debug)]
pub struct Sender {
    url: String,
    secret: String,
}

impl Sender {
    /// Sends to the server at a URL, whose `CLERK_WEBHOOK_SECRET` is this secret.
    pub fn new(url: &str, secret: &str) -> Self {
        Self { url: format!("{url}/webhooks/clerk"), secret: secret.to_owned() }
    }

    /// Sends an event under an id. The server recognizes a repeated event by its id. Returns the status of the
    /// answer.
    pub fn send(&self, id: &str, event: &Value) -> Result<u16> {
        let body = event.to_string();
        let timestamp_s = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let response = agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("svix-id", id)
            .header("svix-timestamp", timestamp_s.to_string())
            .header("svix-signature", sign(&self.secret, id, timestamp_s, body.as_bytes()))
            .send(body.as_bytes())?;
        Ok(response.status().as_u16())
    }
}

/// A secret in Clerk's format: `whsec_` and 32 random bytes in base64.
pub fn random_secret() -> Result<String> {
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|error| format!("no entropy: {error}"))?;
    Ok(format!("whsec_{}", STANDARD.encode(key)))
}

/// The value of `svix-signature` for a delivery. The time is in seconds since the epoch.
///
/// # Panics
///
/// When the secret is not a valid one.
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
