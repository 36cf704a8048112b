//! Everything about Clerk: session tokens and their keys, the events that Clerk sends, and the
//! mirror of people and organizations that is made of them. Pure.

pub mod claims;
pub mod event;
pub mod issuer;
pub mod key;
pub mod key_cache;
pub mod key_set;
pub mod mirror;
pub mod people;
pub mod session_cache;
pub mod token;
pub mod webhook_signature;

use key_cache::KeyCache;
use session_cache::SessionCache;

/// What an isolate remembers of who is signed in.
#[derive(Debug, Default)]
pub struct Sessions {
    pub keys: KeyCache,
    pub verified: SessionCache,
}
