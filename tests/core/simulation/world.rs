//! One tenant, everything around it, and one step of it.

use std::rc::Rc;

use rollcall::directory::end_user::Version;
use rollcall::directory::identifiers::RequestId;
use rollcall::directory::names::UserId;
use rollcall::directory::organization::{BURST_MAX, Limits, REQUESTS_PER_SECOND_MAX};
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::limiter::Rate;
use rollcall::organization::protocol::{Call, Caller, Command, IssueKey, Reply, Settings};
use rollcall::organization::sql::SqlError;

use super::clients::Errand;
use super::network::Network;
use super::oracle::{Effect, Oracle};
use super::stores::{Bench, Holdings, START_MS, log_expiry, next_audit, put_off_audits};
use super::tally::Tally;
use super::{Violation, ensure};
use crate::limiter::Bound;
use crate::sqlite::{INJECTED, Sqlite};
use crate::tenant;

const CLIENTS: usize = 4;
/// More than the longest possible run of injected faults.
const ATTEMPTS_MAX: u32 = 1_000;
const HOUR_MS: i64 = 3_600_000;

pub struct World<'a> {
    pub bench: &'a Bench,
    pub random: fastrand::Rng,
    /// Prints every event.
    pub is_traced: bool,
    /// False while the world heals.
    pub is_faulty: bool,
    /// The true time. The object's clock differs from it by the skew.
    pub true_ms: i64,
    skew_ms: i64,
    /// The small bucket of this seed and its bound. Its clock only goes forward (see the limiter about clocks that
    /// are set back).
    pub bucket: Option<(Rate, Bound)>,
    /// The users of this seed, by number. They are few, so that clients collide.
    pub population: Vec<usize>,
    pub object: OrganizationCore,
    /// Number of the object's crashes. Answers to an earlier life have no receiver.
    pub life: u32,
    storage: &'a Sqlite,
    pub network: Network,
    pub clients: [Option<Errand>; CLIENTS],
    pub oracle: Oracle,
    pub holdings: Rc<Holdings>,
    rows_written: u64,
    /// What D1 holds.
    pub listed: Vec<Option<(Version, String)>>,
    pub listing_rows_written: u64,
    pub tally: Tally,
}

