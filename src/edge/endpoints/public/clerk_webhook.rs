//! `POST /webhooks/clerk`: applies Clerk's events to the mirror.
//!
//! Clerk sends an event again until the answer is a 2xx. So the status says what Clerk should do: 204 when the
//! event is applied, changes nothing or is of no interest; 5xx when a later attempt can succeed; 4xx when the
//! operator has to correct something first.

use crate::clerk::event;
use crate::clerk::webhook_signature::{self, Delivery};
use crate::edge::exchange::Exchange;
use crate::edge::http::request::Incoming;
use crate::edge::http::response::Response;
use crate::edge::runtime::Runtime;
use crate::edge::waits::Store;
use crate::fault::{CredentialFault, Fault, internal, store_unavailable};
use crate::input::QueryFields;
use crate::projection::Database;

/// Largest event, in bytes: a user has up to 8 KB of metadata of each of three kinds, and any number of addresses
/// and accounts.
const EVENT_BYTES_MAX: usize = 256 * 1024;

/// How soon Clerk should try again while no secret is set, in seconds. The operator has to set it.
const UNCONFIGURED_RETRY_S: u32 = 300;

/// A genuine delivery takes no token, because all of them come from the few addresses of one sender. A forged one
/// takes a token of its sender's address, as every refused credential does. The body is read last: not from an address
/// without a token, and not under a timestamp that no signature makes good.
pub async fn receive(exchange: &mut Exchange<'_, impl Runtime>) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let keys = &configuration.clerk_webhook_keys;
    if keys.is_empty() {
        exchange.take_public_token()?;
        let reason = "CLERK_WEBHOOK_SECRET is not set".to_owned();
        return Err(Fault::Unavailable { retry_after_s: UNCONFIGURED_RETRY_S, reason });
    }
    // Standard Webhooks names the headers without the brand, and some services that forward events do too.
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
    if !exchange.has_public_token()? {
        exchange.take_public_token()?;
    }
    if let Err(fault) = webhook_signature::check_timestamp(&timestamp, exchange.received_at) {
        return Err(exchange.refuse_credential(fault));
    }
    let body = match exchange.body(EVENT_BYTES_MAX).await {
        Ok(body) => body,
        // The body is not read, so the sender is unknown.
        Err(fault) => return Err(exchange.take_public_token().err().unwrap_or(fault)),
    };
    let delivery = Delivery { id: &id, timestamp: &timestamp, signatures: &signatures, body: &body };
    if !delivery.is_signed_by(keys) {
        return Err(exchange.refuse_credential(CredentialFault::Invalid));
    }
    if exchange.content_type().as_deref() != Some("application/json") {
        return Err(Fault::UnsupportedMediaType);
    }
    QueryFields::none(exchange.target.query)?;
    if let Some(event) = event::parse(&body)? {
        let database = exchange.runtime.database().map_err(internal)?;
        let statements = event.statements();
        let work = database.batch(&statements);
        exchange.waits.note(Store::Listing, exchange.runtime, work).await.map_err(store_unavailable)?;
    }
    Ok(Response::new(204))
}
