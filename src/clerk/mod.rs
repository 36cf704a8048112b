//! Clerk: session tokens and their keys, the events that Clerk sends, and the mirror of people and
//! organizations that these events fill. Pure.

pub mod claims;
pub mod event;
pub mod issuer;
pub mod key;
pub mod key_cache;
pub mod key_set;
pub mod mirror;
pub mod people;
pub mod session_cache;
pub mod sessions;
pub mod token;
pub mod webhook_signature;
