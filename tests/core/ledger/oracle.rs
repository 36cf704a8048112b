//! The ledger as it must be: sets and maps, and the right answer to each call.
//!
//! Invariants, asserted here and independent of the answers:
//!
//! - Grants stay within the limits, the organization's and each person's: counted and reserved together.
//! - A turn is counted once, and never after its expiry.
//! - While an answer is kept for a key, nothing else is counted under the key.

use std::collections::{BTreeMap, BTreeSet};

use rollcall::directory::deletion::{Cascade, Erased};
use rollcall::directory::identifiers::{DeletionId, RelationshipId, RequestId};
use rollcall::directory::names::{self, Name};
use rollcall::directory::organization::Limits;
use rollcall::directory::quota::Component;
use rollcall::directory::quota::Quota;
use rollcall::directory::timestamp::Timestamp;
use rollcall::json;
use rollcall::organization::active_relationships;
use rollcall::organization::idempotency::KEPT_MS;
use rollcall::organization::protocol::{
    Answer, CountedTurn, Outcome, Rejection, ReservedTurn, Resource, Usage, UserUsage,
};
use rollcall::organization::turns::KEPT_AFTER_EXPIRY_MS;

use crate::calendar;
use crate::simulation::{Violation, ensure};

pub const AGENTS: [&str; 4] = ["Ada", "Twin", "Twin", "Bob"];
pub const USERS: [&str; 4] = ["a", "b/c", "🦀", "d"];

/// The agent that a request names, as the oracle sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Agent(usize),
    Ambiguous,
    Unknown,
}

/// A caller's request. A repetition is the same to the byte.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub target: Target,
    pub by_name: bool,
    /// The user whom the request names.
    pub user: Option<usize>,
    pub is_stateful: bool,
    pub key: Option<usize>,
}

impl Request {
    pub fn digest(&self) -> Option<String> {
        self.key.map(|key| format!("key-{key}"))
    }

    pub fn fingerprint(&self) -> String {
        format!("{:?}/{}/{:?}/{}", self.target, self.by_name, self.user, self.is_stateful)
    }

    /// The user who takes the turn.
    fn taker(&self) -> Option<usize> {
        self.user.filter(|_| self.is_stateful)
    }
}

/// One request's turn, from its reservation to its answer.
#[derive(Debug, Clone, Copy)]
pub struct Errand {
    pub id: RequestId,
    pub request: Request,
    pub relationship_id: RelationshipId,
    pub expires_in_ms: i64,
    pub has_affect: bool,
}

/// A person that ever existed. One who is made again under the same id is another person.
type Person = usize;

#[derive(Debug)]
struct User {
    person: Person,
    /// The number of the change that made the user.
    number: i64,
    version: i64,
    is_pending: bool,
    last_ms: Option<i64>,
    /// How many turns were counted in each period.
    turns: BTreeMap<i64, u64>,
}

#[derive(Debug)]
struct Relationship {
    id: RelationshipId,
    turns: i64,
    has_mood: bool,
    last_ms: Option<i64>,
}

#[derive(Debug)]
struct Turn {
    person: Option<Person>,
    /// The agent, while the relationship is the one in which the turn was reserved.
    agent: Option<usize>,
    /// The user whom the turn names, until they are erased.
    named: Option<usize>,
    is_new: bool,
    is_committed: bool,
    period_ms: i64,
    expires_ms: i64,
    key: Option<(String, String)>,
}

impl Turn {
    fn is_live(&self, now_ms: i64) -> bool {
        !self.is_committed && self.expires_ms > now_ms
    }
}

#[derive(Debug)]
struct Kept {
    /// `None` when the person whom the answer is about has been erased.
    answer: Option<KeptAnswer>,
    expires_ms: i64,
}

/// Leaves tombstones of the answers about some users.
fn forget_answers(kept: &mut BTreeMap<String, Kept>, is_about: impl Fn(Option<usize>) -> bool) {
    for kept in kept.values_mut() {
        kept.answer.take_if(|answer| is_about(answer.about));
    }
}

#[derive(Debug)]
struct KeptAnswer {
    fingerprint: String,
    by: RequestId,
    about: Option<usize>,
    document: String,
}

#[derive(Debug)]
struct Deletion {
    person: Option<Person>,
    cascade: Cascade,
    sequence: i64,
    erased: Erased,
}

