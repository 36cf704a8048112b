//! Tokens that were found genuine, so that each is verified once in an isolate.
//!
//! Invariants: nothing is kept past its expiry or for longer than [`KEPT_MS`], nor more than
//! [`TOKENS_MAX`] of them; a token itself is never kept, only its digest.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::claims::Session;
use crate::directory::timestamp::Timestamp;

pub const TOKENS_MAX: usize = 1_000;
/// A token may live long. One whose key was withdrawn is believed no longer than any other
/// is when keys can't be fetched: an hour.
const KEPT_MS: i64 = 60 * 60_000;

#[derive(Debug)]
struct Held {
    digest: [u8; 32],
    session: Rc<Session>,
    until: Timestamp,
}

/// The least recently used first.
#[derive(Debug, Default)]
pub struct SessionCache(Vec<Held>);

/// What a token is known by.
pub fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl SessionCache {
    pub fn find(&mut self, digest: &[u8; 32], now: Timestamp) -> Option<Rc<Session>> {
        let index = self.0.iter().position(|held| held.digest == *digest)?;
        let held = self.0.remove(index);
        if now >= held.until {
            return None;
        }
        let session = Rc::clone(&held.session);
        self.0.push(held);
        Some(session)
    }

    pub fn remember(&mut self, digest: [u8; 32], session: Rc<Session>, now: Timestamp) {
        // Two requests with one token may have verified it at the same time.
        self.0.retain(|held| now < held.until && held.digest != digest);
        if self.0.len() >= TOKENS_MAX {
            self.0.remove(0);
        }
        let until = session.expires_at.min(Timestamp::from_millis(now.millis().saturating_add(KEPT_MS)));
        self.0.push(Held { digest, session, until });
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
        let mut verified = SessionCache::default();
        verified.remember(digest("a"), session(1_000), at(0));
        assert!(verified.find(&digest("b"), at(0)).is_none());
        assert!(verified.find(&digest("a"), at(999)).is_some());
        assert!(verified.find(&digest("a"), at(1_000)).is_none());
        assert!(verified.find(&digest("a"), at(999)).is_none(), "and is gone");
    }

    #[test]
    fn a_token_that_lives_long_is_verified_again_within_the_hour() {
        let mut verified = SessionCache::default();
        verified.remember(digest("a"), session(i64::MAX), at(0));
        assert!(verified.find(&digest("a"), at(KEPT_MS - 1)).is_some());
        assert!(verified.find(&digest("a"), at(KEPT_MS)).is_none());
    }

    #[test]
    fn the_least_recently_used_make_room() {
        let mut verified = SessionCache::default();
        for number in 0..TOKENS_MAX {
            verified.remember(digest(&number.to_string()), session(1_000), at(0));
        }
        assert!(verified.find(&digest("0"), at(0)).is_some());
        verified.remember(digest("one more"), session(1_000), at(0));
        assert_eq!(verified.0.len(), TOKENS_MAX);
        assert!(verified.find(&digest("0"), at(0)).is_some());
        assert!(verified.find(&digest("1"), at(0)).is_none());
        // What has expired makes room first.
        verified.remember(digest("late"), session(5_000), at(2_000));
        assert_eq!(verified.0.len(), 1);
        verified.remember(digest("late"), session(5_000), at(2_000));
        assert_eq!(verified.0.len(), 1);
    }
}
