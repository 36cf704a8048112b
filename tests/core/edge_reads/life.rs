//! What happens in a seed, at random, and how the world heals in the end.

use std::rc::Rc;

use rollcall::directory::organization::Limits;
use rollcall::organization::copies::{COPIED_MS, SPREAD_MS};
use rollcall::organization::sql::{Row, Sql};

use super::world::{Kind, World};
use crate::simulation::{Violation, ensure};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// After faults have ceased, the time until everything is as it should be: KV's longest pause, and twice until KV shows
/// a write everywhere, and some more.
const QUIET_MS: i64 = 30 * MINUTE_MS;
/// Most alarms, and most tries to write to KV, in as much time without any cause.
const IDLE_WORK_MAX: u64 = 3;
/// Reads of a round, one shortly after the other.
const READS: u32 = 15;
/// Most rounds of reads until one is answered from KV.
const ROUNDS_MAX: u32 = 60;

/// Limits that a seed does not reach.
fn wide() -> Limits {
    Limits { requests_per_second: 1_000, burst: 10_000, ..Limits::default() }
}

impl World {
    pub fn live(self: &Rc<Self>) -> Result<(), Violation> {
        self.configure(wide());
        self.issue_key(None);
        self.issue_key(if self.one_in(2) { Some(self.below(20 * MINUTE_MS)) } else { None });
        let users = 1 + self.pick(self.bench.user_ids.len());
        for user in 0..users {
            self.create(0, user, 0);
        }
        self.pass(SECOND_MS)?;
        match self.plan.kind {
            Kind::Bucket => self.live_on_a_small_bucket(users),
            Kind::Copies | Kind::Days => {
                for _ in 0..self.below(120) + 10 {
                    self.happens(users)?;
                    self.pass(self.a_while_ms())?;
                }
                Ok(())
            }
        }
    }

    fn a_while_ms(&self) -> i64 {
        match self.below(100) {
            0..40 => self.below(2 * SECOND_MS),
            40..65 => self.below(20 * SECOND_MS),
            65..85 => self.below(90 * SECOND_MS),
            85..97 => self.below(6 * MINUTE_MS),
            97..99 => self.below(30 * MINUTE_MS),
            _ if self.plan.kind == Kind::Days => self.below(25 * HOUR_MS),
            _ => 0,
        }
    }

    fn happens(self: &Rc<Self>, users: usize) -> Result<(), Violation> {
        let (isolate, key) = (self.pick(self.isolates.len()), self.any_key());
        // The first user is read most.
        let user = if self.one_in(2) { 0 } else { self.pick(users) };
        match self.below(100) {
            0..46 => self.read_some(isolate, user, key)?,
            46..50 => self.read(isolate, user, key, None),
            50..65 => {
                self.tally_if(self.oracle.borrow().is_copied(user), "changes of users with a copy");
                self.update(isolate, user, key);
            }
            65..69 => {
                self.tally_if(self.oracle.borrow().is_copied(user), "erasures of users with a copy");
                self.erase(isolate, user, key);
            }
            69..74 => self.create(isolate, user, key),
            74..76 if self.has_key_left() => {
                self.issue_key(if self.one_in(2) { Some(self.below(5 * MINUTE_MS)) } else { None });
            }
            76..78 => {
                let is_leased = self.oracle.borrow().tokens_out(self.schedule.now_ms()) > 0;
                self.tally_if(is_leased, "revocations while leases are out");
                self.revoke_key(key);
            }
            78..80 => {
                let edge_stale_s = u32::try_from(self.below(6)).expect("some seconds");
                self.configure(Limits { edge_stale_s, ..wide() });
            }
            80..84 => self.crash_now(),
            84..87 => self.evict_if_idle(),
            87..90 => self.restart_isolate(isolate),
            90..93 if self.may_restore() => self.take_snapshot(),
            93..95 if self.may_restore() => self.restore(),
            95..97 => {
                let is_down = !self.kv.borrow().is_down;
                self.kv.borrow_mut().is_down = is_down;
                self.trace(|| format!("KV is down: {is_down}"));
            }
            97..99 => self.listing_is_down.set(!self.listing_is_down.get()),
            _ => self.start_audit(self.one_in(2)),
        }
        Ok(())
    }

    fn tally_if(&self, holds: bool, what: &'static str) {
        if holds {
            self.tally(what);
        }
    }

    fn crash_now(self: &Rc<Self>) {
        self.tally("crashes");
        let is_leased = self.oracle.borrow().tokens_out(self.schedule.now_ms()) > 0;
        self.tally_if(is_leased, "crashes while leases are out");
        self.crash();
    }

    /// Reads at the edge, one shortly after the other, as a lease lasts some seconds.
    fn read_some(self: &Rc<Self>, isolate: usize, user: usize, key: usize) -> Result<(), Violation> {
        let stale_s = [1, 2, 5, 60][self.pick(4)];
        for _ in 0..=self.below(6) {
            self.read(isolate, user, key, Some(stale_s));
            self.pass(self.below(SECOND_MS))?;
            // Mostly at the moment when everybody is on their way.
            if self.one_in(12) {
                self.update(self.pick(self.isolates.len()), user, 0);
            }
        }
        Ok(())
    }