#[derive(Debug, Default)]
pub struct Oracle {
    anchor_day: i64,
    pub turns_limit: u64,
    pub relationships_limit: u64,
    /// The turns of one person. 0 is no limit.
    user_limit: u64,
    people: Person,
    /// The number of the newest change.
    pub sequence: i64,
    users: BTreeMap<usize, User>,
    relationships: BTreeMap<(Person, usize), Relationship>,
    ledger: BTreeMap<RequestId, Turn>,
    kept: BTreeMap<String, Kept>,
    deletions: BTreeMap<DeletionId, Deletion>,
    /// Turns counted in each period, as the ids of their requests.
    counted: BTreeMap<i64, BTreeSet<RequestId>>,
    /// People who were active in each period, with the erased ones.
    active: BTreeMap<i64, BTreeSet<(Person, usize)>>,
    /// What the quotas of each period have reached, as events tell.
    reached: BTreeSet<(i64, String)>,
    /// The start of the first period of which storage still holds who was active.
    active_since_ms: i64,
}

/// The document that answers a turn.
pub fn document(errand: &Errand, is_counted: bool) -> String {
    format!(
        "{{\"interaction_id\":\"{}\",\"response\":\"yes\",\"inferred_emotional_state\":null,\"usage\":{{\
         \"turns_consumed\":1,\"active_relationship_counted\":{is_counted},\"llm_provider\":\"p\",\
         \"llm_model\":\"m\"}},\"latency_ms\":7}}",
        errand.id
    )
}

fn size<T>(set: Option<&BTreeSet<T>>) -> u64 {
    set.map_or(0, |set| set.len() as u64)
}

impl Oracle {
    pub fn new(anchor_day: i64) -> Self {
        // Making the agents was the first changes.
        Self { anchor_day, sequence: i64::try_from(AGENTS.len()).expect("a few"), ..Self::default() }
    }

    fn period(&self, now_ms: i64) -> i64 {
        calendar::period(self.anchor_day, now_ms).0
    }

    /// The object takes new limits over, which the quotas of the current period may have reached already.
    pub fn configure(&mut self, limits: &Limits, now_ms: i64) {
        (self.turns_limit, self.relationships_limit) = (limits.turns_per_period, limits.active_relationships);
        self.user_limit = limits.turns_per_user;
        self.sequence += 1;
        let period_ms = self.period(now_ms);
        self.reach("turns", period_ms);
        self.reach("active_relationships", period_ms);
    }

    /// Each event of a quota comes once in a period.
    fn reach(&mut self, component: &str, period_ms: i64) {
        let (used, limit) = match component {
            "turns" => (size(self.counted.get(&period_ms)), self.turns_limit),
            _ => (size(self.active.get(&period_ms)), self.relationships_limit),
        };
        for (event, is_reached) in [("warning", used * 5 >= limit * 4), ("exhausted", used >= limit)] {
            let is_new = used > 0 && is_reached && self.reached.insert((period_ms, format!("{component}.{event}")));
            self.sequence += i64::from(is_new);
        }
    }

    pub fn quota(&self, now_ms: i64) -> Quota {
        let (start_ms, end_ms) = calendar::period(self.anchor_day, now_ms);
        Quota {
            turns_used: size(self.counted.get(&start_ms)),
            turns_limit: self.turns_limit,
            relationships_used: size(self.active.get(&start_ms)),
            relationships_limit: self.relationships_limit,
            resets_at: Timestamp::from_millis(end_ms),
        }
    }

    pub fn usage(&self, now_ms: i64) -> Answer {
        let period_start = Timestamp::from_millis(self.period(now_ms));
        Answer::ReadUsage(Usage { quota: self.quota(now_ms), period_start })
    }

    /// The turns of one user, as the object tells them.
    pub fn usage_of(&self, user: usize, now_ms: i64) -> Outcome {
        let held = self.users.get(&user).ok_or(Rejection::NotFound(Resource::EndUser))?;
        let (start_ms, end_ms) = calendar::period(self.anchor_day, now_ms);
        Ok(Answer::ReadUserUsage(UserUsage {
            used: held.turns.get(&start_ms).copied().unwrap_or_default(),
            reserved: self.live_of(held.person, start_ms, now_ms).count() as u64,
            limit: (self.user_limit > 0).then_some(self.user_limit),
            period_start: Timestamp::from_millis(start_ms),
            resets_at: Timestamp::from_millis(end_ms),
        }))
    }

