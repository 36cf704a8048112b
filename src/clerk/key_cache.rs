//! The issuer's keys in the isolate's memory, and when they are fetched again.
//!
//! Invariants:
//!
//! - At most one request fetches at a time. A request that gets [`KeyLookup::Fetch`] holds the fetch until
//!   it reports or its time is up. Every other request waits by itself and looks again: the runtime cancels
//!   what a request awaits along with the request, so no request hands what it awaits to another.
//! - Unknown keys cause at most one fetch in [`UNKNOWN_EVERY_MS`], whatever callers send.
//! - Every key in use was in a set that was fetched within [`USABLE_MS`].

use std::collections::HashMap;
use std::rc::Rc;

use super::key::PublicKey;
use super::key_set::NamedKey;
use crate::directory::timestamp::Timestamp;

/// The longest time for a fetch, in milliseconds.
pub const FETCH_LIMIT_MS: u32 = 3_000;
/// How long a request holds the fetch, in milliseconds. A fetch that has not reported by then never does.
const CLAIM_MS: i64 = 4_000;
/// How long a set is used without fetching it again, in milliseconds.
const FRESH_MS: i64 = 10 * 60_000;
/// How long a set is used while it cannot be fetched again, in milliseconds.
const USABLE_MS: i64 = 60 * 60_000;
/// The least time between two fetches for unknown keys, in milliseconds.
const UNKNOWN_EVERY_MS: i64 = 30_000;
/// The time from a failure to the next attempt, in milliseconds.
const RETRY_MS: i64 = 30_000;
/// The same time while there is no usable set, in milliseconds.
const RETRY_WITHOUT_MS: i64 = 5_000;

/// What a request that needs a key does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLookup {
    Found(Rc<PublicKey>),
    /// The issuer has no such key.
    Unknown,
    /// Fetch the set, report it by [`KeyCache::fetched`], and look again.
    Fetch,
    /// Look again in a moment: another request is fetching.
    Wait,
    /// The cache cannot tell whether the issuer has such a key. Try again after this many seconds.
    Unavailable {
        retry_after_s: u32,
        reason: String,
    },
}

#[derive(Debug)]
struct FetchedKeySet {
    keys: HashMap<String, Rc<PublicKey>>,
    fetched_at: Timestamp,
}

/// The issuer's keys. All instants are in milliseconds since the epoch.
#[derive(Debug, Default)]
pub struct KeyCache {
    set: Option<FetchedKeySet>,
    /// Until when one request holds the fetch.
    claimed_until_ms: i64,
    /// When a request may fetch again after a failure.
    retry_at_ms: i64,
    /// When an unknown key may cause the next fetch.
    unknown_at_ms: i64,
    /// The reason of the last failure, for the log.
    failure: String,
}

impl KeyCache {
    /// Looks for a key for a request that the edge received at `received_at`.
    pub fn look(&mut self, name: &str, received_at: Timestamp, now: Timestamp) -> KeyLookup {
        let now_ms = now.millis();
        let fetching = now_ms < self.claimed_until_ms;
        let failed = now_ms < self.retry_at_ms;
        let age_ms = |set: &FetchedKeySet| now_ms.saturating_sub(set.fetched_at.millis());
        if let Some(set) = self.set.as_ref().filter(|set| age_ms(set) <= USABLE_MS) {
            match set.keys.get(name).map(Rc::clone) {
                Some(key) if fetching || failed || age_ms(set) <= FRESH_MS => return KeyLookup::Found(key),
                Some(_) => {}
                // The set is newer than the request.
                None if set.fetched_at >= received_at => return KeyLookup::Unknown,
                None if fetching || failed => {}
                None if now_ms < self.unknown_at_ms => return KeyLookup::Unknown,
                None => self.unknown_at_ms = now_ms.saturating_add(UNKNOWN_EVERY_MS),
            }
        }
        if fetching {
            return KeyLookup::Wait;
        }
        if failed {
            let wait_s = self.retry_at_ms.saturating_sub(now_ms).saturating_add(999).div_euclid(1_000);
            let retry_after_s = u32::try_from(wait_s).unwrap_or(1);
            return KeyLookup::Unavailable { retry_after_s, reason: self.failure.clone() };
        }
        self.claimed_until_ms = now_ms.saturating_add(CLAIM_MS);
        KeyLookup::Fetch
    }

