//! The leases of an isolate: under a lease the edge answers reads of one key from KV without asking the object.
//!
//! Invariants:
//!
//! - **No answer is older than it says.** A lease counts from the moment when the edge asked for it, by the edge's
//!   clock. The edge looks at it again after KV has answered: then it must still last, and be young enough for the
//!   caller. The edge reads KV only after it has the lease by which it judges the copy.
//! - A copy counts only if its version is at least the one that the lease names for its user, or if the lease does not
//!   name the user.
//! - The edge admits at most one read with each token of a lease, before the lease lapses.
//! - One request at a time asks for a lease of a key, so that an isolate has no more leases than it uses.
//! - A key that the object refused, or whose organization the operator changed by this isolate, has no lease any more.
//! - The isolate holds at most [`LEASES_MAX`] keys, each with at most
//!   [`LISTED_MAX`](crate::organization::copies::LISTED_MAX) names of users: some 12 MB at the very most.

use std::rc::Rc;

use crate::backoff;
use crate::bounded::BoundedMap;
use crate::directory::api_key::{KeyDigest, KeyKind};
use crate::directory::end_user::Version;
use crate::directory::epoch::Epoch;
use crate::directory::identifiers::OrganizationId;
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};
use crate::organization::copies::BACKOFF_MAX_MS;
use crate::organization::protocol::{Admission, Lease};

/// Most keys with a lease.
pub const LEASES_MAX: usize = 128;
/// Most leases of one key whose tokens are left.
const GRANTS_MAX: usize = 4;
/// How long one request may take to ask for a lease, in milliseconds. Then another one asks.
const ASK_MAX_MS: i64 = 15_000;

/// What a lease is for: one key.
pub type LeaseKey = (KeyDigest, KeyKind);

/// How the edge answers a read.
#[derive(Debug)]
pub enum Access {
    /// From KV, if KV has a copy that counts.
    Leased(Ticket),
    /// By the object, which is asked for a lease too. The number is how many tokens were used or wanted since the last
    /// time.
    Ask { used: u32 },
    /// By the object.
    Object,
}

/// The right to answer one read from KV.
#[derive(Debug)]
pub struct Ticket {
    terms: Rc<Terms>,
    /// When its token lapses.
    lapses_at: Timestamp,
}

/// What the edge knows by a lease.
#[derive(Debug)]
struct Terms {
    /// When the edge asked for it. All instants here are by the edge's clock.
    asked_at: Timestamp,
    lapses_at: Timestamp,
    epoch: Epoch,
    /// In the order of the digests.
    changed: Vec<(String, Version)>,
    tokens: u32,
}

impl Terms {
    /// How old an answer is, in milliseconds; `None` when it may be older than that. After the clock was set back the
    /// age is unknown.
    fn age_ms(&self, now: Timestamp, stale_ms: i64) -> Option<i64> {
        let age_ms = now.millis().saturating_sub(self.asked_at.millis());
        (age_ms >= 0 && age_ms <= stale_ms && now < self.lapses_at).then_some(age_ms)
    }

    fn allows(&self, digest: &str, version: Version) -> bool {
        let place = self.changed.binary_search_by(|(changed, _)| changed.as_str().cmp(digest));
        place.ok().and_then(|place| self.changed.get(place)).is_none_or(|(_, changed)| version >= *changed)
    }
}

impl Ticket {
    pub fn epoch(&self) -> Epoch {
        self.terms.epoch
    }
}

/// The tokens of one lease that are left.
#[derive(Debug)]
struct Grant {
    lapses_at: Timestamp,
    left: u32,
}

#[derive(Debug)]
struct Held {
    organization: OrganizationId,
    /// Of the newest lease.
    terms: Option<Rc<Terms>>,
    /// Oldest first.
    grants: Vec<Grant>,
    /// Tokens used or wanted since the last request for a lease.
    used: u32,
    /// Until when a request asks for a lease.
    asking_until: Timestamp,
    /// The state of the bucket when the newest lease was given.
    admission: Option<Admission>,
}

impl Held {
    const fn new(organization: OrganizationId) -> Self {
        Self { organization, terms: None, grants: Vec::new(), used: 0, asking_until: Timestamp::EPOCH, admission: None }
    }