    fn live(&self, period_ms: i64, now_ms: i64) -> impl Iterator<Item = &Turn> {
        self.ledger.values().filter(move |turn| turn.period_ms == period_ms && turn.is_live(now_ms))
    }

    fn live_of(&self, person: Person, period_ms: i64, now_ms: i64) -> impl Iterator<Item = &Turn> {
        self.live(period_ms, now_ms).filter(move |turn| turn.person == Some(person))
    }

    /// When the next turn in progress expires.
    pub fn next_turn_end(&self, now_ms: i64) -> Option<i64> {
        self.ledger.values().filter(|turn| turn.is_live(now_ms)).map(|turn| turn.expires_ms).min()
    }

    /// The pairs that would become active if every turn in progress were committed now.
    fn prospects(&self, period_ms: i64, now_ms: i64) -> BTreeSet<(Person, usize)> {
        let active = self.active.get(&period_ms);
        let pairs = self.live(period_ms, now_ms).filter_map(|turn| turn.person.zip(turn.agent));
        pairs.filter(|pair| active.is_none_or(|active| !active.contains(pair))).collect()
    }

    /// Reserves. Returns the answer, and whether it repeats an earlier one.
    pub fn reserve(&mut self, errand: &Errand, now_ms: i64) -> Result<(Outcome, bool), Violation> {
        let fingerprint = errand.request.fingerprint();
        if let Some(digest) = errand.request.digest() {
            let is_other = |(_, turn): &(&RequestId, &Turn)| {
                turn.is_live(now_ms) && turn.key.as_ref().is_some_and(|(held, _)| *held == digest)
            };
            let other = self.ledger.iter().filter(|(id, _)| **id != errand.id).find(is_other);
            if let Some((_, held)) = other.and_then(|(_, turn)| turn.key.as_ref()) {
                let is_same = *held == fingerprint;
                let refusal = if is_same { Rejection::IdempotencyInFlight } else { Rejection::IdempotencyMismatch };
                return Ok((Err(refusal), false));
            }
            if let Some(kept) = self.kept.get(&digest).filter(|kept| kept.expires_ms > now_ms) {
                let Some(kept) = &kept.answer else { return Ok((Err(Rejection::IdempotencyOfErased), false)) };
                if kept.fingerprint != fingerprint {
                    return Ok((Err(Rejection::IdempotencyMismatch), false));
                }
                if let Some(refusal) = self.refusal_while_erased(kept.about)? {
                    return Ok((Err(refusal), false));
                }
                let document = json::Text::parse(kept.document.clone()).expect("JSON");
                let quota = Some(self.quota(now_ms));
                let answered = ReservedTurn::Answered(CountedTurn { document, quota });
                return Ok((Ok(Answer::ReserveTurn(answered)), kept.by != errand.id));
            }
        }
        Ok((self.reserve_anew(errand, now_ms)?, false))
    }

    /// The refusal to write to a user who is being erased.
    fn refusal_while_erased(&self, user: Option<usize>) -> Result<Option<Rejection>, Violation> {
        let user = user.and_then(|user| self.users.get(&user)).filter(|user| user.is_pending);
        let Some(user) = user else { return Ok(None) };
        let is_it = |known: &Deletion| known.person == Some(user.person) && known.cascade == Cascade::All;
        let erasure = self.deletions.iter().find(|(_, known)| is_it(known));
        let (deletion_id, _) = erasure.ok_or_else(|| Violation("an erasure has no receipt".to_owned()))?;
        Ok(Some(Rejection::DeletionPending { deletion_id: *deletion_id }))
    }

