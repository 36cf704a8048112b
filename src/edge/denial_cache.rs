//! Who was told a moment ago that the organization's bucket is empty: until it holds a token again, they
//! are refused where they arrive. A flood of requests beyond the limit then costs its sender's edge some
//! memory, and the object, which serves all of the organization, next to nothing.
//!
//! Invariants:
//!
//! - Who is refused here, the object would refuse at this instant too: a bucket without a token has none
//!   until the time it named has passed, whoever asks meanwhile, as nothing but time and the operator fill
//!   it. The time is counted from when the object was asked, which is not later than when it looked.
//! - Only for the key that was refused, of the same kind and for the same scope: 401 and 403 win over 429,
//!   and the object has let them pass.
//! - What the operator changes, a key revoked or a limit raised, is seen at once by the isolate that
//!   served the operator, and within [`HOLD_MAX_MS`] by every other.
//! - Memory is bounded: at most [`REMEMBERED_MAX`] keys. Of more, the object is asked.

use crate::directory::api_key::{KeyDigest, KeyKind, Scope};
use crate::directory::identifiers::OrganizationId;
use crate::directory::quota::Quota;
use crate::directory::timestamp::Timestamp;
use crate::organization::protocol::{Admission, Caller, Denial, Outcome, Reply};

/// Longest time for which an object is not asked, in milliseconds.
pub const HOLD_MAX_MS: i64 = 1_000;

pub const REMEMBERED_MAX: usize = 1_024;

type Key = (KeyDigest, KeyKind, Scope);

#[derive(Debug)]
struct Denied {
    organization: OrganizationId,
    /// When the object was asked, by the edge's clock, as are all that follow.
    asked_at: Timestamp,
    /// Until then the object need not be asked.
    until: Timestamp,
    /// When a token is there.
    retry_at: Timestamp,
    full_at: Timestamp,
    admission: Admission,
    quota: Quota,
}

/// What an isolate remembers.
#[derive(Debug, Default)]
pub struct DenialCache {
    /// In the order of the keys.
    held: Vec<(Key, Denied)>,
}

impl DenialCache {
    /// What the object would answer at this instant, if that is known.
    pub fn find(&self, caller: &Caller, now: impl FnOnce() -> Timestamp) -> Option<Reply> {
        if self.held.is_empty() {
            return None;
        }
        let (_, denied) = self.held.get(self.place(&key(caller)?).ok()?)?;
        let now = now();
        // A clock that was set back says nothing of how long ago that was.
        if now < denied.asked_at || now >= denied.until {
            return None;
        }
        let from_now = |instant: Timestamp| instant.millis().saturating_sub(now.millis()).max(0);
        let admission = Admission { full_in_ms: from_now(denied.full_at), ..denied.admission };
        let denial = Denial::RateLimited { retry_after_ms: from_now(denied.retry_at), quota: denied.quota };
        Some(Reply::new(Some(admission), Outcome::Denied(denial)))
    }

    /// Remembers what an object has answered to who asked at this instant, if it is that there is no token.
    pub fn note(
        &mut self,
        organization: OrganizationId,
        caller: &Caller,
        reply: &Reply,
        asked_at: Timestamp,
        now: impl FnOnce() -> Timestamp,
    ) {
        let Outcome::Denied(Denial::RateLimited { retry_after_ms, quota }) = reply.outcome else { return };
        let (Some(admission), Some(key)) = (reply.admission, key(caller)) else { return };
        let answered_at = now();
        // The object's clock is believed as far as it can be right.
        let looked_at = admission.full_at.millis().saturating_sub(admission.full_in_ms);
        let looked_at = looked_at.min(answered_at.millis()).max(asked_at.millis());
        let after = |instant: i64, millis: i64| Timestamp::from_millis(instant.saturating_add(millis));
        let denied = Denied {
            organization,
            asked_at,
            until: after(asked_at.millis(), retry_after_ms.min(HOLD_MAX_MS)),
            retry_at: after(looked_at, retry_after_ms),
            full_at: after(looked_at, admission.full_in_ms),
            admission,
            quota,
        };
        if self.held.len() >= REMEMBERED_MAX {
            self.held.retain(|(_, held)| held.asked_at <= answered_at && answered_at < held.until);
        }
        match self.place(&key) {
            Ok(place) => {
                if let Some(held) = self.held.get_mut(place) {
                    held.1 = denied;
                }
            }
            Err(place) if self.held.len() < REMEMBERED_MAX => self.held.insert(place, (key, denied)),
            Err(_) => {}
        }
    }