impl<'a> World<'a> {
    /// A world over a storage: the bench's prepared one, or an empty one.
    pub fn new(seed: u64, bench: &'a Bench, storage: &'a Sqlite) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let users = bench.user_ids.len();
        let mut population: Vec<usize> = (0..users).collect();
        random.shuffle(&mut population);
        population.truncate(random.usize(1..=users));
        let holdings = Holdings { users: vec![None; users], unlisted: vec![false; users], ..Holdings::default() };
        Self {
            bench,
            is_traced: false,
            is_faulty: true,
            true_ms: START_MS,
            skew_ms: 0,
            bucket: None,
            random,
            population,
            object: OrganizationCore::default(),
            life: 0,
            storage,
            network: Network::default(),
            clients: [const { None }; CLIENTS],
            oracle: Oracle::new(users),
            holdings: Rc::new(holdings),
            rows_written: storage.rows_written(),
            listed: vec![None; users],
            listing_rows_written: bench.listing.rows_written(),
            tally: Tally::default(),
        }
    }

    /// Issues the key, under faults where the storage is empty.
    pub fn provision(&mut self, limits: Limits, version: i64) -> Result<(), Violation> {
        let anchor = Timestamp::from_millis(START_MS);
        for _ in 0..ATTEMPTS_MAX {
            let settings = Settings { version, ..tenant::settings(self.bench.tenant, limits) };
            let call = Call {
                request_id: RequestId::new(anchor, [0; 10]),
                repeated: false,
                caller: Caller::Operator(None),
                idempotency: None,
                edge: None,
                command: Command::IssueKey(IssueKey { settings, digest: self.bench.key.clone(), key: tenant::key(1) }),
            };
            // Until provisioning succeeds, the tables may be missing.
            if self.handle(call)?.is_some() {
                put_off_audits(self.storage)?;
                return self.settle(&Effect::Nothing).map(drop);
            }
        }
        Err(Violation("no key is ever issued".to_owned()))
    }

    /// Gives some seeds a small bucket.
    pub fn limit(&mut self) -> Result<(), Violation> {
        if self.random.u8(0..8) > 0 {
            return Ok(());
        }
        let (requests_per_second, burst) = (self.random.u32(1..=7), self.random.u32(2..=30));
        self.provision(Limits { requests_per_second, burst, ..wide_limits() }, 2)?;
        let rate = Rate::new(requests_per_second, burst);
        self.bucket = Some((rate, Bound::new(rate, self.now().micros())));
        Ok(())
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.true_ms + self.skew_ms)
    }

    pub fn bytes(&mut self) -> [u8; 10] {
        self.random.u128(..).to_be_bytes()[..10].try_into().expect("10 bytes")
    }

    pub fn request_id(&mut self) -> RequestId {
        RequestId::new(self.now(), self.bytes())
    }

    /// True once in so many times, at random.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.is_faulty && self.random.u32(0..times) == 0
    }

    pub fn trace(&self, line: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{} {}", self.now(), line());
        }
    }

    pub fn number(&self, user_id: &UserId) -> usize {
        self.bench.user_ids.iter().position(|known| known == user_id).expect("one of the users")
    }

    pub fn step(&mut self) -> Result<(), Violation> {
        self.pass_time();
        match self.random.u8(0..100) {
            0..66 => self.client_acts()?,
            66..76 => self.send_to_listing()?,
            76..90 => self.deliver_to_listing()?,
            90..94 => self.purge()?,
            94..95 => self.sweep()?,
            95..97 => self.late_call_arrives()?,
            _ => self.crash(),
        }
        self.check()
    }

    /// Advances the clock: mostly by next to nothing, sometimes by longer than an answer is kept.
    fn pass_time(&mut self) {
        let is_limited = self.bucket.is_some();
        self.true_ms += match self.random.u16(0..1_000) {
            0..3 => {
                self.tally.count("days that passed at once");
                self.random.i64(23 * HOUR_MS..50 * HOUR_MS)
            }
            3..15 if !is_limited => self.random.i64(0..400_000),
            15..160 => self.random.i64(0..if is_limited { 1_000 } else { 10_000 }),
            _ => self.random.i64(0..3),
        };
        if self.random.u8(0..25) == 0 {
            self.tally.count("faults: clock set");
            let jump_ms = self.random.i64(0..5_000);
            match self.random.u8(0..4) {
                _ if is_limited => self.skew_ms += jump_ms,
                0 => self.skew_ms = 0,
                1 => self.skew_ms += jump_ms,
                _ => self.skew_ms -= jump_ms,
            }
        }
    }

    /// One transaction of the object, in which storage may fail between any two statements. `None` when it failed.
    pub fn transact<T>(
        &mut self,
        body: impl FnOnce(&mut OrganizationCore, &Sqlite, Timestamp) -> Result<T, SqlError>,
    ) -> Result<Option<T>, Violation> {
        self.attempt(true, body)
    }

    /// Executes one call, in a transaction only if the call needs one.
    pub fn handle(&mut self, call: Call) -> Result<Option<Reply>, Violation> {
        let in_transaction = self.object.needs_transaction(self.storage, &call)?;
        self.attempt(in_transaction, |object, sql, now| object.handle(sql, call, now))
    }

    fn attempt<T>(
        &mut self,
        in_transaction: bool,
        body: impl FnOnce(&mut OrganizationCore, &Sqlite, Timestamp) -> Result<T, SqlError>,
    ) -> Result<Option<T>, Violation> {
        let (now, storage) = (self.now(), self.storage);
        if self.one_in(16) {
            // A batch after a crash has about thirty statements, a read has three.
            let statements = *self.random.choice(&[4, 12, 40]).expect("a number");
            storage.fail_after.set(Some(self.random.u32(0..statements)));
        }
        let object = &mut self.object;
        let body = |sql: &Sqlite| body(object, sql, now);
        let result = if in_transaction { storage.transaction(body) } else { body(storage) };
        storage.fail_after.set(None);
        match result {
            Ok(value) => Ok(Some(value)),
            Err(SqlError(reason)) if reason == INJECTED => {
                self.tally.count("faults: storage failed");
                self.trace(|| "storage fails".to_owned());
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the rows after a transaction, if it has written any, and checks them against the allowed changes.
    /// Returns the rows before it.
    pub fn settle(&mut self, effect: &Effect) -> Result<Rc<Holdings>, Violation> {
        let before = Rc::clone(&self.holdings);
        let rows_written = self.storage.rows_written();
        if rows_written != self.rows_written {
            self.rows_written = rows_written;
            self.holdings = Rc::new(Holdings::read(self.storage, &self.bench.user_ids, &before)?);
            self.oracle.explain(effect, &before, &self.holdings)?;
        }
        Ok(before)
    }

    pub fn purge(&mut self) -> Result<(), Violation> {
        let Some(_more) = self.transact(OrganizationCore::purge)? else {
            return self.settle(&Effect::Nothing).map(drop);
        };
        let purged = self.oracle.purge(&self.object);
        self.trace(|| format!("purge: {purged:?}"));
        for _ in &purged {
            self.tally.count("erasures completed");
        }
        self.settle(&Effect::Purge(purged)).map(drop)
    }

    fn sweep(&mut self) -> Result<(), Violation> {
        let now = self.now();
        let next = self.transact(OrganizationCore::sweep)?;
        self.settle(&Effect::Nothing)?;
        let Some(next) = next else { return Ok(()) };
        self.trace(|| format!("sweep: next {next:?}"));
        let swept = self.oracle.sweep(now);
        for _ in 0..swept {
            self.tally.count("answers swept");
        }
        let expiry = log_expiry(self.storage, self.holdings.confirmed, now)?;
        let expected = [self.oracle.next_expiry(), expiry, Some(next_audit(now))].into_iter().flatten().min();
        ensure!(next == expected, "the next to expire is told to be {next:?} and is {expected:?}");
        Ok(())
    }

    pub fn crash(&mut self) {
        self.tally.count("crashes");
        self.trace(|| "crash".to_owned());
        self.object = OrganizationCore::default();
        self.life += 1;
    }

    pub fn storage(&self) -> &'a Sqlite {
        self.storage
    }
}

/// Limits that a seed does not reach, unless a clock is set back and a restart then sees it, which empties the
/// bucket.
pub fn wide_limits() -> Limits {
    Limits { requests_per_second: REQUESTS_PER_SECOND_MAX, burst: BURST_MAX, ..Limits::default() }
}