    fn reserve_anew(&mut self, errand: &Errand, now_ms: i64) -> Result<Outcome, Violation> {
        let agent = match errand.request.target {
            Target::Agent(agent) => agent,
            Target::Ambiguous => return Ok(Err(Rejection::Ambiguous)),
            Target::Unknown => return Ok(Err(Rejection::NotFound(Resource::Agent))),
        };
        let quota = self.quota(now_ms);
        let agent_name = Name::new(AGENTS[agent]).expect("a name");
        let reserved = Ok(Answer::ReserveTurn(ReservedTurn::New { agent_name, display_name: None, quota }));
        if self.ledger.contains_key(&errand.id) {
            return Ok(reserved);
        }
        let taker = errand.request.taker();
        if let Some(refusal) = self.refusal_while_erased(taker)? {
            return Ok(Err(refusal));
        }
        let held = taker.and_then(|user| self.users.get(&user)).map(|user| user.person);
        let period_ms = self.period(now_ms);
        let turns_used = quota.turns_used + self.live(period_ms, now_ms).count() as u64;
        if turns_used >= self.turns_limit {
            let is_used_up = quota.turns_used >= self.turns_limit;
            let quota = Quota { turns_used, ..quota };
            return Ok(Err(self.over_quota(Component::Turns, is_used_up, quota, now_ms)));
        }
        let is_active = |person| self.active.get(&period_ms).is_some_and(|active| active.contains(&(person, agent)));
        let is_new = taker.is_some() && !held.is_some_and(is_active);
        if is_new {
            let prospects = self.prospects(period_ms, now_ms);
            let others = prospects.iter().filter(|pair| held.is_none_or(|person| **pair != (person, agent))).count();
            let relationships_used = quota.relationships_used + others as u64;
            if relationships_used >= self.relationships_limit {
                let is_used_up = quota.relationships_used >= self.relationships_limit;
                let quota = Quota { relationships_used, ..quota };
                return Ok(Err(self.over_quota(Component::ActiveRelationships, is_used_up, quota, now_ms)));
            }
        }
        if let Some(refusal) = taker.and_then(|user| self.over_user_quota(user, quota, now_ms)) {
            return Ok(Err(refusal));
        }
        let person = taker.map(|user| self.ensure_pair(user, agent, errand.relationship_id));
        let key = errand.request.digest().map(|digest| (digest, errand.request.fingerprint()));
        let (expires_ms, agent) = (now_ms + errand.expires_in_ms, person.map(|_| agent));
        let named = errand.request.user;
        let turn = Turn { person, agent, named, is_new, is_committed: false, period_ms, expires_ms, key };
        self.ledger.insert(errand.id, turn);
        self.check_grant(is_new, period_ms, now_ms)?;
        self.check_grant_of(taker, period_ms, now_ms)?;
        Ok(reserved)
    }

    fn over_quota(&self, component: Component, is_used_up: bool, quota: Quota, now_ms: i64) -> Rejection {
        if is_used_up {
            return Rejection::OverQuota { component, quota };
        }
        let takes = |turn: &&Turn| component == Component::Turns || turn.is_new;
        let oldest = self.live(self.period(now_ms), now_ms).filter(takes).map(|turn| turn.expires_ms).min();
        Rejection::QuotaReserved { quota, retry_after_ms: oldest.map_or(0, |ends_ms| ends_ms - now_ms) }
    }

    /// The refusal of a turn beyond those of its person.
    fn over_user_quota(&self, user: usize, quota: Quota, now_ms: i64) -> Option<Rejection> {
        let (held, limit, period_ms) = (self.users.get(&user)?, self.user_limit, self.period(now_ms));
        let counted = held.turns.get(&period_ms).copied().unwrap_or_default();
        let ends: Vec<i64> = self.live_of(held.person, period_ms, now_ms).map(|turn| turn.expires_ms).collect();
        let granted = counted + ends.len() as u64;
        if limit == 0 || granted < limit {
            return None;
        }
        if counted >= limit {
            return Some(Rejection::OverUserQuota { used: granted, limit, quota });
        }
        let oldest = ends.into_iter().min();
        Some(Rejection::QuotaReserved { quota, retry_after_ms: oldest.map_or(0, |ends_ms| ends_ms - now_ms) })
    }

    fn ensure_pair(&mut self, user: usize, agent: usize, id: RelationshipId) -> Person {
        let (people, sequence) = (&mut self.people, &mut self.sequence);
        let make = || {
            *people += 1;
            *sequence += 1;
            let (number, turns) = (*sequence, BTreeMap::new());
            User { person: *people, number, version: number, is_pending: false, last_ms: None, turns }
        };
        let held = self.users.entry(user).or_insert_with(make);
        let person = held.person;
        // Readers see a new relationship with the user, so the user gets a new version.
        self.relationships.entry((person, agent)).or_insert_with(|| {
            *sequence += 1;
            held.version = *sequence;
            Relationship { id, turns: 0, has_mood: false, last_ms: None }
        });
        person
    }

