//! Keys that an object refused a moment ago: the key is not in force, its scope is too small, or the organization's
//! bucket is empty. The edge refuses such a key itself for a while. A flood of refused requests then costs some memory
//! of the edge that receives it, and next to nothing of the object, which serves the whole organization.
//!
//! Invariants:
//!
//! - The object would refuse every request that the edge refuses. No key that was revoked, has expired or has too small
//!   a scope gets better. A bucket that refuses a number of tokens refuses as many or more until the time that the
//!   object named has passed, as only time and the operator fill it. The edge counts that time from the instant when it
//!   asked the object, which is not later than when the object looked. A batch is told the time that was right then: a
//!   bucket that has too few tokens for it may have given some to others since.
//! - The edge refuses only the key that the object refused, of the same kind and for the same scope: 401 and 403
//!   win over 429, and an object that finds the bucket empty has found neither.
//! - After the operator revokes a key or raises a limit, the isolate that served the operator sees the change at
//!   once, and every other isolate within [`HOLD_MAX_MS`].
//! - The cache holds at most [`REMEMBERED_MAX`] keys. For any further key the edge asks the object.

use crate::bounded::BoundedMap;
use crate::directory::api_key::{KeyDigest, KeyKind, Scope};
use crate::directory::identifiers::OrganizationId;
use crate::directory::quota::Quota;
use crate::directory::timestamp::Timestamp;
use crate::organization::protocol::{Admission, Caller, Denial, Rejection, Reply};

/// The longest time for which the edge does not ask an object, in milliseconds.
pub const HOLD_MAX_MS: i64 = 1_000;

pub const REMEMBERED_MAX: usize = 1_024;

type Key = (KeyDigest, KeyKind, Scope);

#[derive(Debug)]
struct Denied {
    organization: OrganizationId,
    /// When the edge asked the object, by the edge's clock. All instants here are by that clock.
    asked_at: Timestamp,
    /// When the edge asks the object again.
    until: Timestamp,
    reason: Reason,
}

#[derive(Debug)]
enum Reason {
    /// The key itself, whatever the request costs.
    Key(Denial),
    Bucket(EmptyBucket),
}

/// A bucket that refused a number of tokens.
#[derive(Debug)]
struct EmptyBucket {
    cost: u32,
    /// When the bucket holds these tokens.
    retry_at: Timestamp,
    /// When the bucket is full.
    full_at: Timestamp,
    admission: Admission,
    quota: Quota,
}

impl Denied {
    /// Whether the edge may refuse at this instant. After the clock was set back, the time since the edge asked the
    /// object is unknown.
    fn holds(&self, now: Timestamp) -> bool {
        self.asked_at <= now && now < self.until
    }
}

impl EmptyBucket {
    /// The refusal of a request that costs as much or more; `None` for one that costs less.
    fn refuse(&self, cost: u32, now: Timestamp) -> Option<(Admission, Denial)> {
        let from_now = |instant: Timestamp| instant.millis().saturating_sub(now.millis()).max(0);
        let admission = Admission { full_in_ms: from_now(self.full_at), ..self.admission };
        // The object asks the bucket for no more than it can hold.
        let [cost, refused] = [cost, self.cost].map(|cost| cost.min(admission.burst));
        let further = u64::from(cost.checked_sub(refused)?);
        // Rounded up, and so at most a millisecond later than the object would say.
        let further_ms = further.saturating_mul(1_000).div_ceil(u64::from(admission.per_second.max(1)));
        let retry_after_ms = from_now(self.retry_at).saturating_add_unsigned(further_ms);
        Some((admission, Denial::RateLimited { retry_after_ms, quota: self.quota }))
    }
}

/// The refusals that an isolate remembers.
#[derive(Debug, Default)]
pub struct DenialCache {
    held: BoundedMap<Key, Denied, REMEMBERED_MAX>,
}

impl DenialCache {
    /// The reply that the object would give at this instant, if the cache knows it.
    pub fn find(&self, caller: &Caller, now: impl FnOnce() -> Timestamp) -> Option<Reply> {
        if self.held.is_empty() {
            return None;
        }
        let (key, cost) = key(caller)?;
        let denied = self.held.get(&key)?;
        let now = now();
        if !denied.holds(now) {
            return None;
        }
        let (admission, denial) = match &denied.reason {
            Reason::Key(denial) => (None, *denial),
            Reason::Bucket(bucket) => bucket.refuse(cost, now).map(|(admission, denial)| (Some(admission), denial))?,
        };
        Some(Reply::new(admission, Err(Rejection::Denied(denial))))
    }

