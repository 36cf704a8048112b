//! What was true at which instant of true time, and what follows from it for every answer, every put and every purge.
//!
//! The oracle reads the object's storage by its own statements after every transaction, so that it compares what the
//! shipped code claims instead of trusting it.

use std::collections::BTreeMap;
use std::rc::Rc;

use rollcall::directory::end_user::Status;
use rollcall::directory::epoch::Epoch;
use rollcall::organization::copies::{REWRITE_MS, SPREAD_MS};
use rollcall::organization::limiter::Rate;
use rollcall::organization::protocol::{self, Call, Caller, Command, Denial, Rejection, Reply};
use rollcall::organization::sql::{Row, Sql};
use rollcall::organization::user_row::{self, UserRow};
use rollcall::projection::cache;

use super::isolate::{Answered, Request};
use super::store::Write;
use super::world::{Bench, World};
use crate::limiter::Bound;
use crate::simulation::{Violation, ensure};
use crate::sqlite::Sqlite;

/// The longest lease, in milliseconds.
const LEASE_MAX_MS: i64 = 5_000;

/// The values that something had, each with the instant from which on.
#[derive(Debug, Default)]
struct History<T>(Vec<(i64, T)>);

impl<T: PartialEq> History<T> {
    fn set(&mut self, now_ms: i64, value: T) {
        if self.0.last().is_none_or(|(_, last)| *last != value) {
            self.0.push((now_ms, value));
        }
    }

    /// The values at any instant between two, both included. At the instant of a change it had both.
    fn between(&self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = &T> {
        let ends = self.0.iter().skip(1).map(|(at_ms, _)| *at_ms).chain([i64::MAX]);
        let values = self.0.iter().zip(ends);
        values.filter(move |((begins, _), ends)| *begins <= to_ms && from_ms <= *ends).map(|((_, value), _)| value)
    }
}

/// Whether a key is in force, and until when at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KeyState {
    is_revoked: bool,
    /// By true time.
    expires_ms: i64,
}

/// A row of the object's copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CopyRow {
    ends_ms: i64,
    listed_until_ms: i64,
}

/// What an isolate has of a key.
#[derive(Debug, Default)]
struct Known {
    /// When it asked for leases, by true time.
    asked_ms: Vec<i64>,
    /// Whether the object has refused the key, and has not given a lease since.
    is_refused: bool,
}

/// What the oracle knows of a call before the object executes it.
#[derive(Debug)]
pub struct Noted {
    missed: Option<usize>,
    /// Tokens, if the object admits it.
    cost: u32,
}

pub struct Oracle {
    bench: Rc<Bench>,
    object_skew_ms: i64,
    records: Vec<History<Option<Rc<str>>>>,
    keys: Vec<History<Option<KeyState>>>,
    edge_stale_s: History<u32>,
    rate: Option<Rate>,
    bound: Option<Bound>,
    /// Tokens that were out when the interval began, beyond the bucket; and until when they are.
    excess: (u32, i64),
    /// Tokens out, and when they lapse.
    out: Vec<(i64, u32)>,
    /// Those of a future that is lost since the object was restored. It does not count them.
    lost: Vec<(i64, u32)>,
    known: BTreeMap<(usize, usize), Known>,
    /// The persons that the object holds: their number, their index and their principal id.
    persons: BTreeMap<i64, (usize, String)>,
    copies: BTreeMap<(i64, String), CopyRow>,
    pub epoch: Epoch,
    /// Reports of a miss, less two for each mark.
    misses: Vec<i64>,
    /// When the last confirmed put of a key began.
    put_ms: BTreeMap<String, i64>,
    /// How often the object was restored.
    pub restores: u32,
    rows_written: u64,
    /// Persons who were purged just now: index, principal id.
    purged: Vec<(usize, String)>,
}

fn live_tokens(out: &[(i64, u32)], now_ms: i64) -> u32 {
    out.iter().filter(|(lapses_ms, _)| now_ms < *lapses_ms).map(|(_, tokens)| tokens).sum()
}