    fn left(&self) -> u32 {
        self.grants.iter().fold(0, |sum, grant| sum.saturating_add(grant.left))
    }

    /// Whether to ask for the next lease: when half of this one is used, or half of its time has passed.
    fn wants_lease(&self, terms: &Terms, age_ms: i64) -> bool {
        let lasts_ms = terms.lapses_at.millis().saturating_sub(terms.asked_at.millis());
        self.left() <= terms.tokens / 2 || age_ms >= lasts_ms / 2
    }
}

/// The leases that an isolate has, and how KV is for it.
#[derive(Debug, Default)]
pub struct Leases {
    held: BoundedMap<LeaseKey, Held, LEASES_MAX>,
    failures: i64,
    /// After KV has failed the edge leaves it alone until then. Then one read tries it, and the object answers the others.
    retry_at: Option<Timestamp>,
}

impl Leases {
    /// Decides how to answer a read that may be so old.
    pub fn take(&mut self, key: &LeaseKey, organization: OrganizationId, stale_ms: i64, now: Timestamp) -> Access {
        if self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return Access::Object;
        }
        if self.held.get(key).is_none() {
            let is_over = |held: &Held| held.grants.iter().all(|grant| grant.lapses_at <= now);
            self.held.insert_or_evict(key.clone(), Held::new(organization), is_over, |held| held.asking_until);
        }
        let Some(held) = self.held.get_mut(key) else { return Access::Object };
        held.used = held.used.saturating_add(1);
        held.grants.retain(|grant| now < grant.lapses_at && grant.left > 0);
        let terms = held.terms.clone();
        let fresh = terms.and_then(|terms| terms.age_ms(now, stale_ms).map(|age_ms| (terms, age_ms)));
        let wants_lease = fresh.as_ref().is_none_or(|(terms, age_ms)| held.wants_lease(terms, *age_ms));
        if wants_lease && held.asking_until <= now {
            held.asking_until = now.plus_ms(ASK_MAX_MS);
            return Access::Ask { used: std::mem::take(&mut held.used) };
        }
        match (fresh, held.grants.first_mut()) {
            (Some((terms, _)), Some(grant)) => {
                grant.left = grant.left.saturating_sub(1);
                if self.retry_at.is_some() {
                    self.retry_at = Some(paused_until(self.failures, now));
                }
                Access::Leased(Ticket { terms, lapses_at: grant.lapses_at })
            }
            _ => Access::Object,
        }
    }

    /// Whether an answer with a copy of this version is allowed now, after KV has answered. Returns its age in
    /// milliseconds.
    pub fn judge(
        &self,
        key: &LeaseKey,
        ticket: &Ticket,
        digest: &str,
        version: Version,
        stale_ms: i64,
        now: Timestamp,
    ) -> Option<i64> {
        let terms = &ticket.terms;
        // Dropped meanwhile, and maybe wanted again since: the object has refused the key, or the operator has changed the
        // organization.
        self.held.get(key)?.terms.as_ref()?;
        let now = if guards::is_on(Guard::LeaseAfterRead) { now } else { terms.asked_at };
        let is_paid = now < ticket.lapses_at;
        terms.age_ms(now, stale_ms).filter(|_| is_paid && terms.allows(digest, version))
    }

    /// Takes back the token of a read that the object answers after all.
    pub fn give_back(&mut self, key: &LeaseKey, ticket: &Ticket) {
        let grants = self.held.get_mut(key).map(|held| &mut held.grants);
        if let Some(grant) = grants.and_then(|grants| grants.iter_mut().find(|g| g.lapses_at == ticket.lapses_at)) {
            grant.left = grant.left.saturating_add(1);
        }
    }

    /// Notes what came of a request for a lease that the edge made at `asked_at`.
    pub fn note(&mut self, key: &LeaseKey, asked_at: Timestamp, lease: Option<Lease>, admission: Option<Admission>) {
        let Some(held) = self.held.get_mut(key) else { return };
        held.asking_until = Timestamp::EPOCH;
        let Some(Lease { epoch, lasts_ms, tokens, mut changed }) = lease else { return };
        changed.sort_unstable();
        let lapses_at = asked_at.plus_ms(lasts_ms);
        if held.grants.len() >= GRANTS_MAX {
            held.grants.remove(0);
        }
        held.grants.push(Grant { lapses_at, left: tokens });
        held.terms = Some(Rc::new(Terms { asked_at, lapses_at, epoch, changed, tokens }));
        // The bucket answered before it gave the tokens of the lease away.
        held.admission =
            admission.map(|admission| Admission { remaining: admission.remaining.saturating_sub(tokens), ..admission });
    }

    /// The state of the bucket for a caller who is answered from KV: what was left when the lease was given, with the
    /// tokens of the lease.
    pub fn admission(&self, key: &LeaseKey, now: Timestamp) -> Option<Admission> {
        let held = self.held.get(key)?;
        let admission = held.admission?;
        let full_in_ms = admission.full_at.millis().saturating_sub(now.millis()).max(0);
        let remaining = admission.remaining.saturating_add(held.left()).min(admission.burst);
        Some(Admission { remaining, full_in_ms, ..admission })
    }

    /// Forgets a key that the object refuses.
    pub fn drop_key(&mut self, key: &LeaseKey) {
        self.held.remove(key);
    }

    /// Forgets an organization that the operator changes.
    pub fn forget(&mut self, organization: OrganizationId) {
        self.held.retain(|held| held.organization != organization);
    }

    /// Notes whether KV has answered. While it does not, the edge asks the object alone, for longer each time.
    pub fn note_kv(&mut self, has_answered: bool, now: Timestamp) {
        self.failures = if has_answered { 0 } else { self.failures.saturating_add(1) };
        self.retry_at = (!has_answered).then(|| paused_until(self.failures, now));
    }
}

