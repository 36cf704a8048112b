//! One tenant, its storage, and one step of it.

use std::ops::RangeInclusive;

use rollcall::directory::agent::{AgentId, AgentRef};
use rollcall::directory::deletion::Cascade;
use rollcall::directory::identifiers::{DeletionId, Mode, OrganizationId, RequestId, Tenant};
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::organization::Limits;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::core::OrganizationCore;
use rollcall::organization::protocol::{
    self, Answer, Call, Caller, Command, DeleteEndUser, NewAgent, Outcome, ReadUsage, ReadUserUsage, Rejection, Reply,
    Settings,
};
use rollcall::organization::sql::{SqlError, SqlValue};

use super::clients::{Client, Late, Message};
use super::oracle::{AGENTS, Oracle, Request, Target, USERS};
use crate::calendar::Date;
use crate::position;
use crate::simulation::stores::{log_expiry, next_audit, put_off_audits};
use crate::simulation::tally::Tally;
use crate::simulation::{Violation, ensure};
use crate::sqlite::{INJECTED, Sqlite};

const CLIENTS: usize = 4;
/// Few steps, because most faults need few events.
const STEPS: RangeInclusive<u32> = 15..=100;
/// More than the longest possible run of injected faults.
const ATTEMPTS_MAX: u32 = 1_000;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// All rows about turns and people in the object's storage, read past the core, a line for each row. A row that
/// names a missing person or relationship gives a line that the oracle never has.
const LINES: &str = "
    SELECT format('user %s#%d %d %s %s [(%d, %d), (%d, %d)]', user_id, number, version, state,
        ifnull(last_interaction_at, '-'), turns_period, turns, earlier_period, earlier_turns)
    FROM users UNION ALL
    SELECT format('relationship %s#%d %d %s %d %d %s', u.user_id, u.number, r.agent, r.relationship_id, r.turns,
        r.mood IS NOT NULL, ifnull(r.last_interaction_at, '-'))
    FROM relationships r LEFT JOIN users u ON u.number = r.user UNION ALL
    SELECT format('turn %s %s %d %d %s %s %d %s %s %s', l.operation, l.state, l.period_start, l.expires_at,
        CASE WHEN l.relationship IS NULL THEN '-' WHEN r.user IS NOT l.user THEN 'of another'
             ELSE r.relationship_id END,
        iif(l.user IS NULL, '-', u.user_id || '#' || u.number), l.is_new_active,
        ifnull(l.digest, '-'), ifnull(l.fingerprint, '-'), ifnull(l.about, '-'))
    FROM ledger l LEFT JOIN users u ON u.number = l.user LEFT JOIN relationships r ON r.number = l.relationship
    UNION ALL
    SELECT format('counter %s %d %d', metric, period_start, value) FROM counters UNION ALL
    SELECT format('active %d %s#%d %d', a.period_start, u.user_id, u.number, a.agent)
    FROM active_relationships a LEFT JOIN users u ON u.number = a.user UNION ALL
    SELECT format('kept %s %s %s %s %d %s', digest, ifnull(fingerprint, '-'), request_id, ifnull(about, '-'),
        expires_at, document)
    FROM idempotency UNION ALL
    SELECT format('deletion %s %s %s %d %d %d', d.deletion_id,
        iif(d.user IS NULL, '-', u.user_id || '#' || u.number), d.cascade, d.erased_records,
        d.erased_relationships, d.erased_moods)
    FROM deletions d LEFT JOIN users u ON u.number = d.user
    ORDER BY 1";

/// The storage that a thread reuses for any number of seeds, one after another.
pub struct Bench {
    storage: Sqlite,
    tenant: Tenant,
    pub user_ids: Vec<UserId>,
    pub agent_ids: Vec<AgentId>,
}