impl Oracle {
    pub fn new(bench: Rc<Bench>, object_skew_ms: i64) -> Self {
        let (users, keys) = (bench.user_ids.len(), bench.keys.len());
        let empty = |_| History(vec![(i64::MIN, None)]);
        Self {
            bench,
            object_skew_ms,
            records: (0..users).map(|_| History(vec![(i64::MIN, None)])).collect(),
            keys: (0..keys).map(empty).collect(),
            edge_stale_s: History::default(),
            rate: None,
            bound: None,
            excess: (0, 0),
            out: Vec::new(),
            lost: Vec::new(),
            known: BTreeMap::new(),
            persons: BTreeMap::new(),
            copies: BTreeMap::new(),
            epoch: Epoch::of_number(0),
            misses: vec![0; users],
            put_ms: BTreeMap::new(),
            restores: 0,
            rows_written: u64::MAX,
            purged: Vec::new(),
        }
    }

    /// Reads the storage after a transaction.
    fn observe(&mut self, sql: &Sqlite, now_ms: i64, is_restored: bool) -> Result<(), Violation> {
        let rows_written = sql.rows_written();
        if rows_written == self.rows_written && !is_restored {
            return Ok(());
        }
        self.rows_written = rows_written;
        let epoch = sql.find("SELECT value FROM state WHERE name = 'copies_epoch'", &[], Row::integer)?;
        self.epoch = Epoch::of_number(epoch.unwrap_or_default());
        self.observe_users(sql, now_ms, is_restored)?;
        self.observe_copies(sql, is_restored)?;
        let skew_ms = self.object_skew_ms;
        let keys = sql.list("SELECT digest, expires_at, revoked_at FROM keys", &[], |row| {
            let (digest, expires_at, revoked_at) = (row.text()?, row.optional_integer()?, row.optional_integer()?);
            Ok((digest, KeyState { is_revoked: revoked_at.is_some(), expires_ms: expires_at.unwrap_or(i64::MAX) }))
        })?;
        for (key, history) in self.bench.keys.iter().zip(&mut self.keys) {
            let digest = key.digest();
            let state = keys.iter().find(|(held, _)| held == digest.as_str()).map(|(_, state)| *state);
            let by_true_time =
                |state: KeyState| KeyState { expires_ms: state.expires_ms.saturating_sub(skew_ms), ..state };
            history.set(now_ms, state.map(by_true_time));
        }
        let select = "SELECT requests_per_second, burst, edge_stale_s FROM settings";
        let limits = sql.find(select, &[], |row| Ok((row.integer()?, row.integer()?, row.integer()?)))?;
        if let Some((per_second, burst, edge_stale_s)) = limits {
            let number = |value: i64| u32::try_from(value).expect("a limit");
            self.edge_stale_s.set(now_ms, number(edge_stale_s));
            let rate = Rate::new(number(per_second), number(burst));
            if self.rate != Some(rate) || is_restored {
                self.begin_interval(rate, now_ms, is_restored);
            }
        }
        Ok(())
    }

    /// The limits have changed, or the object is restored and does not know what it has admitted: what is out then is
    /// beyond the new interval's bound.
    fn begin_interval(&mut self, rate: Rate, now_ms: i64, is_restored: bool) {
        if is_restored {
            self.lost.append(&mut self.out);
        }
        let out = live_tokens(&self.out, now_ms).saturating_sub(rate.burst());
        self.excess = (live_tokens(&self.lost, now_ms).saturating_add(out), now_ms + LEASE_MAX_MS);
        self.rate = Some(rate);
        self.bound = Some(Bound::new(rate, now_ms * 1_000));
    }