/// Until when the edge leaves KV alone after so many failures.
fn paused_until(failures: i64, now: Timestamp) -> Timestamp {
    now.plus_ms(backoff::pause_ms(failures, BACKOFF_MAX_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> LeaseKey {
        (serde_json::from_value(name.into()).unwrap(), KeyKind::Api)
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + millis)
    }

    fn take(leases: &mut Leases, key: &LeaseKey, now: Timestamp) -> Access {
        leases.take(key, OrganizationId::new(at(0), [1; 10]), 5_000, now)
    }

    /// A lease of five seconds with one token.
    fn note(leases: &mut Leases, key: &LeaseKey, asked_at: Timestamp) {
        let lease = Lease { epoch: Epoch::of_number(1), lasts_ms: 5_000, tokens: 1, changed: Vec::new() };
        leases.note(key, asked_at, Some(lease), None);
    }

    #[test]
    fn an_isolate_has_leases_of_at_most_128_keys() {
        let mut leases = Leases::default();
        for number in 0..LEASES_MAX + 100 {
            let key = key(&number.to_string());
            assert!(matches!(take(&mut leases, &key, at(0)), Access::Ask { used: 1 }));
            note(&mut leases, &key, at(0));
            assert_eq!(leases.held.len(), LEASES_MAX.min(number + 1));
        }
    }

    #[test]
    fn a_key_has_at_most_four_leases_with_tokens() {
        let (mut leases, key) = (Leases::default(), key("ada"));
        assert!(matches!(take(&mut leases, &key, at(0)), Access::Ask { .. }));
        for number in 1..=GRANTS_MAX + 1 {
            note(&mut leases, &key, at(0));
            let held = leases.held.get(&key).map(|held| (held.grants.len(), held.left()));
            let left = number.min(GRANTS_MAX);
            assert_eq!(held, Some((left, u32::try_from(left).unwrap())));
        }
    }

    #[test]
    fn one_request_at_a_time_asks_for_a_lease_for_at_most_fifteen_seconds() {
        let (mut leases, key) = (Leases::default(), key("ada"));
        assert!(matches!(take(&mut leases, &key, at(0)), Access::Ask { .. }));
        assert!(matches!(take(&mut leases, &key, at(ASK_MAX_MS - 1)), Access::Object));
        assert!(matches!(take(&mut leases, &key, at(ASK_MAX_MS)), Access::Ask { used: 2 }));
    }
}