    fn check_grant(&self, is_new: bool, period_ms: i64, now_ms: i64) -> Result<(), Violation> {
        let turns = size(self.counted.get(&period_ms)) + self.live(period_ms, now_ms).count() as u64;
        ensure!(turns <= self.turns_limit, "{turns} turns are granted of {}", self.turns_limit);
        let pairs = size(self.active.get(&period_ms)) + self.prospects(period_ms, now_ms).len() as u64;
        let limit = self.relationships_limit;
        ensure!(!is_new || pairs <= limit, "{pairs} active relationships are granted of {limit}");
        Ok(())
    }

    fn check_grant_of(&self, taker: Option<usize>, period_ms: i64, now_ms: i64) -> Result<(), Violation> {
        let Some(held) = taker.and_then(|user| self.users.get(&user)) else { return Ok(()) };
        let counted = held.turns.get(&period_ms).copied().unwrap_or_default();
        let turns = counted + self.live_of(held.person, period_ms, now_ms).count() as u64;
        let limit = self.user_limit;
        ensure!(limit == 0 || turns <= limit, "{turns} turns are granted to a person of {limit}");
        Ok(())
    }

    pub fn commit(&mut self, errand: &Errand, now_ms: i64) -> Result<Outcome, Violation> {
        let Some(turn) = self.ledger.get_mut(&errand.id) else { return Ok(Err(Rejection::TurnExpired)) };
        if !turn.is_committed {
            if turn.expires_ms <= now_ms {
                return Ok(Err(Rejection::TurnExpired));
            }
            let is_first = self.counted.entry(turn.period_ms).or_default().insert(errand.id);
            let times = self.counted.values().filter(|counted| counted.contains(&errand.id)).count();
            ensure!(is_first && times == 1, "{} is counted twice", errand.id);
            turn.is_committed = true;
            turn.is_new = false;
            let (person, pair) = (turn.person, turn.person.zip(turn.agent));
            let (period_ms, key, about) = (turn.period_ms, turn.key.clone(), turn.named);
            self.reach("turns", period_ms);
            // A turn counts for whoever is there, also if its relationship was erased meanwhile.
            let mut people = self.users.values_mut().filter(|user| !user.is_pending);
            if let Some(user) = people.find(|user| person == Some(user.person)) {
                *user.turns.entry(period_ms).or_default() += 1;
            }
            let is_counted = pair.is_some_and(|pair| self.interact(pair, period_ms, errand.has_affect, now_ms));
            if let Some(turn) = self.ledger.get_mut(&errand.id) {
                turn.is_new = is_counted;
            }
            if let Some((digest, fingerprint)) = key {
                let earlier = self.kept.get(&digest).filter(|kept| kept.expires_ms > now_ms);
                ensure!(earlier.is_none(), "{digest} has two effects: {earlier:?} and {}", errand.id);
                let (document, expires_ms) = (document(errand, is_counted), now_ms + KEPT_MS);
                let answer = Some(KeptAnswer { fingerprint, by: errand.id, about, document });
                self.kept.insert(digest, Kept { answer, expires_ms });
            }
        }
        let is_counted = self.ledger.get(&errand.id).is_some_and(|turn| turn.is_new);
        let document = json::Text::parse(document(errand, is_counted)).expect("JSON");
        Ok(Ok(Answer::CommitTurn(CountedTurn { document, quota: Some(self.quota(now_ms)) })))
    }

    fn interact(&mut self, pair: (Person, usize), period_ms: i64, has_affect: bool, now_ms: i64) -> bool {
        let user = self.users.values_mut().find(|user| user.person == pair.0);
        let Some(user) = user.filter(|user| !user.is_pending) else { return false };
        let Some(relationship) = self.relationships.get_mut(&pair) else { return false };
        self.sequence += 1;
        user.version = self.sequence;
        user.last_ms = Some(now_ms);
        relationship.turns += 1;
        relationship.has_mood |= has_affect;
        relationship.last_ms = Some(now_ms);
        let is_new = self.active.entry(period_ms).or_default().insert(pair);
        if is_new {
            self.reach("active_relationships", period_ms);
        }
        is_new
    }

