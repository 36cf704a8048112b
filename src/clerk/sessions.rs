//! What an isolate remembers about signed-in people.

use super::key_cache::KeyCache;
use super::session_cache::SessionCache;

/// The issuer's keys, and the sessions of verified tokens.
#[derive(Debug, Default)]
pub struct Sessions {
    pub keys: KeyCache,
    pub cache: SessionCache,
}