    /// Many requests within seconds, by every isolate and with every key, on a bucket that they empty.
    fn live_on_a_small_bucket(self: &Rc<Self>, users: usize) -> Result<(), Violation> {
        self.issue_key(None);
        for round in 0..40 {
            for isolate in 0..self.isolates.len() {
                self.read(isolate, 0, 0, Some(5));
                self.pass(SECOND_MS)?;
                self.read(isolate, 0, 0, Some(5));
            }
            self.pass(if round > 3 { 20 * SECOND_MS } else { SECOND_MS })?;
            if self.edge_answers.get() > 0 {
                break;
            }
        }
        self.limit();
        for _ in 0..self.below(40) + 10 {
            match self.below(40) {
                0..3 => self.crash_now(),
                3 => self.limit(),
                4 => self.restart_isolate(self.pick(self.isolates.len())),
                5 if self.may_restore() => self.take_snapshot(),
                6 if self.may_restore() => self.restore(),
                7..16 => {
                    for _ in 0..self.below(i64::from(self.limits().burst)) {
                        self.read(self.pick(self.isolates.len()), 0, self.any_key(), None);
                    }
                }
                _ => {
                    for _ in 0..self.below(i64::from(self.limits().burst)) {
                        self.read(self.pick(self.isolates.len()), self.pick(users), self.any_key(), Some(5));
                        self.pass(self.below(100))?;
                    }
                }
            }
            let while_ms = [100, 1_000, 6_000, 60_000][self.pick(4)];
            self.pass(self.below(while_ms))?;
        }
        Ok(())
    }

    fn limit(self: &Rc<Self>) {
        let number = |value: i64| u32::try_from(value).expect("a limit");
        let (requests_per_second, burst) = (number(1 + self.below(5)), number(20 + self.below(100)));
        let edge_stale_s = number(if self.one_in(3) { self.below(6) } else { 5 });
        self.configure(Limits { requests_per_second, burst, edge_stale_s, ..Limits::default() });
    }

    /// Faults cease. Everything converges, without a caller; edge reads are answered from KV again; and after a day
    /// nothing is left.
    pub fn heal(self: &Rc<Self>) -> Result<(), Violation> {
        self.is_faulty.set(false);
        self.kv.borrow_mut().is_down = false;
        self.listing_is_down.set(false);
        self.configure(wide());
        self.pass(MINUTE_MS)?;
        // A restored object finds out about it when it is asked for a lease, or has a change to list.
        let key = self.key_in_force();
        self.create(0, 0, key);
        self.read(0, 0, key, Some(5));
        self.pass(QUIET_MS)?;
        self.check_converged()?;
        let (alarms, tried) = (self.object.alarms.get(), self.kv.borrow().tried);
        self.pass(QUIET_MS)?;
        let (alarms, tried) = (self.object.alarms.get() - alarms, self.kv.borrow().tried - tried);
        ensure!(alarms <= IDLE_WORK_MAX && tried <= IDLE_WORK_MAX, "{alarms} alarms and {tried} tries without a cause");
        self.read_until_answered_from_kv(key)?;
        self.pass(COPIED_MS + SPREAD_MS + HOUR_MS)?;
        ensure!(self.oracle.borrow().copies_held() == 0, "marks outlast their end");
        let (kv, now_ms) = (self.kv.borrow(), self.schedule.now_ms());
        for key in kv.keys() {
            for location in self.plan.locations() {
                ensure!(kv.shown(location, key, now_ms).is_none(), "{key} outlasts its end at {location}");
            }
        }
        Ok(())
    }

    fn check_converged(&self) -> Result<(), Violation> {
        let storage = &self.object.storage;
        let pending = storage.exists("SELECT 1 FROM deletions WHERE completed_at IS NULL", &[])?;
        ensure!(!pending, "an erasure is never completed");
        let now = self.object_now();
        let due = "SELECT count(*) FROM copies WHERE due_at IS NOT NULL AND ends_at > ?";
        let due = storage.find(due, &[now.into()], Row::integer)?;
        ensure!(due == Some(0), "{due:?} copies are never written");
        let (kv, oracle) = (self.kv.borrow(), self.oracle.borrow());
        for key in kv.keys().filter(|key| key.contains(&format!("/copies/{}/", oracle.epoch))) {
            let digest = key.rsplit('/').next().unwrap_or_default();
            let user = self.bench.user_of(digest);
            let Some(value) = kv.held(key, self.schedule.now_ms()) else { continue };
            let record = oracle.record(user).map_or("", |record| record);
            ensure!(!record.is_empty() && value.contains(record), "KV holds {value} of user {user}, not {record}");
        }
        Ok(())
    }

    fn read_until_answered_from_kv(self: &Rc<Self>, key: usize) -> Result<(), Violation> {
        self.create(0, 0, key);
        for isolate in 0..self.isolates.len() {
            let (mut rounds, before) = (0, self.edge_answers.get());
            loop {
                // An object that has just started gives its first lease at the second request.
                for _ in 0..READS {
                    self.read(isolate, 0, key, Some(5));
                    self.pass(SECOND_MS)?;
                }
                self.pass(14 * SECOND_MS)?;
                if self.edge_answers.get() > before {
                    break;
                }
                rounds += 1;
                ensure!(rounds < ROUNDS_MAX, "isolate {isolate} never answers from KV again");
            }
        }
        Ok(())
    }
}
