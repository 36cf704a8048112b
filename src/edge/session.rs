//! Authenticates a person by one of Clerk's session tokens (RFC 7519, RFC 8725).
//!
//! Invariants:
//!
//! - The core decides everything about a token but the arithmetic of RSA. The platform answers one question:
//!   whether a key made a signature.
//! - A token that could not be genuine anyway (malformed, of another issuer, for another party) costs neither a
//!   fetch nor a check of a signature.
//! - Neither a token nor a key is ever logged or answered.

use std::rc::Rc;

use crate::clerk::claims::Session;
use crate::clerk::issuer::{Issuer, Keys};
use crate::clerk::key::PublicKey;
use crate::clerk::key_cache::{FETCH_LIMIT_MS, KeyLookup};
use crate::clerk::key_set;
use crate::clerk::session_cache;
use crate::clerk::token::SessionToken;

use super::exchange::Exchange;
use super::runtime::Runtime;
use crate::fault::{CredentialFault, Fault, store_unavailable};
use crate::fetch::{Fetch, FetchError, Outgoing};

/// How long to wait before looking again for keys that another request is fetching, in milliseconds.
const LOOK_AGAIN_MS: u32 = 25;

const INVALID: Fault = Fault::Credential(CredentialFault::Invalid);
const EXPIRED: Fault = Fault::Credential(CredentialFault::Expired);

/// Finds the session of the person who is signed in. When no person is, that costs a token of the client address's
/// bucket. A person pays nothing: many share the address of the backend that asks for them, or of their office.
pub async fn authenticate(exchange: &mut Exchange<'_, impl Runtime>) -> Result<Rc<Session>, Fault> {
    find(exchange).await.map_err(|fault| match fault {
        Fault::Credential(fault) => exchange.refuse_credential(fault),
        fault => fault,
    })
}

async fn find(exchange: &Exchange<'_, impl Runtime>) -> Result<Rc<Session>, Fault> {
    let text = exchange.bearer().ok_or(Fault::Credential(CredentialFault::Missing))?;
    let (runtime, received_at) = (exchange.runtime, exchange.received_at);
    let sessions = runtime.sessions();
    let configuration = exchange.configuration()?;
    // Without an issuer no token is valid.
    let issuer = configuration.issuer.as_ref().ok_or(INVALID)?;
    let digest = session_cache::digest(&text);
    if let Some(session) = sessions.borrow_mut().cache.find(&digest, received_at) {
        return Ok(session);
    }
    let token = SessionToken::parse(&text).ok_or(INVALID)?;
    let session = Session::read(&token.claims, issuer, received_at).ok_or(INVALID)?;
    let key = key(exchange, issuer, token.key_id.as_deref()).await?;
    let genuine = key.may_have_made(&token.signature)
        && runtime.verify_rs256(&key, token.signed.as_bytes(), &token.signature).await.map_err(store_unavailable)?;
    if !genuine {
        return Err(INVALID);
    }
    let now = runtime.now();
    if session.expired(now) {
        return Err(EXPIRED);
    }
    let session = Rc::new(session);
    sessions.borrow_mut().cache.remember(digest, Rc::clone(&session), now);
    Ok(session)
}

/// The issuer's key of this name.
async fn key(
    exchange: &Exchange<'_, impl Runtime>,
    issuer: &Issuer,
    name: Option<&str>,
) -> Result<Rc<PublicKey>, Fault> {
    let url = match &issuer.keys {
        Keys::Set(key) => return Ok(Rc::clone(key)),
        Keys::Published { url } => url,
    };
    let name = name.ok_or(INVALID)?;
    let runtime = exchange.runtime;
    loop {
        let look = runtime.sessions().borrow_mut().keys.look(name, exchange.received_at, runtime.now());
        match look {
            KeyLookup::Found(key) => return Ok(key),
            KeyLookup::Unknown => return Err(INVALID),
            KeyLookup::Unavailable { retry_after_s, reason } => {
                return Err(Fault::Unavailable { retry_after_s, reason });
            }
            KeyLookup::Wait => runtime.pause(LOOK_AGAIN_MS).await,
            KeyLookup::Fetch => {
                let mut body = Vec::new();
                let fetch = Fetch {
                    outgoing: Outgoing::Get { url },
                    bytes_max: key_set::SET_BYTES_MAX,
                    limit_ms: FETCH_LIMIT_MS,
                    on_chunk: &mut |chunk| {
                        body.extend_from_slice(chunk);
                        true
                    },
                };
                let answer = runtime.fetch(fetch).await;
                let set = match answer {
                    Ok(200) => key_set::read(&body).map_err(str::to_owned),
                    Ok(status) => Err(format!("the key set was answered with status {status}")),
                    Err(FetchError::TimedOut) => Err("the key set did not come in time".to_owned()),
                    Err(FetchError::TooLarge) => Err("the key set is too large".to_owned()),
                    Err(FetchError::Broken(reason)) => Err(format!("the key set: {reason}")),
                };
                runtime.sessions().borrow_mut().keys.fetched(set, runtime.now());
            }
        }
    }
}
