//! Events as Clerk sends them: signed by Svix
//! (<https://docs.svix.com/receiving/verifying-payloads/how-manual>).

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::{Result, secrets};

/// What a secret begins with; the rest is base64.
const PREFIX: &str = "whsec_";

/// Where events are sent.
#[derive(Debug)]
pub struct Sender {
    url: String,
    key: Vec<u8>,
}

/// A new secret, of 256 bits.
pub fn random_secret() -> Result<String> {
    Ok(format!("{PREFIX}{}", STANDARD.encode(secrets::random_bytes()?)))
}

/// `svix-signature` of a message: over its id, its time in seconds and its body.
pub fn signature(key: &[u8], id: &str, timestamp_s: u64, body: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(format!("{id}.{timestamp_s}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

impl Sender {
    /// To the server at a URL, which knows this secret as `CLERK_WEBHOOK_SECRET`.
    pub fn new(url: &str, secret: &str) -> Result<Self> {
        let key = secret.strip_prefix(PREFIX).ok_or("CLERK_WEBHOOK_SECRET must begin with whsec_")?;
        Ok(Self { url: format!("{url}/webhooks/clerk"), key: STANDARD.decode(key)? })
    }

    /// Sends an event under an id, by which a repeated one is known. Gives the status of the answer.
    pub fn send(&self, id: &str, event: &Value) -> Result<u16> {
        let body = event.to_string();
        let timestamp_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let response = agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("svix-id", id)
            .header("svix-timestamp", timestamp_s.to_string())
            .header("svix-signature", signature(&self.key, id, timestamp_s, &body)?)
            .send(body.as_bytes())?;
        Ok(response.status().as_u16())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Svix's documentation.
    #[test]
    fn a_signature_is_the_one_that_svix_makes() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