    fn observe_users(&mut self, sql: &Sqlite, now_ms: i64, is_restored: bool) -> Result<(), Violation> {
        let rows = sql.list(&format!("SELECT {} FROM users u", user_row::COLUMNS), &[], UserRow::read)?;
        let mut records = vec![None; self.records.len()];
        let mut persons = BTreeMap::new();
        for row in rows {
            let index = self.bench.user_ids.iter().position(|id| *id == row.user.user_id).expect("one of the users");
            persons.insert(row.number, (index, row.principal_id.to_string()));
            if row.user.status == Status::Active {
                records[index] = Some(Rc::from(serde_json::to_string(&row.user).expect("JSON")));
            }
        }
        for (history, record) in self.records.iter_mut().zip(records) {
            history.set(now_ms, record);
        }
        if !is_restored {
            let gone = self.persons.iter().filter(|(number, _)| !persons.contains_key(number));
            self.purged.extend(gone.map(|(_, person)| person.clone()));
        }
        self.persons = persons;
        Ok(())
    }

    /// A mark is made only for a user who was missed twice.
    fn observe_copies(&mut self, sql: &Sqlite, is_restored: bool) -> Result<(), Violation> {
        let rows = sql.list("SELECT epoch, digest, ends_at, listed_until FROM copies", &[], |row| {
            let (epoch, digest) = (row.integer()?, row.text()?);
            Ok(((epoch, digest), CopyRow { ends_ms: row.integer()?, listed_until_ms: row.integer()? }))
        })?;
        let rows: BTreeMap<_, _> = rows.into_iter().collect();
        for (place, row) in &rows {
            let is_new = self.copies.get(place).is_none_or(|held| held.ends_ms < row.ends_ms);
            if is_new && !is_restored {
                let user = self.bench.user_of(&place.1);
                self.misses[user] -= 2;
                ensure!(self.misses[user] >= 0, "user {user} is marked without two misses");
            }
        }
        self.copies = rows;
        Ok(())
    }

    pub fn before(&self, call: &Call) -> Noted {
        let missed = call.edge.as_ref().and_then(|edge| edge.missed.as_ref());
        let missed = missed.map(|user_id| self.bench.user_of(&user_id.digest()));
        // A creation that is repeated may have been paid for.
        let is_paid = call.repeated && matches!(call.command, Command::CreateEndUser(_));
        let cost = match call.caller {
            Caller::Key { cost, .. } if !is_paid => cost,
            _ => 0,
        };
        Noted { missed, cost }
    }

    /// The object has executed a call.
    fn after(&mut self, noted: &Noted, reply: &Reply, now_ms: i64) -> Result<(), Violation> {
        let is_admitted = reply.admission.is_some() && !matches!(reply.outcome, Err(Rejection::Denied(_)));
        if is_admitted {
            self.admit(noted.cost, now_ms)?;
        } else if let Some(user) = noted.missed {
            self.misses[user] -= 1;
        }
        if let Some(lease) = &reply.lease {
            ensure!(lease.lasts_ms <= LEASE_MAX_MS, "a lease lasts {} ms", lease.lasts_ms);
            self.out.retain(|(lapses_ms, _)| now_ms < *lapses_ms);
            self.out.push((now_ms + lease.lasts_ms, lease.tokens));
        }
        Ok(())
    }

    /// A call reports a miss, if the object admits it.
    fn reports(&mut self, noted: &Noted) {
        if let Some(user) = noted.missed {
            self.misses[user] += 1;
        }
    }

    /// In no interval are more requests admitted than `burst + rate·t`.
    fn admit(&mut self, cost: u32, now_ms: i64) -> Result<(), Violation> {
        let Some(bound) = self.bound.as_mut().filter(|_| cost > 0) else { return Ok(()) };
        ensure!(bound.grant(now_ms * 1_000, cost), "more is admitted than the bucket holds");
        Ok(())
    }

    pub fn asks(&mut self, isolate: usize, key: usize, now_ms: i64) {
        self.known.entry((isolate, key)).or_default().asked_ms.push(now_ms);
    }

    /// An isolate gets a reply.
    pub fn receives(&mut self, isolate: usize, key: usize, bytes: &[u8]) {
        let reply: Reply = protocol::decode(bytes).expect("a reply");
        let known = self.known.entry((isolate, key)).or_default();
        match reply.outcome {
            Err(Rejection::Denied(Denial::InvalidKey | Denial::ExpiredKey)) => known.is_refused = true,
            _ if reply.lease.is_some() => known.is_refused = false,
            _ => {}
        }
    }