    pub fn release(&mut self, id: RequestId) -> Answer {
        if self.ledger.get(&id).is_some_and(|turn| !turn.is_committed) {
            self.ledger.remove(&id);
        }
        Answer::ReleaseTurn(())
    }

    /// Requests an erasure, which completes when `sequence` is confirmed. Returns the receipt's id and its counts.
    pub fn delete(
        &mut self,
        id: DeletionId,
        user: usize,
        cascade: Cascade,
        sequence: i64,
    ) -> Option<(DeletionId, Erased)> {
        if let Some(known) = self.deletions.get(&id) {
            return Some((id, known.erased));
        }
        let named = user;
        let user = self.users.get_mut(&user)?;
        let person = user.person;
        if user.is_pending {
            let is_it = |known: &Deletion| known.person == Some(person) && known.cascade == Cascade::All;
            return self.deletions.iter().find(|(_, known)| is_it(known)).map(|(id, known)| (*id, known.erased));
        }
        self.sequence += 1;
        user.version = self.sequence;
        let mut erased = Erased::default();
        let pairs = (person, 0)..(person + 1, 0);
        let moods = self.relationships.range(pairs.clone()).filter(|(_, held)| held.has_mood).count();
        match cascade {
            Cascade::All => user.is_pending = true,
            Cascade::MemoryOnly => {
                erased.relationships = i64::try_from(self.relationships.range(pairs).count()).expect("a few");
                self.relationships.retain(|(held, _), _| *held != person);
                for turn in self.ledger.values_mut().filter(|turn| turn.person == Some(person)) {
                    turn.agent = None;
                }
                forget_answers(&mut self.kept, |about| about == Some(named));
            }
            Cascade::ModelOnly => self.relationships.range_mut(pairs).for_each(|(_, held)| held.has_mood = false),
        }
        if cascade != Cascade::All {
            erased.moods = i64::try_from(moods).expect("a few");
        }
        self.deletions.insert(id, Deletion { person: Some(person), cascade, sequence, erased });
        Some((id, erased))
    }

    /// Completes every erasure that the listing has confirmed. Returns the number of people removed.
    pub fn purge(&mut self, confirmed: i64, now_ms: i64) -> usize {
        let mut gone = BTreeSet::new();
        for deletion in self.deletions.values_mut().filter(|deletion| deletion.sequence <= confirmed) {
            let Some(person) = deletion.person.take() else { continue };
            if deletion.cascade == Cascade::All {
                let pairs = self.relationships.range((person, 0)..(person + 1, 0));
                let (relationships, moods) =
                    pairs.fold((0, 0), |(all, moods), (_, held)| (all + 1, moods + i64::from(held.has_mood)));
                deletion.erased = Erased { records: 1, relationships, moods };
                gone.insert(person);
            }
        }
        self.sequence += i64::try_from(gone.len()).expect("a few");
        let erased = self.users.extract_if(.., |_, user| gone.contains(&user.person));
        let erased: BTreeSet<usize> = erased.map(|(user, _)| user).collect();
        let is_erased = |user: Option<usize>| user.is_some_and(|user| erased.contains(&user));
        self.relationships.retain(|(person, _), _| !gone.contains(person));
        forget_answers(&mut self.kept, is_erased);
        for turn in self.ledger.values_mut().filter(|turn| is_erased(turn.named)) {
            (turn.person, turn.agent, turn.named) = (None, None, None);
            if let Some((digest, _)) = turn.key.take()
                && turn.is_live(now_ms)
            {
                self.kept.retain(|held, kept| *held != digest || kept.expires_ms > now_ms);
                let tombstone = Kept { answer: None, expires_ms: now_ms + KEPT_MS };
                self.kept.entry(digest).or_insert(tombstone);
            }
        }
        gone.len()
    }

