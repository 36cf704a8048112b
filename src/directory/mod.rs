//! The vocabulary of the directory: identifiers, records, cursors and keys, as types that hold only valid
//! values.
//!
//! Pure: no platform type, no clock, no entropy and no I/O. The time, random bytes and secrets are arguments.

pub mod agent;
pub mod api_key;
pub mod cursor;
pub mod deletion;
pub mod end_user;
pub mod epoch;
pub mod event;
pub mod identifiers;
pub mod metadata;
pub mod mood;
pub mod names;
pub mod operator;
pub mod organization;
pub mod placement;
pub mod principal;
pub mod quota;
pub mod relationship;
pub mod sealed;
pub mod secret;
pub mod timestamp;