    pub fn restart_isolate(&mut self, isolate: usize) {
        self.known.retain(|(of, _), _| *of != isolate);
    }

    /// A client gets an answer from KV.
    fn answer(&mut self, isolate: usize, request: &Request, answered: &Answered, now_ms: i64) -> Result<(), Violation> {
        let Some(age_s) = answered.age_s else { return Ok(()) };
        let (user, max_stale_s) = (request.user, request.max_stale_s.unwrap_or_default());
        ensure!(answered.status == 200, "status {} from KV", answered.status);
        let lately = self.edge_stale_s.between(now_ms - LEASE_MAX_MS, now_ms);
        let allowed_s = lately.max().copied().unwrap_or_default().min(max_stale_s);
        ensure!(age_s <= i64::from(allowed_s), "an answer is {age_s} s old, and {allowed_s} s are allowed");
        let known = self.known.entry((isolate, request.key)).or_default();
        ensure!(!known.is_refused, "a key is served by an isolate to which the object has refused it");
        let has_age = |asked_ms: &&i64| (now_ms - **asked_ms + 999).div_euclid(1_000) == age_s;
        let asked_ms = known.asked_ms.iter().find(has_age).copied();
        let Some(asked_ms) = asked_ms else {
            return Err(Violation(format!("no lease was asked for {age_s} s ago")));
        };
        let record = Some(Rc::from(answered.body.as_str()));
        ensure!(
            self.records[user].between(asked_ms, now_ms).any(|held| *held == record),
            "user {user} was not {} at any instant of the {} ms before the answer, but {:?}",
            answered.body,
            now_ms - asked_ms,
            self.records[user].0.iter().rev().take(3).collect::<Vec<_>>()
        );
        let was_in_force =
            |state: &Option<KeyState>| state.is_some_and(|key| !key.is_revoked && asked_ms < key.expires_ms);
        ensure!(
            self.keys[request.key].between(asked_ms, now_ms).any(was_in_force),
            "key {} was not in force in the {} ms before the answer",
            request.key,
            now_ms - asked_ms
        );
        let (left, until_ms) = self.excess;
        if left > 0 && now_ms < until_ms {
            self.excess.0 -= 1;
            return Ok(());
        }
        self.admit(1, now_ms)
    }

    /// KV has confirmed a put that began at an instant.
    pub fn put(&mut self, write: &Write, began_ms: i64) -> Result<(), Violation> {
        let is_current = write.key.contains(&format!("/copies/{}/", self.epoch));
        if let Some(last_ms) = self.put_ms.insert(write.key.clone(), began_ms) {
            let pause_ms = began_ms - last_ms;
            ensure!(!is_current || pause_ms >= REWRITE_MS, "{} is written again after {pause_ms} ms", write.key);
        }
        Ok(())
    }

    /// After a restart, or a new epoch, a copy may be written at any time.
    pub fn forget_puts(&mut self) {
        self.put_ms.clear();
    }

    /// Whether a user is not erased now.
    pub fn record(&self, user: usize) -> Option<&Rc<str>> {
        self.records[user].0.last().and_then(|(_, record)| record.as_ref())
    }

    fn copy(&self, user: usize) -> Option<&CopyRow> {
        let digest = self.bench.user_ids[user].digest();
        self.copies.get(&(self.epoch.number(), digest))
    }

    pub fn is_copied(&self, user: usize) -> bool {
        self.copy(user).is_some()
    }

    /// Whether leases name the user, at an instant of the object's clock.
    fn is_listed(&self, user: usize, now_ms: i64) -> bool {
        self.copy(user).is_some_and(|row| row.listed_until_ms > now_ms)
    }

    pub fn tokens_out(&self, now_ms: i64) -> u32 {
        live_tokens(&self.out, now_ms) + live_tokens(&self.lost, now_ms)
    }

    pub fn copies_held(&self) -> usize {
        self.copies.len()
    }
}

impl World {
    /// Compares the storage with what the oracle knows.
    pub fn note_storage(&self) {
        self.observe(false);
    }