    /// For what the operator has done to an organization.
    pub fn forget(&mut self, organization: OrganizationId) {
        self.held.retain(|(_, denied)| denied.organization != organization);
    }

    /// Where a key is, or belongs.
    fn place(&self, key: &Key) -> Result<usize, usize> {
        self.held.binary_search_by(|(held, _)| held.cmp(key))
    }
}

/// Those who ask for one token: if there is none for them, there is none for anybody. For more than one
/// there may be none when there is for others.
fn key(caller: &Caller) -> Option<Key> {
    match caller {
        Caller::Key { digest, kind, scope, cost: 1 } => Some((digest.clone(), *kind, *scope)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::organization::limiter::{Rate, Tat};

    const START_MS: i64 = 1_800_000_000_000;
    const QUOTA: Quota = Quota {
        turns_used: 1,
        turns_limit: 2,
        relationships_used: 3,
        relationships_limit: 4,
        resets_at: Timestamp::from_millis(START_MS),
    };

    fn caller(name: &str, scope: Scope, cost: u32) -> Caller {
        let digest = serde_json::from_value(name.into()).unwrap();
        Caller::Key { digest, kind: KeyKind::Api, scope, cost }
    }

    fn organization(number: u8) -> OrganizationId {
        OrganizationId::new(Timestamp::from_millis(START_MS), [number; 10])
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(START_MS + millis)
    }

    /// An object's bucket, as `Organization::admit` asks it.
    struct Object {
        rate: Rate,
        tat: Tat,
    }

    impl Object {
        fn ask(&mut self, now: Timestamp, cost: u32) -> Reply {
            let decision = self.rate.take(&mut self.tat, now.micros(), cost.min(self.rate.burst()));
            let outcome = if decision.allowed {
                Outcome::Admitted
            } else {
                Outcome::Denied(Denial::RateLimited { retry_after_ms: decision.retry_after_ms(), quota: QUOTA })
            };
            Reply::new(Some(Admission::new(self.rate, &decision, now)), outcome)
        }

        /// The same, without taking anything.
        fn would(&self, now: Timestamp) -> Reply {
            Self { rate: self.rate, tat: self.tat }.ask(now, 1)
        }
    }

    fn retry_after_ms(reply: &Reply) -> Option<i64> {
        match reply.outcome {
            Outcome::Denied(Denial::RateLimited { retry_after_ms, .. }) => Some(retry_after_ms),
            _ => None,
        }
    }

    /// Edges with latencies and an object, whose clocks agree: who is refused at an edge is told what
    /// the object would say at that instant, word for word.
    #[test]
    fn who_is_refused_here_the_object_would_refuse() {
        let given = std::env::var("ROLLCALL_SEED").ok();
        let seed = given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("a number"));
        println!("ROLLCALL_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut refused_here = 0;
        for _ in 0..300 {
            let rate = Rate::new(random.u32(1..50), random.u32(1..20));
            let mut object = Object { rate, tat: Tat::default() };
            let mut edges = [DenialCache::default(), DenialCache::default()];
            let mut now = 0;
            for _ in 0..200 {
                now += random.i64(0..40);
                let edge = &mut edges[random.usize(..2)];
                let caller = caller("ada", Scope::Read, if random.u8(..8) == 0 { 5 } else { 1 });
                let Caller::Key { cost, .. } = caller else { unreachable!() };
                if let Some(told) = edge.find(&caller, || at(now)) {
                    let would = object.would(at(now));
                    assert_eq!(retry_after_ms(&told), retry_after_ms(&would));
                    assert_eq!(told.admission, would.admission);
                    refused_here += 1;
                    continue;
                }
                let (there, back) = (random.i64(0..30), random.i64(0..30));
                let reply = object.ask(at(now + there), cost);
                edge.note(organization(1), &caller, &reply, at(now), || at(now + there + back));
                now += there + back;
            }
        }
        println!("{refused_here} refused by edges");
        assert!(refused_here > 1_000);
    }

    fn denied() -> Reply {
        let mut object = Object { rate: Rate::new(1, 1), tat: Tat::default() };
        object.ask(at(0), 1);
        object.ask(at(0), 1)
    }

    #[test]
    fn only_who_was_refused_is() {
        let mut throttled = DenialCache::default();
        throttled.note(organization(1), &caller("ada", Scope::Read, 1), &denied(), at(0), || at(10));
        let find = |caller: &Caller, millis| throttled.find(caller, || at(millis)).is_some();
        assert!(find(&caller("ada", Scope::Read, 1), 999));
        assert!(!find(&caller("ada", Scope::Read, 1), 1_000), "the time has passed");
        assert!(!find(&caller("ada", Scope::Read, 1), -1), "the clock was set back");
        assert!(!find(&caller("ada", Scope::ReadWrite, 1), 1), "this may be a 403");
        assert!(!find(&caller("bob", Scope::Read, 1), 1), "this may be a 401");
        assert!(!find(&caller("ada", Scope::Read, 0), 1), "this takes nothing");
        assert!(!find(&Caller::Operator, 1));
    }

    #[test]
    fn the_operator_is_heeded_at_once_here_and_within_a_second_elsewhere() {
        let mut throttled = DenialCache::default();
        let outcome = Outcome::Denied(Denial::RateLimited { retry_after_ms: 100_000, quota: QUOTA });
        let reply = Reply { outcome, ..denied() };
        let (ada, bob) = (caller("ada", Scope::Read, 1), caller("bob", Scope::Read, 1));
        throttled.note(organization(1), &ada, &reply, at(0), || at(10));
        throttled.note(organization(2), &bob, &reply, at(0), || at(10));
        assert!(throttled.find(&ada, || at(HOLD_MAX_MS - 1)).is_some());
        assert!(throttled.find(&ada, || at(HOLD_MAX_MS)).is_none());
        throttled.forget(organization(1));
        assert!(throttled.find(&ada, || at(1)).is_none());
        assert!(throttled.find(&bob, || at(1)).is_some());
    }

    /// Whatever the object's clock says, the time to retry is neither before nor after what is possible.
    #[test]
    fn a_clock_that_differs_is_believed_as_far_as_it_can_be_right() {
        let ada = caller("ada", Scope::Read, 1);
        for ahead in [-5_000, 0, 5_000] {
            let mut object = Object { rate: Rate::new(1, 1), tat: Tat::default() };
            object.ask(at(ahead), 1);
            let mut throttled = DenialCache::default();
            throttled.note(organization(1), &ada, &object.ask(at(ahead), 1), at(0), || at(10));
            let told = throttled.find(&ada, || at(20)).and_then(|reply| retry_after_ms(&reply));
            assert!(told.is_some_and(|millis| (980..=990).contains(&millis)), "{ahead}: {told:?}");
        }
    }

    #[test]
    fn memory_is_bounded_and_makes_room_when_the_time_has_passed() {
        let mut throttled = DenialCache::default();
        let names: Vec<_> =
            (0..REMEMBERED_MAX + 100).map(|number| caller(&number.to_string(), Scope::Read, 1)).collect();
        for caller in &names {
            throttled.note(organization(1), caller, &denied(), at(0), || at(10));
            assert!(throttled.held.len() <= REMEMBERED_MAX);
        }
        let found = names.iter().filter(|caller| throttled.find(caller, || at(20)).is_some()).count();
        assert_eq!(found, REMEMBERED_MAX);
        let late = caller("late", Scope::Read, 1);
        throttled.note(organization(1), &late, &denied(), at(2_000), || at(2_010));
        assert!(throttled.find(&late, || at(2_020)).is_some());
        assert_eq!(throttled.held.len(), 1);
    }
}