impl Bench {
    /// A migrated storage with its agents.
    pub fn new() -> Self {
        let now = Timestamp::EPOCH;
        let tenant = Tenant { organization: OrganizationId::new(now, [3; 10]), mode: Mode::Live };
        let user_ids = USERS.iter().map(|text| UserId::new(*text).expect("an id")).collect();
        let agent_ids: Vec<_> =
            (1..).map(|byte| AgentId::new(Timestamp::EPOCH, [byte; 10])).take(AGENTS.len()).collect();
        let bench = Self { storage: Sqlite::new(), tenant, user_ids, agent_ids };
        let mut object = OrganizationCore::default();
        for (name, agent_id) in AGENTS.iter().zip(&bench.agent_ids) {
            let (name, external_id) = (Name::new(*name).expect("a name"), UserId::new(agent_id.to_string()).ok());
            let new = NewAgent { agent_id: *agent_id, external_id, name, metadata: None };
            let call = call(RequestId::new(now, [0; 10]), Command::SaveAgent(new));
            bench.storage.transaction(|sql| object.handle(sql, call, now)).expect("an agent");
        }
        bench
    }

    /// Runs one seed and undoes its changes.
    pub fn run(&self, seed: u64, is_traced: bool) -> Result<Tally, Violation> {
        self.storage.trial(|| {
            let mut world = World::new(seed, self, is_traced);
            world.configure()?;
            for _ in 0..world.random.u32(STEPS) {
                world.step()?;
            }
            world.heal()?;
            Ok(world.tally)
        })
    }

    /// A turn is committed a millisecond before its expiry, and its calls arrive again after a sweep.
    pub fn commits_at_the_last_moment(&self) -> Result<(), Violation> {
        self.storage.trial(|| {
            let mut world = World::new(0, self, false);
            world.is_faulty = false;
            world.configure()?;
            let request =
                Request { target: Target::Agent(0), by_name: false, user: Some(0), is_stateful: true, key: None };
            let errand = world.errand(request);
            world.deliver(&errand, Message::Reserve, false)?;
            world.now_ms += errand.expires_in_ms - 1;
            world.deliver(&errand, Message::Commit, false)?;
            world.now_ms += 1;
            world.sweep()?;
            world.deliver(&errand, Message::Reserve, true)?;
            world.deliver(&errand, Message::Commit, true)?;
            world.heal()
        })
    }
}

pub fn call(request_id: RequestId, command: Command) -> Call {
    Call { request_id, repeated: false, caller: Caller::Operator(None), idempotency: None, edge: None, command }
}

/// An outcome to the byte.
pub fn written(outcome: &Outcome) -> Vec<u8> {
    protocol::encode(outcome).expect("an outcome")
}

pub struct World<'a> {
    pub bench: &'a Bench,
    pub random: fastrand::Rng,
    is_traced: bool,
    /// False while the world heals.
    is_faulty: bool,
    pub now_ms: i64,
    anchor: Timestamp,
    version: i64,
    object: OrganizationCore,
    pub oracle: Oracle,
    pub clients: [Option<Client>; CLIENTS],
    /// Copies of calls that arrive after their callers gave up.
    pub late: Vec<Late>,
    deletions: Vec<(DeletionId, usize, Cascade)>,
    /// The newest change, and the position that the listing has confirmed.
    last_sequence: i64,
    confirmed: i64,
    rows_written: u64,
    period_end_ms: i64,
    pub tally: Tally,
}