    /// Takes the result of a fetch. After a failure the last set stays in use.
    pub fn fetched(&mut self, set: Result<Vec<NamedKey>, String>, now: Timestamp) {
        self.claimed_until_ms = 0;
        match set {
            Ok(keys) => {
                let keys = keys.into_iter().map(|(name, key)| (name, Rc::new(key))).collect();
                self.set = Some(FetchedKeySet { keys, fetched_at: now });
                self.retry_at_ms = 0;
            }
            Err(reason) => {
                let usable = |set: &FetchedKeySet| now.millis().saturating_sub(set.fetched_at.millis()) <= USABLE_MS;
                let wait_ms = if self.set.as_ref().is_some_and(usable) { RETRY_MS } else { RETRY_WITHOUT_MS };
                self.retry_at_ms = now.millis().saturating_add(wait_ms);
                self.failure = reason;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache, and a clock that tests set.
    struct World {
        cache: KeyCache,
        now_ms: i64,
    }

    fn key() -> PublicKey {
        PublicKey::new(&[0xff; 256], &[1, 0, 1]).unwrap()
    }

    impl World {
        fn new() -> Self {
            Self { cache: KeyCache::default(), now_ms: 1_800_000_000_000 }
        }

        fn look_since(&mut self, name: &str, received_ms: i64) -> KeyLookup {
            self.cache.look(name, Timestamp::from_millis(received_ms), Timestamp::from_millis(self.now_ms))
        }

        /// For a request that comes now.
        fn look(&mut self, name: &str) -> KeyLookup {
            self.look_since(name, self.now_ms)
        }

        fn later(&mut self, millis: i64) -> &mut Self {
            self.now_ms += millis;
            self
        }

        fn answer(&mut self, names: &[&str]) {
            let keys = names.iter().map(|name| ((*name).to_owned(), key())).collect();
            self.cache.fetched(Ok(keys), Timestamp::from_millis(self.now_ms));
        }

        fn fail(&mut self) {
            self.cache.fetched(Err("down".to_owned()), Timestamp::from_millis(self.now_ms));
        }
    }

    fn found() -> KeyLookup {
        KeyLookup::Found(Rc::new(key()))
    }

    fn unavailable(retry_after_s: u32) -> KeyLookup {
        KeyLookup::Unavailable { retry_after_s, reason: "down".to_owned() }
    }

    #[test]
    fn one_request_fetches_and_the_others_wait() {
        let mut world = World::new();
        assert_eq!(world.look("a"), KeyLookup::Fetch);
        for _ in 0..10 {
            assert_eq!(world.later(10).look("a"), KeyLookup::Wait);
        }
        world.answer(&["a"]);
        assert_eq!(world.look("a"), found());
    }

    #[test]
    fn a_fetch_that_never_reports_is_taken_over_once() {
        let mut world = World::new();
        assert_eq!(world.look("a"), KeyLookup::Fetch);
        assert_eq!(world.later(CLAIM_MS - 1).look("a"), KeyLookup::Wait);
        assert_eq!(world.later(1).look("a"), KeyLookup::Fetch);
        assert_eq!(world.look("a"), KeyLookup::Wait);
        assert!(CLAIM_MS > i64::from(FETCH_LIMIT_MS), "or two would fetch at once");
    }

    #[test]
    fn an_unknown_key_is_a_reason_to_fetch_once_in_thirty_seconds() {
        let mut world = World::new();
        assert_eq!(world.look("a"), KeyLookup::Fetch);
        world.later(50).answer(&["a"]);
        // The request that fetched, and one that came while it did, do not ask again.
        let received_ms = world.now_ms - 50;
        assert_eq!(world.look_since("b", received_ms), KeyLookup::Unknown);
        assert_eq!(world.later(10).look("b"), KeyLookup::Fetch);
        assert_eq!(world.look("c"), KeyLookup::Wait);
        assert_eq!(world.look("a"), found());
        world.later(50).answer(&["a", "b"]);
        assert_eq!(world.look("b"), found());
        let mut fetches = 0;
        for number in 0..30_000 {
            world.later(2);
            match world.look(&format!("forged-{number}")) {
                KeyLookup::Fetch => {
                    fetches += 1;
                    world.answer(&["a", "b"]);
                }
                look => assert_eq!(look, KeyLookup::Unknown),
            }
            assert_eq!(world.look("a"), found());
        }
        assert_eq!(fetches, 2, "in a minute");
    }

    #[test]
    fn a_key_that_is_withdrawn_is_unknown_once_the_set_is_fetched_again() {
        let mut world = World::new();
        world.look("a");
        world.answer(&["a"]);
        assert_eq!(world.later(FRESH_MS).look("a"), found());
        assert_eq!(world.later(1).look("a"), KeyLookup::Fetch);
        assert_eq!(world.look("a"), found(), "for others the old set still serves");
        world.answer(&["b"]);
        assert_eq!(world.look("a"), KeyLookup::Unknown);
        assert_eq!(world.later(1).look("a"), KeyLookup::Fetch);
        world.answer(&["b"]);
        assert_eq!(world.later(1).look("a"), KeyLookup::Unknown);
    }

    #[test]
    fn without_a_set_a_failure_is_repeated_after_five_seconds() {
        let mut world = World::new();
        assert_eq!(world.look("a"), KeyLookup::Fetch);
        world.fail();
        assert_eq!(world.look("a"), unavailable(5));
        assert_eq!(world.later(4_999).look("a"), unavailable(1));
        assert_eq!(world.later(1).look("a"), KeyLookup::Fetch);
        world.answer(&["a"]);
        assert_eq!(world.look("a"), found());
    }

    #[test]
    fn a_failing_fetch_is_served_from_the_last_set_for_an_hour() {
        let mut world = World::new();
        world.look("a");
        world.answer(&["a"]);
        let fetched_ms = world.now_ms;
        let mut attempts = 0;
        while world.now_ms - fetched_ms <= USABLE_MS {
            if world.look("a") == KeyLookup::Fetch {
                attempts += 1;
                world.fail();
            }
            assert_eq!(world.look("a"), found());
            world.later(1_000);
        }
        assert_eq!(attempts, 50 * 60 / 30, "every thirty seconds once the set is no longer fresh");
        if world.look("a") == KeyLookup::Fetch {
            world.fail();
        }
        assert!(matches!(world.look("a"), KeyLookup::Unavailable { .. }));
        while world.look("a") != KeyLookup::Fetch {
            world.later(1_000);
        }
        world.answer(&["a"]);
        assert_eq!(world.look("a"), found());
    }

    #[test]
    fn whether_a_key_is_known_is_not_said_while_the_issuer_is_out_of_reach() {
        let mut world = World::new();
        world.look("a");
        world.answer(&["a"]);
        assert_eq!(world.later(1).look("b"), KeyLookup::Fetch);
        world.fail();
        assert_eq!(world.look("b"), unavailable(30));
        assert_eq!(world.look("a"), found());
        assert_eq!(world.later(30_000).look("b"), KeyLookup::Fetch);
        world.answer(&["a", "b"]);
        assert_eq!(world.look("b"), found());
    }

    #[test]
    fn a_clock_that_steps_back_neither_panics_nor_forgets() {
        let mut world = World::new();
        world.look("a");
        world.answer(&["a"]);
        world.now_ms -= 7_200_000;
        assert_eq!(world.look("a"), found());
        world.now_ms = 0;
        assert_eq!(world.look("a"), found());
    }
}