    /// Forgets expired entries and returns the next expiry.
    pub fn sweep(&mut self, now_ms: i64) -> Option<Timestamp> {
        self.ledger.retain(|_, turn| turn.expires_ms + KEPT_AFTER_EXPIRY_MS > now_ms);
        self.kept.retain(|_, kept| kept.expires_ms > now_ms);
        self.active_since_ms = self.active_since_ms.max(now_ms - active_relationships::KEPT_MS + 1);
        let living: BTreeSet<Person> = self.users.values().map(|user| user.person).collect();
        let is_held = |active: &BTreeSet<(Person, usize)>| active.iter().any(|(person, _)| living.contains(person));
        let active = self.active.range(self.active_since_ms..).find(|(_, active)| is_held(active));
        let turns = self.ledger.values().map(|turn| turn.expires_ms + KEPT_AFTER_EXPIRY_MS);
        let answers = self.kept.values().map(|kept| kept.expires_ms);
        let active = active.map(|(period_ms, _)| period_ms + active_relationships::KEPT_MS);
        turns.chain(answers).chain(active).min().map(Timestamp::from_millis)
    }

    /// All lines that storage must hold, in order. It must hold no others.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut names = BTreeMap::new();
        for (user, held) in &self.users {
            let name = format!("{}#{}", USERS[*user], held.number);
            let state = if held.is_pending { "deletion_pending" } else { "active" };
            // The object holds the two latest periods.
            let mut periods = held.turns.iter().rev().map(|(period_ms, turns)| (*period_ms, *turns));
            let turns = [(); 2].map(|()| periods.next().unwrap_or_default());
            lines.push(format!("user {name} {} {state} {} {turns:?}", held.version, or_none(held.last_ms)));
            names.insert(held.person, name);
        }
        let name = |person: Option<Person>| person.map_or("-", |person| names[&person].as_str());
        for ((person, agent), held) in &self.relationships {
            let Relationship { id, turns, has_mood, last_ms } = held;
            let (person, mood, last) = (name(Some(*person)), i64::from(*has_mood), or_none(*last_ms));
            lines.push(format!("relationship {person} {} {id} {turns} {mood} {last}", agent + 1));
        }
        for (id, turn) in &self.ledger {
            let state = if turn.is_committed { "committed" } else { "reserved" };
            let pair = turn.person.zip(turn.agent);
            let relationship = or_none(pair.map(|pair| self.relationships[&pair].id));
            let key = turn.key.as_ref().map(|(digest, fingerprint)| format!("{digest} {fingerprint}"));
            let (period_ms, expires_ms, person, is_new) =
                (turn.period_ms, turn.expires_ms, name(turn.person), i64::from(turn.is_new));
            let (key, about) = (key.as_deref().unwrap_or("- -"), digest_of(turn.named));
            lines.push(format!(
                "turn {id} {state} {period_ms} {expires_ms} {relationship} {person} {is_new} {key} {about}"
            ));
        }
        for (period_ms, counted) in &self.counted {
            lines.push(format!("counter turns {period_ms} {}", counted.len()));
        }
        for (period_ms, active) in &self.active {
            lines.push(format!("counter active_relationships {period_ms} {}", active.len()));
            let is_held = |person| *period_ms >= self.active_since_ms && names.contains_key(person);
            for (person, agent) in active.iter().filter(|(person, _)| is_held(person)) {
                lines.push(format!("active {period_ms} {} {}", name(Some(*person)), agent + 1));
            }
        }
        lines.extend(self.reached.iter().map(|(period_ms, event)| format!("counter {event} {period_ms} 1")));
        for (digest, kept) in &self.kept {
            let expires_ms = kept.expires_ms;
            lines.push(match &kept.answer {
                Some(KeptAnswer { fingerprint, by, about, document }) => {
                    format!("kept {digest} {fingerprint} {by} {} {expires_ms} {document}", digest_of(*about))
                }
                None => format!("kept {digest} -  - {expires_ms} "),
            });
        }
        for (id, deletion) in &self.deletions {
            let Erased { records, relationships, moods } = deletion.erased;
            let (person, cascade) = (name(deletion.person), deletion.cascade.into_str());
            lines.push(format!("deletion {id} {person} {cascade} {records} {relationships} {moods}"));
        }
        lines.sort_unstable();
        lines
    }
}

/// The digest of a user's id.
fn digest_of(user: Option<usize>) -> String {
    user.map_or_else(|| "-".to_owned(), |user| names::digest(USERS[user]))
}

fn or_none(value: Option<impl std::fmt::Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