    pub fn observe(&self, is_restored: bool) {
        let now_ms = self.schedule.now_ms();
        let (observed, purged) = {
            let mut oracle = self.oracle.borrow_mut();
            let epoch = oracle.epoch;
            let observed = oracle.observe(&self.object.storage, now_ms, is_restored);
            oracle.restores += u32::from(is_restored);
            if oracle.epoch != epoch {
                oracle.forget_puts();
            }
            (observed, std::mem::take(&mut oracle.purged))
        };
        self.report(observed);
        for (user, person) in purged {
            self.tally("purges");
            self.check_purge(user, person);
        }
    }

    /// When a person is purged, KV holds nothing of them that it could still show after it has told the change to
    /// every location.
    fn check_purge(&self, user: usize, person: String) {
        let now_ms = self.schedule.now_ms();
        let (epoch, restores) = (self.oracle.borrow().epoch, self.oracle.borrow().restores);
        let key = cache::key(self.bench.tenant, epoch, &self.bench.user_ids[user].digest());
        let is_theirs =
            move |value: &str| cache::read(value).is_some_and(|copy| copy.principal_id.to_string() == person);
        let kv = self.kv.borrow();
        let digest = self.bench.user_ids[user].digest();
        let keys = kv.keys().filter(|held| **held == key || (restores == 0 && held.ends_with(&digest)));
        let keys: Vec<&String> = keys.collect();
        for held in &keys {
            self.ensure(kv.held(held, now_ms).is_none_or(|value| !is_theirs(&value)), || {
                format!("user {user} is purged, and KV holds them under {held}")
            });
            self.ensure(kv.open(held).all(|(value, ends_ms)| ends_ms <= now_ms || !is_theirs(&value)), || {
                format!("user {user} is purged, and may come to KV again under {held}")
            });
        }
        if kv.held(&key, now_ms).is_some() {
            self.tally("purges of somebody whom KV was told of");
        }
        self.schedule.after(SPREAD_MS + 1, move |world| {
            if world.oracle.borrow().restores > restores {
                return;
            }
            let (kv, now_ms) = (world.kv.borrow(), world.schedule.now_ms());
            for location in world.plan.locations() {
                let shown = kv.shown(location, &key, now_ms);
                world.ensure(shown.is_none_or(|value| !is_theirs(&value)), || {
                    format!("location {location} shows user {user} five minutes after their purge")
                });
            }
        });
    }

    pub fn note_reply(&self, noted: &Noted, reply: &Reply) {
        let now_ms = self.schedule.now_ms();
        let checked = self.oracle.borrow_mut().after(noted, reply, now_ms);
        self.report(checked);
        if let Some(lease) = &reply.lease {
            self.trace(|| format!("{lease:?}"));
            self.tally("leases given");
        }
        if noted.missed.is_some() {
            self.trace(|| format!("the object learns {noted:?}"));
            self.tally("misses told to the object");
        }
    }

    pub fn note_call(&self, noted: &Noted) {
        self.oracle.borrow_mut().reports(noted);
    }

    pub fn note_answer(&self, isolate: usize, request: &Request, answered: &Answered) {
        let now_ms = self.schedule.now_ms();
        self.trace(|| format!("isolate {isolate} {request}: {answered}"));
        if request.max_stale_s.is_some() && answered.status == 200 {
            let is_listed =
                answered.age_s.is_none() && self.oracle.borrow().is_listed(request.user, self.object_now().millis());
            self.tally(match answered.age_s {
                Some(_) => "reads answered from KV",
                None if is_listed => "reads of a changed user that the object answered",
                None => "edge reads by the object",
            });
        }
        self.edge_answers.set(self.edge_answers.get() + u64::from(answered.age_s.is_some()));
        if answered.status == 429 {
            self.tally("requests refused by the bucket");
        }
        let checked = self.oracle.borrow_mut().answer(isolate, request, answered, now_ms);
        self.report(checked.map_err(|Violation(text)| Violation(format!("isolate {isolate}: {text}"))));
    }
}