    /// Remembers the reply of an object that the edge asked at `asked_at`, if it refuses the caller.
    pub fn note(
        &mut self,
        organization: OrganizationId,
        caller: &Caller,
        reply: &Reply,
        asked_at: Timestamp,
        now: impl FnOnce() -> Timestamp,
    ) {
        let (Err(Rejection::Denied(denial)), Some((key, cost))) = (&reply.outcome, key(caller)) else { return };
        let answered_at = now();
        let after = |instant: i64, millis: i64| Timestamp::from_millis(instant.saturating_add(millis));
        let (reason, hold_ms) = match *denial {
            Denial::InvalidKey | Denial::ExpiredKey | Denial::ScopeTooSmall { .. } => {
                (Reason::Key(*denial), HOLD_MAX_MS)
            }
            Denial::RateLimited { retry_after_ms, quota } => {
                let Some(admission) = reply.admission else { return };
                // The object looked between the question and its answer. Its clock is believed within these bounds.
                let looked_at = admission.full_at.millis().saturating_sub(admission.full_in_ms);
                let looked_at = looked_at.min(answered_at.millis()).max(asked_at.millis());
                let retry_at = after(looked_at, retry_after_ms);
                let full_at = after(looked_at, admission.full_in_ms);
                let bucket = EmptyBucket { cost, retry_at, full_at, admission, quota };
                (Reason::Bucket(bucket), retry_after_ms.min(HOLD_MAX_MS))
            }
        };
        let denied = Denied { organization, asked_at, until: after(asked_at.millis(), hold_ms), reason };
        self.held.insert_if_room(key, denied, |held| !held.holds(answered_at));
    }

    /// Forgets an organization that the operator changes.
    pub fn forget(&mut self, organization: OrganizationId) {
        self.held.retain(|denied| denied.organization != organization);
    }
}