impl<'a> World<'a> {
    fn new(seed: u64, bench: &'a Bench, is_traced: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let day = *random.choice(&[1, 15, 28, 29, 30, 31]).expect("a day");
        // The anchor lies in January, which has every day, at some time of the day.
        let anchor = Date { year: random.i64(2_019..2_025), month: 1, day };
        let anchor_ms = anchor.millis() + random.i64(0..DAY_MS);
        let oracle = Oracle::new(day);
        Self {
            bench,
            is_traced,
            is_faulty: true,
            now_ms: anchor_ms + random.i64(0..3 * 366 * DAY_MS),
            random,
            anchor: Timestamp::from_millis(anchor_ms),
            version: 0,
            object: OrganizationCore::default(),
            oracle,
            clients: [const { None }; CLIENTS],
            late: Vec::new(),
            deletions: Vec::new(),
            last_sequence: 0,
            confirmed: 0,
            rows_written: bench.storage.rows_written(),
            period_end_ms: 0,
            tally: Tally::default(),
        }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms)
    }

    pub fn bytes(&mut self) -> [u8; 10] {
        self.random.u128(..).to_be_bytes()[..10].try_into().expect("10 bytes")
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

    fn step(&mut self) -> Result<(), Violation> {
        self.tally.count("steps");
        self.pass_time();
        match self.random.u8(0..100) {
            0..66 => self.client_acts(),
            66..74 => self.delete(),
            74..82 => self.acknowledge(),
            82..86 => self.purge(),
            86..90 => self.sweep(),
            90..92 => self.read_usage(),
            92..94 => {
                let user = self.random.usize(0..USERS.len());
                self.read_usage_of(user)
            }
            94..96 => self.late_call_arrives(),
            96..97 => self.configure(),
            _ => {
                self.trace(|| "crash".to_owned());
                self.tally.count("crashes");
                self.object = OrganizationCore::default();
                Ok(())
            }
        }
    }

    /// Advances the clock: mostly by next to nothing, sometimes by as long as a turn may take, and rarely by longer
    /// than an answer is kept or a period lasts.
    fn pass_time(&mut self) {
        self.now_ms += match self.random.u16(0..1_000) {
            0..4 => self.random.i64(0..150 * DAY_MS),
            4..16 => self.random.i64(0..32 * DAY_MS),
            16..40 => self.random.i64(0..30 * HOUR_MS),
            40..90 => self.random.i64(0..90_000),
            90..100 => self.next_edge(),
            _ => self.random.i64(0..2_000),
        };
        let end_ms = self.oracle.quota(self.now_ms).resets_at.millis();
        if end_ms != self.period_end_ms {
            self.period_end_ms = end_ms;
            self.tally.count("periods begun");
        }
    }

    /// To the last instant of a turn in progress or of the period, or to the first instant after it.
    fn next_edge(&mut self) -> i64 {
        let turn_ms = if self.random.bool() { self.oracle.next_turn_end(self.now_ms) } else { None };
        let end_ms = turn_ms.unwrap_or_else(|| self.oracle.quota(self.now_ms).resets_at.millis());
        end_ms - self.now_ms - self.random.i64(0..=1)
    }

    /// One transaction of the object, in which storage may fail between any two statements. `None` when it failed.
    fn transact<T>(
        &mut self,
        body: impl FnOnce(&mut OrganizationCore, &Sqlite, Timestamp) -> Result<T, SqlError>,
    ) -> Result<Option<T>, Violation> {
        self.attempt(true, body)
    }

    fn attempt<T>(
        &mut self,
        in_transaction: bool,
        body: impl FnOnce(&mut OrganizationCore, &Sqlite, Timestamp) -> Result<T, SqlError>,
    ) -> Result<Option<T>, Violation> {
        self.tally.count("transactions");
        let (now, storage) = (self.now(), &self.bench.storage);
        if self.one_in(10) {
            let statements = *self.random.choice(&[8, 16, 32]).expect("a number");
            storage.fail_after.set(Some(self.random.u32(0..statements)));
        }
        let object = &mut self.object;
        let body = |sql: &Sqlite| body(object, sql, now);
        let result = if in_transaction { storage.transaction(body) } else { body(storage) };
        storage.fail_after.set(None);
        match result {
            Ok(value) => {
                self.last_sequence = self.object.last_sequence().unwrap_or(self.last_sequence);
                Ok(Some(value))
            }
            Err(SqlError(reason)) if reason == INJECTED => {
                self.trace(|| "storage fails".to_owned());
                self.tally.count("faults: storage failed");
                self.check().map(|()| None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Executes one call. Returns the answer, and whether any row was written.
    pub fn handle(&mut self, call: Call) -> Result<Option<(Reply, bool)>, Violation> {
        let before = self.bench.storage.rows_written();
        let in_transaction = self.object.needs_transaction(&self.bench.storage, &call)?;
        let reply = self.attempt(in_transaction, |object, sql, now| object.handle(sql, call, now))?;
        let has_written = self.bench.storage.rows_written() != before;
        Ok(reply.map(|reply| (reply, has_written)))
    }

    /// Whether the last call left work for the alarm.
    pub fn has_work(&self) -> bool {
        self.object.work_at().is_some_and(|at| at <= self.now())
    }

    /// Compares storage with the oracle, if any row was written.
    pub fn check(&mut self) -> Result<(), Violation> {
        let rows_written = self.bench.storage.rows_written();
        if rows_written == self.rows_written {
            return Ok(());
        }
        self.rows_written = rows_written;
        self.tally.count("storage compared");
        let rows = self.bench.storage.rows(LINES, &[])?;
        let read = rows.into_iter().flatten().map(|value| match value {
            SqlValue::Text(line) => Ok(line.into_owned()),
            other => Err(Violation(format!("a row that does not read: {other:?}"))),
        });
        let (held, expected) = (read.collect::<Result<Vec<_>, _>>()?, self.oracle.lines());
        if held == expected {
            return Ok(());
        }
        let wrong: Vec<_> = held.iter().filter(|line| !expected.contains(line)).collect();
        let missing: Vec<_> = expected.iter().filter(|line| !held.contains(line)).collect();
        Err(Violation(format!("storage holds {wrong:#?}\nand lacks {missing:#?}")))
    }

    /// Sets small limits. An organization may change them at any time.
    fn configure(&mut self) -> Result<(), Violation> {
        let (turns_per_period, active_relationships) = (self.random.u64(3..=20), self.random.u64(2..=6));
        let turns_per_user = self.random.u64(0..=5);
        let limits = Limits { turns_per_period, active_relationships, turns_per_user, ..Limits::default() };
        self.version += 1;
        let settings =
            Settings { tenant: self.bench.tenant, version: self.version, limits, anchor: self.anchor, record: None };
        let request_id = RequestId::new(self.now(), self.bytes());
        let mut attempts = 0;
        while self.handle(call(request_id, Command::Configure(settings.clone())))?.is_none() {
            attempts += 1;
            ensure!(attempts < ATTEMPTS_MAX, "the limits are never set");
        }
        put_off_audits(&self.bench.storage)?;
        self.trace(|| format!("limits: {limits:?}"));
        self.oracle.configure(&limits, self.now_ms);
        self.check()
    }

    fn delete(&mut self) -> Result<(), Violation> {
        let known = self.deletions.len();
        let (deletion_id, user, cascade) = if known > 0 && self.random.u8(0..5) == 0 {
            self.deletions[self.random.usize(0..known)]
        } else {
            let cascade = *self.random.choice(&Cascade::ALL).expect("a cascade");
            (DeletionId::new(self.now(), self.bytes()), self.random.usize(0..USERS.len()), cascade)
        };
        self.deletions.push((deletion_id, user, cascade));
        let user_id = self.bench.user_ids[user].clone();
        let command =
            Command::DeleteEndUser(DeleteEndUser { user_id, deletion_id, cascade, reason: None, if_match: None });
        let request_id = RequestId::new(self.now(), self.bytes());
        let Some((reply, _)) = self.handle(call(request_id, command))? else { return Ok(()) };
        self.trace(|| format!("erase {} {cascade:?}", USERS[user]));
        let expected = self.oracle.delete(deletion_id, user, cascade, self.last_sequence);
        let receipt = match reply.outcome {
            Ok(Answer::DeleteEndUser(receipt)) => Some((receipt.deletion_id, receipt.erased)),
            Err(Rejection::NotFound(_)) => None,
            other => return Err(Violation(format!("an erasure is answered {other:?}"))),
        };
        ensure!(receipt == expected, "a receipt is {receipt:?} and not {expected:?}");
        self.tally.count("erasures requested");
        self.check()
    }

    fn acknowledge(&mut self) -> Result<(), Violation> {
        let from = self.confirmed;
        if from >= self.last_sequence {
            return Ok(());
        }
        // Mostly confirms everything, as a flush without faults does.
        let all = self.random.u8(0..3) > 0;
        let to = if all { self.last_sequence } else { self.random.i64(from..=self.last_sequence) };
        if self.transact(|object, sql, now| object.acknowledge(sql, position(to), now))?.is_some() {
            self.trace(|| format!("the listing confirms {to}"));
            self.confirmed = to;
        }
        self.check()
    }

    fn purge(&mut self) -> Result<(), Violation> {
        if self.transact(OrganizationCore::purge)?.is_some() {
            let erased = self.oracle.purge(self.confirmed, self.now_ms);
            self.trace(|| format!("purge: {erased}"));
            (0..erased).for_each(|_| self.tally.count("people erased"));
        }
        self.check()
    }

    fn sweep(&mut self) -> Result<(), Violation> {
        if let Some(next) = self.transact(OrganizationCore::sweep)? {
            let expiry = log_expiry(&self.bench.storage, self.confirmed, self.now())?;
            let expected =
                [self.oracle.sweep(self.now_ms), expiry, Some(next_audit(self.now()))].into_iter().flatten().min();
            self.trace(|| format!("sweep: next {next:?}"));
            ensure!(next == expected, "the next to expire is told to be {next:?} and is {expected:?}");
            self.tally.count("sweeps");
        }
        self.check()
    }

    fn read_usage(&mut self) -> Result<(), Violation> {
        let expected = Ok(self.oracle.usage(self.now_ms));
        self.read(Command::ReadUsage(ReadUsage), &expected)
    }

    fn read_usage_of(&mut self, user: usize) -> Result<(), Violation> {
        let read = ReadUserUsage { user_id: self.bench.user_ids[user].clone() };
        let expected = self.oracle.usage_of(user, self.now_ms);
        self.read(Command::ReadUserUsage(read), &expected)
    }

    fn read(&mut self, command: Command, expected: &Outcome) -> Result<(), Violation> {
        let request_id = RequestId::new(self.now(), self.bytes());
        let Some((reply, has_written)) = self.handle(call(request_id, command))? else {
            return Ok(());
        };
        ensure!(written(&reply.outcome) == written(expected), "usage is {:?} and not {expected:?}", reply.outcome);
        ensure!(!has_written, "to read the usage writes");
        self.tally.count("usage read");
        Ok(())
    }

    /// Faults cease: every erasure completes, everything expires, and a new period begins with nothing used.
    fn heal(&mut self) -> Result<(), Violation> {
        self.is_faulty = false;
        self.trace(|| "faults cease".to_owned());
        self.read_usage()?;
        let to = self.last_sequence;
        self.transact(|object, sql, now| object.acknowledge(sql, position(to), now))?;
        self.confirmed = to;
        self.purge()?;
        self.now_ms = self.oracle.quota(self.now_ms).resets_at.millis() + 2 * DAY_MS;
        self.read_usage()?;
        (0..USERS.len()).try_for_each(|user| self.read_usage_of(user))?;
        self.sweep()?;
        let left = "SELECT (SELECT count(*) FROM ledger) + (SELECT count(*) FROM idempotency)";
        let rows = self.bench.storage.rows(left, &[])?;
        ensure!(rows == [[SqlValue::Integer(0)]], "{rows:?} rows outlive their expiry");
        let next = self.oracle.quota(self.now_ms);
        ensure!((next.turns_used, next.relationships_used) == (0, 0), "a new period begins with {next:?}");
        Ok(())
    }

    /// The way a request names an agent.
    pub fn agent(&self, target: Target, by_name: bool) -> AgentRef {
        let name = |name: &str| AgentRef::Name(Name::new(name).expect("a name"));
        match target {
            Target::Agent(agent) if by_name => name(AGENTS[agent]),
            Target::Agent(agent) => AgentRef::Id(self.bench.agent_ids[agent]),
            Target::Ambiguous => name(AGENTS[1]),
            Target::Unknown if by_name => name("Nobody"),
            Target::Unknown => AgentRef::Id(AgentId::new(Timestamp::EPOCH, [99; 10])),
        }
    }
}
