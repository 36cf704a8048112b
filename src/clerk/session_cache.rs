//! Sessions of verified tokens, so that an isolate verifies each token once.
//!
//! Invariants:
//!
//! - No session is used past its token's expiry or for longer than [`KEPT_MS`]. The next verified token
//!   removes such sessions.
//! - The cache holds at most [`TOKENS_MAX`] sessions.
//! - The cache holds the digest of a token, never the token.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::claims::Session;
use crate::bounded::BoundedMap;
use crate::directory::timestamp::Timestamp;

pub const TOKENS_MAX: usize = 1_000;
/// How long a token is believed at most, in milliseconds. A token whose key the issuer withdrew is
/// believed no longer than keys are used when they cannot be fetched: an hour.
const KEPT_MS: i64 = 60 * 60_000;

#[derive(Debug)]
struct CachedSession {
    session: Rc<Session>,
    until: Timestamp,
    /// The number of the last use. The least recently used session gives way.
    last_use: u64,
}

#[derive(Debug, Default)]
pub struct SessionCache {
    sessions: BoundedMap<[u8; 32], CachedSession, TOKENS_MAX>,
    /// Uses are numbered, as the clock stands still within a request.
    uses: u64,
}

/// The digest by which the cache knows a token.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl SessionCache {
    pub fn find(&mut self, digest: &[u8; 32], now: Timestamp) -> Option<Rc<Session>> {
        let cached = self.sessions.get_mut(digest)?;
        if now >= cached.until {
            self.sessions.remove(digest);
            return None;
        }
        self.uses = self.uses.saturating_add(1);
        cached.last_use = self.uses;
        Some(Rc::clone(&cached.session))
    }

    pub fn remember(&mut self, digest: [u8; 32], session: Rc<Session>, now: Timestamp) {
        let until = session.expires_at.min(now.plus_ms(KEPT_MS));
        self.uses = self.uses.saturating_add(1);
        let is_expired = |cached: &CachedSession| now >= cached.until;
        self.sessions.retain(|cached| !is_expired(cached));
        let cached = CachedSession { session, until, last_use: self.uses };
        self.sessions.insert_or_evict(digest, cached, is_expired, |cached| cached.last_use);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::names::UserId;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn session(expires_ms: i64) -> Rc<Session> {
        let person_id = UserId::new("user_1").unwrap();
        Rc::new(Session { person_id, email: None, organization: None, expires_at: at(expires_ms) })
    }

    #[test]
    fn a_token_is_known_until_it_expires() {
        let mut cache = SessionCache::default();
        cache.remember(digest("a"), session(1_000), at(0));
        assert!(cache.find(&digest("b"), at(0)).is_none());
        assert!(cache.find(&digest("a"), at(999)).is_some());
        assert!(cache.find(&digest("a"), at(1_000)).is_none());
        assert!(cache.find(&digest("a"), at(999)).is_none(), "and is gone");
    }

    #[test]
    fn a_token_that_lives_long_is_verified_again_within_the_hour() {
        let mut cache = SessionCache::default();
        cache.remember(digest("a"), session(i64::MAX), at(0));
        assert!(cache.find(&digest("a"), at(KEPT_MS - 1)).is_some());
        assert!(cache.find(&digest("a"), at(KEPT_MS)).is_none());
    }

    #[test]
    fn the_least_recently_used_make_room() {
        let mut cache = SessionCache::default();
        for number in 0..TOKENS_MAX {
            cache.remember(digest(&number.to_string()), session(1_000), at(0));
        }
        assert!(cache.find(&digest("0"), at(0)).is_some());
        cache.remember(digest("one more"), session(1_000), at(0));
        assert_eq!(cache.sessions.len(), TOKENS_MAX);
        assert!(cache.find(&digest("0"), at(0)).is_some());
        assert!(cache.find(&digest("1"), at(0)).is_none());
        // Expired sessions give way first.
        cache.remember(digest("late"), session(5_000), at(2_000));
        assert_eq!(cache.sessions.len(), 1);
        cache.remember(digest("late"), session(5_000), at(2_000));
        assert_eq!(cache.sessions.len(), 1);
    }
}