/// What the cache knows a caller by, and the tokens that it asks for.
fn key(caller: &Caller) -> Option<(Key, u32)> {
    match caller {
        Caller::Key { digest, kind, scope, cost } => Some(((digest.clone(), *kind, *scope), *cost)),
        Caller::Operator(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::organization::limiter::{Rate, Tat};
    use crate::organization::protocol::Answer;

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
                Ok(Answer::Admit(()))
            } else {
                let retry_after_ms = decision.retry_after_ms();
                Err(Rejection::Denied(Denial::RateLimited { retry_after_ms, quota: QUOTA }))
            };
            Reply::new(Some(Admission::new(self.rate, &decision, now)), outcome)
        }

        /// The same, without taking anything.
        fn would(&self, now: Timestamp, cost: u32) -> Reply {
            Self { rate: self.rate, tat: self.tat }.ask(now, cost)
        }
    }

    fn retry_after_ms(reply: &Reply) -> Option<i64> {
        match reply.outcome {
            Err(Rejection::Denied(Denial::RateLimited { retry_after_ms, .. })) => Some(retry_after_ms),
            _ => None,
        }
    }

    /// Edges with latencies and an object, whose clocks agree. An edge that refuses gives the reply that the object
    /// would give at that instant. The time to retry a batch may be that of the question, or rounded up.
    #[test]
    fn the_object_would_give_every_refusal_of_the_edge() {
        let given = std::env::var("ROLLCALL_SEED").ok();
        let seed = given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().expect("a number"));
        println!("ROLLCALL_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut refused_here, mut batches_refused_here) = (0, 0);
        for _ in 0..300 {
            let rate = Rate::new(random.u32(1..50), random.u32(1..20));
            let mut object = Object { rate, tat: Tat::default() };
            let mut edges = [DenialCache::default(), DenialCache::default()];
            let mut now = 0;
            for _ in 0..200 {
                now += random.i64(0..40);
                let edge = &mut edges[random.usize(..2)];
                let cost = if random.u8(..4) == 0 { random.u32(1..50) } else { 1 };
                let caller = caller("ada", Scope::Read, cost);
                if let Some(told) = edge.find(&caller, || at(now)) {
                    let would = object.would(at(now), cost);
                    let [told_ms, would_ms] = [&told, &would].map(|reply| retry_after_ms(reply).unwrap());
                    if cost == 1 {
                        assert_eq!((told_ms, told.admission), (would_ms, would.admission));
                    }
                    assert!(told_ms <= would_ms + 1, "{told_ms} {would_ms}");
                    batches_refused_here += i32::from(cost > 1);
                    refused_here += 1;
                    continue;
                }
                let (there, back) = (random.i64(0..30), random.i64(0..30));
                let reply = object.ask(at(now + there), cost);
                edge.note(organization(1), &caller, &reply, at(now), || at(now + there + back));
                now += there + back;
            }
        }
        println!("{refused_here} refused by edges, {batches_refused_here} of them batches");
        assert!(refused_here > 1_000 && batches_refused_here > 1_000);
    }

    fn denied() -> Reply {
        let mut object = Object { rate: Rate::new(1, 1), tat: Tat::default() };
        object.ask(at(0), 1);
        object.ask(at(0), 1)
    }

    #[test]
    fn only_the_refused_key_is_refused() {
        let mut cache = DenialCache::default();
        cache.note(organization(1), &caller("ada", Scope::Read, 1), &denied(), at(0), || at(10));
        let find = |caller: &Caller, millis| cache.find(caller, || at(millis)).is_some();
        assert!(find(&caller("ada", Scope::Read, 1), 999));
        assert!(!find(&caller("ada", Scope::Read, 1), 1_000), "the time has passed");
        assert!(!find(&caller("ada", Scope::Read, 1), -1), "the clock was set back");
        assert!(!find(&caller("ada", Scope::ReadWrite, 1), 1), "this may be a 403");
        assert!(!find(&caller("bob", Scope::Read, 1), 1), "this may be a 401");
        assert!(!find(&caller("ada", Scope::Read, 0), 1), "this takes nothing");
        assert!(find(&caller("ada", Scope::Read, 2), 1), "this takes more");
        assert!(!find(&Caller::Operator(None), 1));
    }

    #[test]
    fn a_bucket_that_refuses_a_batch_may_hold_the_token_of_a_single_request() {
        let mut object = Object { rate: Rate::new(1, 100), tat: Tat::default() };
        object.ask(at(0), 90);
        let mut cache = DenialCache::default();
        let batch = |cost| caller("ada", Scope::ReadWrite, cost);
        cache.note(organization(1), &batch(20), &object.ask(at(0), 20), at(0), || at(0));
        let told = |cost| cache.find(&batch(cost), || at(1)).and_then(|reply| retry_after_ms(&reply));
        assert_eq!([1, 19, 20, 50].map(told), [None, None, Some(9_999), Some(39_999)]);
        assert_eq!(told(1_000), told(100), "a batch waits for a whole bucket at most");
    }

    #[test]
    fn a_key_that_is_not_good_is_refused_whatever_the_request_costs() {
        for denial in [Denial::InvalidKey, Denial::ExpiredKey, Denial::ScopeTooSmall { quota: QUOTA }] {
            let mut cache = DenialCache::default();
            let reply = Reply::new(None, Err(Rejection::Denied(denial)));
            cache.note(organization(1), &caller("ada", Scope::ReadWrite, 1), &reply, at(0), || at(10));
            let find = |scope, cost, millis| cache.find(&caller("ada", scope, cost), || at(millis));
            for cost in [0, 1, 50] {
                let told = find(Scope::ReadWrite, cost, HOLD_MAX_MS - 1).unwrap();
                assert_eq!((told.admission, told.outcome.unwrap_err()), (None, Rejection::Denied(denial)));
            }
            assert!(find(Scope::ReadWrite, 1, HOLD_MAX_MS).is_none());
            assert!(find(Scope::Read, 1, 1).is_none(), "this scope may be enough");
        }
    }

    #[test]
    fn the_operator_is_heeded_at_once_here_and_within_a_second_elsewhere() {
        let mut cache = DenialCache::default();
        let outcome = Err(Rejection::Denied(Denial::RateLimited { retry_after_ms: 100_000, quota: QUOTA }));
        let reply = Reply { outcome, ..denied() };
        let (ada, bob) = (caller("ada", Scope::Read, 1), caller("bob", Scope::Read, 1));
        cache.note(organization(1), &ada, &reply, at(0), || at(10));
        cache.note(organization(2), &bob, &reply, at(0), || at(10));
        assert!(cache.find(&ada, || at(HOLD_MAX_MS - 1)).is_some());
        assert!(cache.find(&ada, || at(HOLD_MAX_MS)).is_none());
        cache.forget(organization(1));
        assert!(cache.find(&ada, || at(1)).is_none());
        assert!(cache.find(&bob, || at(1)).is_some());
    }

    /// However far the object's clock is off, the time to retry stays within what is possible.
    #[test]
    fn a_clock_that_differs_is_believed_as_far_as_it_can_be_right() {
        let ada = caller("ada", Scope::Read, 1);
        for ahead in [-5_000, 0, 5_000] {
            let mut object = Object { rate: Rate::new(1, 1), tat: Tat::default() };
            object.ask(at(ahead), 1);
            let mut cache = DenialCache::default();
            cache.note(organization(1), &ada, &object.ask(at(ahead), 1), at(0), || at(10));
            let told = cache.find(&ada, || at(20)).and_then(|reply| retry_after_ms(&reply));
            assert!(told.is_some_and(|millis| (980..=990).contains(&millis)), "{ahead}: {told:?}");
        }
    }

    #[test]
    fn memory_is_bounded_and_makes_room_when_the_time_has_passed() {
        let mut cache = DenialCache::default();
        let names: Vec<_> =
            (0..REMEMBERED_MAX + 100).map(|number| caller(&number.to_string(), Scope::Read, 1)).collect();
        for caller in &names {
            cache.note(organization(1), caller, &denied(), at(0), || at(10));
            assert!(cache.held.len() <= REMEMBERED_MAX);
        }
        let found = names.iter().filter(|caller| cache.find(caller, || at(20)).is_some()).count();
        assert_eq!(found, REMEMBERED_MAX);
        let late = caller("late", Scope::Read, 1);
        cache.note(organization(1), &late, &denied(), at(2_000), || at(2_010));
        assert!(cache.find(&late, || at(2_020)).is_some());
        assert_eq!(cache.held.len(), 1);
    }
}
