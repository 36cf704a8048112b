//! `POST /webhooks/clerk`: what happens at Clerk is brought into the mirror.
//!
//! The sender tries again whatever is not answered with a 2xx, so a status says what should
//! become of the delivery: 204 when it is in the mirror, changes nothing or is of no interest; 5xx when
//! trying again will help by itself; 4xx when somebody has to look, after which the sender
//! can be told to send it once more.

use crate::clerk::event;

use crate::clerk::webhook_signature::Delivery;

use crate::edge::exchange::Exchange;
use crate::edge::http::request::Incoming;
use crate::edge::http::response::Response;
use crate::edge::runtime::Runtime;
use crate::fault::{CredentialFault, Fault};
use crate::fault::{internal, store_unavailable};
use crate::input::QueryFields;
use crate::projection::Database;

/// Largest event, in bytes: a user has up to 8 KB of metadata of each of three kinds, and any
/// number of addresses and accounts.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// How soon the sender should try again while no secret is set: that takes a person.
const UNCONFIGURED_RETRY_S: u32 = 300;

/// A good delivery takes no token, as all of them come from the few addresses of one sender; a bad one
/// takes a token of its sender's address, like any other credential that is refused.
pub async fn receive<R: Runtime, I: Incoming>(exchange: &mut Exchange<'_, R, I>) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let keys = &configuration.clerk_webhook_keys;
    if keys.is_empty() {
        exchange.take_public_token()?;
        let reason = "CLERK_WEBHOOK_SECRET is not set".to_owned();
        return Err(Fault::Unavailable { retry_after_s: UNCONFIGURED_RETRY_S, reason });
    }
    // Standard Webhooks spells the names without the brand, and so do some who pass events on.
    let header = |svix: &str, standard: &str| {
        exchange.incoming.header(svix).or_else(|| exchange.incoming.header(standard)).filter(|text| !text.is_empty())
    };
    let (Some(id), Some(timestamp), Some(signatures)) = (
        header("svix-id", "webhook-id"),
        header("svix-timestamp", "webhook-timestamp"),
        header("svix-signature", "webhook-signature"),
    ) else {
        return Err(exchange.refuse_credential(CredentialFault::Missing));
    };
    let body = match exchange.body(EVENT_BYTES_MAX).await {
        Ok(body) => body,
        // Nobody knows whose it is.
        Err(fault) => return Err(exchange.take_public_token().err().unwrap_or(fault)),
    };
    let delivery = Delivery { id: &id, timestamp: &timestamp, signatures: &signatures, body: &body };
    if let Err(fault) = delivery.verify(keys, exchange.received_at) {
        return Err(exchange.refuse_credential(fault));
    }
    if exchange.content_type().as_deref() != Some("application/json") {
        return Err(Fault::UnsupportedMediaType);
    }
    QueryFields::none(exchange.target.query)?;
    if let Some(event) = event::parse(&body)? {
        let database = exchange.runtime.database().map_err(internal)?;
        database.batch(&event.statements()).await.map_err(store_unavailable)?;
    }
    Ok(Response::new(204))
}
