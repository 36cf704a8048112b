//! The organization object: the single writer of one tenant.
//!
//! Invariants, each kept by construction and attacked by the simulation:
//!
//! 1. **One command is one transaction.** [`Organization::handle`] runs inside
//!    one; an error rolls back every statement of it, and what was held in
//!    memory is dropped and read again. One that only reads runs without: what
//!    admitting its caller writes, the day of a key's use and the high-water mark,
//!    may stand alone, as both only grow.
//! 2. **A change and its outbox row commit together**, so no projection can
//!    miss a change and none can hear of one that did not happen.
//! 3. **At most one record per user id**, by the primary key; of any number of
//!    racing creations exactly one is told that it created.
//! 4. **What is closed stays closed**: see [`closing`].
//! 5. **The bucket never admits more than `burst + rate·t`** in any interval,
//!    restarts included: see [`limiter`].
//!
//! Everything here is synchronous and pure but for the SQL it is handed. Only
//! `object.rs` knows Durable Objects.

pub mod agents;
pub mod audit;
pub mod closing;
pub mod deletions;
pub mod erasure;
pub mod export;
pub mod idempotency;
pub mod keys;
pub mod limiter;
pub mod outbox;
pub mod principals;
pub mod protocol;
pub mod quotas;
pub mod registry;
pub mod relationships;
mod schema;
pub mod settings;
pub mod sql;
pub mod turns;
pub mod user_row;

use crate::directory::api_key::{KeyDigest, KeyKind, Scope};
use crate::directory::identifiers::{BatchId, RequestId, Tenant};
use crate::directory::mood::{self, Decay};
use crate::directory::timestamp::Timestamp;

use audit::{Finding, OnTheirWay, Step};
use closing::Closing;
use idempotency::Known;
use keys::{KeyCheck, KnownKeys};
use limiter::Limiter;
use outbox::{Batch, Outbox, Projection};
use protocol::{Admission, Call, Caller, Command, Denial, IdempotencyKey, Outcome, Reply, Report, Settings};
use quotas::Period;
use sql::{Sql, SqlError};
use turns::InFlight;
use user_row::UserRow;

/// The core of one tenant's object.
///
/// Holds nothing that the SQL does not: dropping it at any moment loses nothing
/// but the tokens between the bucket and its high-water mark.
#[derive(Debug)]
pub struct Organization {
    memory: Option<Memory>,
    mood_half_life_ms: u64,
}

impl Default for Organization {
    fn default() -> Self {
        Self::new(mood::HALF_LIFE_MS_DEFAULT)
    }
}

/// What is kept in memory between commands.
#[derive(Debug)]
struct Memory {
    settings: Option<Settings>,
    /// Present as soon as there are settings to take the limits from.
    limiter: Option<Limiter>,
    keys: KnownKeys,
    outbox: Outbox,
    /// Whether the alarm knows when the next kept answer expires.
    expiry_is_scheduled: bool,
    /// Whether an erasure is requested and not completed.
    deletion_is_pending: bool,
    audit_is_running: bool,
}

impl Organization {
    /// In how many milliseconds moods lose half their distance to their baselines is the
    /// operator's to say, for all organizations alike.
    pub const fn new(mood_half_life_ms: u64) -> Self {
        Self { memory: None, mood_half_life_ms }
    }

    /// Drops what is remembered: what was written may have been rolled back. The next call reads
    /// it anew.
    pub fn forget(&mut self) {
        self.memory = None;
    }

    /// Whether a call has to be executed in a transaction. The first one always: it may find
    /// no tables.
    pub const fn needs_transaction(&self, call: &Call) -> bool {
        self.memory.is_none() || call.idempotency.is_some() || !call.command.only_reads()
    }

    /// Executes one call and returns the reply. Must run inside a transaction
    /// that is rolled back when this fails, if the call [needs](Self::needs_transaction) one.
    pub fn handle<S: Sql>(&mut self, sql: &S, call: Call, now: Timestamp) -> Result<Reply, SqlError> {
        let Some(mut memory) = self.take(sql, now)? else {
            return Ok(Reply::new(None, closing::answer(sql, &call)?));
        };
        if let Call { caller: Caller::Operator, command: Command::Close { tenant }, .. } = call {
            // The memory is dropped: from now on there is nothing but the mark.
            return Ok(Reply::new(None, closing::close(sql, tenant, now)?));
        }
        let reply = memory.handle(sql, call, Decay { now, half_life_ms: self.mood_half_life_ms })?;
        self.memory = Some(memory);
        Ok(reply)
    }

    /// The mark of an object whose organization was deleted; `None` while it is open.
    pub fn closing<S: Sql>(&self, sql: &S) -> Result<Option<Closing>, SqlError> {
        if self.memory.is_some() { Ok(None) } else { closing::find(sql) }
    }

    /// The changes that a projection has not confirmed yet, oldest first, bounded
    /// in number and size; `None` when it has confirmed them all.
    pub fn next_batch<S: Sql>(
        &mut self,
        sql: &S,
        projection: Projection,
        id: BatchId,
        now: Timestamp,
    ) -> Result<Option<Batch>, SqlError> {
        let Some(memory) = self.take(sql, now)? else { return Ok(None) };
        let memory = self.memory.insert(memory);
        let Some(settings) = &memory.settings else { return Ok(None) };
        memory.outbox.next_batch(sql, projection, id, settings.tenant)
    }

    /// Records that a projection holds everything up to this sequence number.
    /// Must run inside a transaction.
    pub fn acknowledge<S: Sql>(
        &mut self,
        sql: &S,
        projection: Projection,
        sequence: i64,
        now: Timestamp,
    ) -> Result<(), SqlError> {
        let Some(mut memory) = self.take(sql, now)? else { return Ok(()) };
        memory.outbox.acknowledge(sql, projection, sequence)?;
        self.memory = Some(memory);
        Ok(())
    }

    /// The sequence number of the newest change, as far as it is in memory: it is
    /// after every call that succeeded.
    pub fn last_sequence(&self) -> Option<i64> {
        self.memory.as_ref().map(|memory| memory.outbox.last_sequence())
    }

    /// The sequence number up to which a projection has confirmed, likewise.
    pub fn acknowledged(&self, projection: Projection) -> Option<i64> {
        self.memory.as_ref().map(|memory| memory.outbox.acknowledged(projection))
    }

    /// Whether something waits for the alarm: a projection that lacks a change, a
    /// person who is to be erased, an answer whose expiry is not scheduled, or an audit.
    pub fn needs_alarm(&self) -> bool {
        let waiting =
            |memory: &Memory| !memory.expiry_is_scheduled || memory.deletion_is_pending || memory.audit_is_running;
        self.memory.as_ref().is_some_and(waiting)
            || Projection::ALL.into_iter().any(|projection| self.is_behind(projection))
    }

    /// Whether an erasure may wait for [`Organization::purge`]: not, if it is known that none is requested.
    pub fn may_purge(&self) -> bool {
        self.memory.as_ref().is_none_or(|memory| memory.deletion_is_pending)
    }

    /// Completes erasures that every projection has confirmed, a bounded number;
    /// returns whether more are due. Must run inside a transaction.
    pub fn purge<S: Sql>(&mut self, sql: &S, now: Timestamp) -> Result<bool, SqlError> {
        let Some(mut memory) = self.take(sql, now)? else { return Ok(false) };
        let mut is_more = false;
        if memory.deletion_is_pending {
            is_more = deletions::purge(sql, &mut memory.outbox, now)?;
            memory.deletion_is_pending = deletions::is_pending(sql)?;
        }
        self.memory = Some(memory);
        Ok(is_more)
    }

    /// Removes answers that are no longer kept and says when the alarm should come
    /// for the next one. Must run inside a transaction.
    pub fn sweep<S: Sql>(&mut self, sql: &S, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
        let Some(mut memory) = self.take(sql, now)? else { return Ok(None) };
        let next = [idempotency::sweep(sql, now)?, turns::sweep(sql, now)?].into_iter().flatten().min();
        memory.expiry_is_scheduled = true;
        self.memory = Some(memory);
        Ok(next)
    }

    /// Whose object this is; `None` as long as it has no settings.
    pub fn tenant(&self) -> Option<Tenant> {
        self.memory.as_ref()?.settings.as_ref().map(|settings| settings.tenant)
    }

    /// Whether an audit is under way, likewise.
    pub fn is_audited(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.audit_is_running)
    }

    /// Begins an audit, or joins the one under way. Must run inside a transaction.
    pub fn start_audit<S: Sql>(&mut self, sql: &S, now: Timestamp) -> Result<(), SqlError> {
        let Some(mut memory) = self.take(sql, now)? else { return Ok(()) };
        audit::start(sql, now)?;
        memory.audit_is_running = true;
        self.memory = Some(memory);
        Ok(())
    }

    /// What the last audit has found.
    pub fn report<S: Sql>(&mut self, sql: &S, now: Timestamp) -> Result<Option<Report>, SqlError> {
        let Some(memory) = self.take(sql, now)? else { return Ok(None) };
        self.memory = Some(memory);
        audit::report(sql)
    }

    /// What the audit compares next, and who must not be judged because a change of
    /// theirs is on its way; `None` when there is nothing to compare now.
    pub fn next_audit_step<S: Sql>(&mut self, sql: &S, now: Timestamp) -> Result<Option<(Step, OnTheirWay)>, SqlError> {
        let Some(memory) = self.take(sql, now)? else { return Ok(None) };
        let memory = self.memory.insert(memory);
        let Some(step) = audit::next_step(sql, &memory.outbox)? else { return Ok(None) };
        Ok(OnTheirWay::now(sql)?.map(|before| (step, before)))
    }

    /// Those of the digests that belong to no user, and the sequence number that the
    /// listing has confirmed.
    pub fn strangers<S: Sql>(
        &mut self,
        sql: &S,
        digests: &[String],
        now: Timestamp,
    ) -> Result<(Vec<String>, i64), SqlError> {
        // Who is at it will find out that there is nothing left to audit.
        let Some(memory) = self.take(sql, now)? else { return Ok((Vec::new(), 0)) };
        let memory = self.memory.insert(memory);
        Ok((audit::strangers(sql, digests)?, memory.outbox.acknowledged(Projection::Listing)))
    }

    /// Takes over what a step of the audit has found. Must run inside a transaction.
    pub fn record_audit<S: Sql>(
        &mut self,
        sql: &S,
        before: &OnTheirWay,
        finding: Finding,
        now: Timestamp,
    ) -> Result<(), SqlError> {
        let Some(mut memory) = self.take(sql, now)? else { return Ok(()) };
        audit::record(sql, &mut memory.outbox, before, finding, now)?;
        memory.audit_is_running = audit::is_running(sql)?;
        self.memory = Some(memory);
        Ok(())
    }

    /// Whether a projection lacks a change, likewise.
    pub fn is_behind(&self, projection: Projection) -> bool {
        self.acknowledged(projection) < self.last_sequence()
    }

    /// Whether a projection is behind by as much as one batch can hold.
    pub fn has_batch(&self, projection: Projection) -> bool {
        let first = self.acknowledged(projection).unwrap_or_default();
        self.last_sequence().unwrap_or_default().saturating_sub(first) >= outbox::BATCH_ROWS_MAX
    }

    /// Takes the memory out, or reads it anew, so that a failure half-way leaves
    /// nothing stale behind. Whoever succeeds puts it back. A closed object has none.
    fn take<S: Sql>(&mut self, sql: &S, now: Timestamp) -> Result<Option<Memory>, SqlError> {
        match self.memory.take() {
            None => Memory::load(sql, now),
            held => Ok(held),
        }
    }
}

impl Memory {
    /// `None` when the object is closed: of its tables nothing may be left.
    fn load<S: Sql>(sql: &S, now: Timestamp) -> Result<Option<Self>, SqlError> {
        if closing::find(sql)?.is_some() {
            return Ok(None);
        }
        schema::migrate(sql)?;
        let settings = settings::load(sql)?;
        let limiter = match &settings {
            Some(settings) => Some(Limiter::load(sql, settings.limits.into(), now)?),
            None => None,
        };
        Ok(Some(Self {
            settings,
            limiter,
            keys: KnownKeys::default(),
            outbox: Outbox::load(sql)?,
            expiry_is_scheduled: true,
            deletion_is_pending: deletions::is_pending(sql)?,
            audit_is_running: audit::is_running(sql)?,
        }))
    }

    fn handle<S: Sql>(&mut self, sql: &S, call: Call, decay: Decay) -> Result<Reply, SqlError> {
        let now = decay.now;
        let Call { request_id, repeated, caller, idempotency, command } = call;
        let admission = match caller {
            Caller::Operator => None,
            Caller::Key { digest, kind, scope, cost } => {
                // What was done and paid for already, and only not heard of, is free.
                let paid = repeated && registry::was_done(sql, request_id, &command)?;
                let cost = if paid { 0 } else { cost };
                match self.admit(sql, &digest, kind, scope, cost, now)? {
                    Ok(admission) => Some(admission),
                    Err((denial, admission)) => {
                        return Ok(Reply::new(admission, Outcome::Denied(denial)));
                    }
                }
            }
        };
        let Some(key) = idempotency else {
            return Ok(Reply::new(admission, self.execute(sql, request_id, command, None, decay)?));
        };
        match turns::in_flight(sql, &key, request_id, now)? {
            InFlight::No => {}
            InFlight::Same => return Ok(Reply::new(admission, Outcome::IdempotencyInFlight)),
            InFlight::Other => return Ok(Reply::new(admission, Outcome::IdempotencyMismatch)),
        }
        match idempotency::find(sql, &key, now)? {
            Known::Mismatch => Ok(Reply::new(admission, Outcome::IdempotencyMismatch)),
            Known::Answered { outcome, request_id: answered } => {
                // The edge's own repetition is no retry of the caller's.
                let replayed = answered != request_id;
                let outcome = match (outcome, &self.settings) {
                    (Outcome::Turn { document, .. }, Some(settings)) => {
                        Outcome::Turn { document, quota: Some(quotas::read(sql, settings, now)?) }
                    }
                    (outcome, _) => outcome,
                };
                Ok(Reply { replayed, ..Reply::new(admission, outcome) })
            }
            Known::No => {
                let user_id = match &command {
                    Command::CreateEndUser(new) => Some(new.user_id.clone()),
                    Command::CreatePrincipal(new) => Some(new.external_id.clone()),
                    _ => None,
                };
                let outcome = self.execute(sql, request_id, command, Some(&key), decay)?;
                let user = match &user_id {
                    Some(user_id) => UserRow::find(sql, user_id)?.map(|row| row.number),
                    None => None,
                };
                if idempotency::store(sql, &key, request_id, user, &outcome, now)? {
                    self.expiry_is_scheduled = false;
                }
                Ok(Reply::new(admission, outcome))
            }
        }
    }

    /// Key, scope, bucket, in this order: 401 before 403 before 429. Only the
    /// last of them takes a token.
    fn admit<S: Sql>(
        &mut self,
        sql: &S,
        digest: &KeyDigest,
        kind: KeyKind,
        scope: Scope,
        cost: u32,
        now: Timestamp,
    ) -> Result<Result<Admission, (Denial, Option<Admission>)>, SqlError> {
        let (Some(settings), Some(limiter)) = (&self.settings, &mut self.limiter) else {
            return Ok(Err((Denial::InvalidKey, None)));
        };
        match self.keys.check(sql, digest, kind, now)? {
            KeyCheck::Unknown => return Ok(Err((Denial::InvalidKey, None))),
            KeyCheck::Expired => return Ok(Err((Denial::ExpiredKey, None))),
            KeyCheck::Valid { scope: granted } if granted < scope => {
                let quota = quotas::read(sql, settings, now)?;
                return Ok(Err((Denial::ScopeTooSmall { quota }, None)));
            }
            KeyCheck::Valid { .. } => {}
        }
        let decision = limiter.take(sql, now, cost)?;
        let admission = Admission::new(limiter.rate(), &decision, now);
        if decision.allowed {
            return Ok(Ok(admission));
        }
        let quota = quotas::read(sql, settings, now)?;
        Ok(Err((Denial::RateLimited { retry_after_ms: decision.retry_after_ms(), quota }, Some(admission))))
    }

    fn execute<S: Sql>(
        &mut self,
        sql: &S,
        request_id: RequestId,
        command: Command,
        key: Option<&IdempotencyKey>,
        decay: Decay,
    ) -> Result<Outcome, SqlError> {
        let now = decay.now;
        match command {
            Command::Admit => Ok(Outcome::Admitted),
            Command::CreateEndUser(new) => registry::create(sql, &mut self.outbox, request_id, new, now),
            Command::CreateEndUsers { users } => registry::create_many(sql, &mut self.outbox, request_id, users, now),
            Command::UpdateEndUser { user_id, change, if_match } => {
                registry::update(sql, &mut self.outbox, &user_id, change, if_match.as_ref(), now)
            }
            Command::DeleteEndUser { user_id, deletion_id, cascade, reason } => {
                let request = deletions::Request { deletion_id, user_id, cascade, reason };
                let outcome = deletions::request(sql, &mut self.outbox, &request, now)?;
                self.deletion_is_pending = deletions::is_pending(sql)?;
                Ok(outcome)
            }
            Command::DeleteAgent { agent, deletion_id, reason } => {
                self.deletion_is_pending = true;
                deletions::request_agent(sql, &agent, deletion_id, reason.as_deref(), now)
            }
            Command::DeleteRelationship { id, deletion_id, cascade, reason } => {
                self.deletion_is_pending = true;
                let reason = reason.as_deref();
                deletions::request_relationship(sql, &mut self.outbox, id, deletion_id, cascade, reason, now)
            }
            Command::ReadDeletion { deletion_id } => deletions::read(sql, deletion_id),
            Command::ExportEndUser { user_id } => export::export(sql, &user_id, decay),
            Command::LocateEndUser { user_id } => registry::locate(sql, &mut self.outbox, &user_id, decay),
            Command::ReadEndUser { user_id } => registry::read(sql, &user_id),
            Command::Configure(settings) => self.configure(sql, settings, now),
            Command::StartAudit(settings) => {
                self.configure(sql, settings, now)?;
                self.audit_is_running = true;
                audit::start(sql, now).map(|report| Outcome::Audit(Some(report)))
            }
            Command::ReadAudit => audit::report(sql).map(Outcome::Audit),
            Command::SaveAgent(new) => agents::save(sql, new, now),
            Command::ReadAgent { agent } => agents::read(sql, &agent),
            Command::UpdateAgent { agent, name, metadata, if_match } => {
                let change = agents::Change { name, metadata, owner: None };
                agents::update(sql, &agent, change, if_match.as_ref(), now)
            }
            Command::ListAgents { after, limit } => agents::list(sql, after, limit),
            Command::ListRelationships { user_id, agent, after, limit } => {
                relationships::find(sql, user_id.as_ref(), agent.as_ref(), after, limit, decay)
            }
            Command::ReadRelationship { id } => relationships::read(sql, id, decay),
            Command::CreatePrincipal(new) => principals::create(sql, &mut self.outbox, request_id, new, now),
            Command::ReadPrincipal { principal } => principals::read(sql, &principal),
            Command::UpdatePrincipal { id, change, if_match } => {
                principals::update(sql, &mut self.outbox, id, change, if_match.as_ref(), now)
            }
            Command::DeletePrincipal { id, deletion_id, reason } => {
                let outcome = principals::delete(sql, &mut self.outbox, id, deletion_id, reason, now)?;
                self.deletion_is_pending = deletions::is_pending(sql)?;
                Ok(outcome)
            }
            Command::ListPrincipals { r#type, from, limit } => principals::list(sql, r#type, from, limit),
            Command::ReserveTurn(_) | Command::CommitTurn(_) | Command::ReleaseTurn | Command::ReadUsage => {
                self.meter(sql, request_id, command, key, decay)
            }
            Command::IssueKey { settings, key } => {
                self.configure(sql, settings, now)?;
                keys::issue(sql, &key)?;
                self.keys.forget();
                Ok(Outcome::KeyIssued)
            }
            // The operator's is carried out before anything else; it is no key's to ask for.
            Command::Close { .. } => Ok(Outcome::NotFound),
            Command::ListKeys { after, limit } => keys::list(sql, after, limit).map(Outcome::Keys),
            Command::RevokeKey { key_id } => {
                let known = keys::revoke(sql, key_id, now)?;
                self.keys.forget();
                Ok(if known { Outcome::KeyRevoked } else { Outcome::NotFound })
            }
        }
    }

    /// What is about the ledger, and needs the limits.
    fn meter<S: Sql>(
        &mut self,
        sql: &S,
        request_id: RequestId,
        command: Command,
        key: Option<&IdempotencyKey>,
        decay: Decay,
    ) -> Result<Outcome, SqlError> {
        let now = decay.now;
        let Some(settings) = &self.settings else { return Ok(Outcome::NotFound) };
        match command {
            Command::ReserveTurn(turn) => {
                self.expiry_is_scheduled = false;
                turns::reserve(sql, &mut self.outbox, settings, request_id, turn, key, now)
            }
            Command::CommitTurn(answer) => {
                self.expiry_is_scheduled = false;
                turns::commit(sql, &mut self.outbox, settings, request_id, &answer, decay)
            }
            Command::ReleaseTurn => turns::release(sql, request_id),
            _ => {
                let period_start = Period::containing(settings.anchor, now).start;
                Ok(Outcome::Usage { quota: quotas::read(sql, settings, now)?, period_start })
            }
        }
    }

    /// Takes over settings that are newer than those held, so that a late or
    /// repeated delivery can't bring older limits back.
    fn configure<S: Sql>(&mut self, sql: &S, settings: Settings, now: Timestamp) -> Result<Outcome, SqlError> {
        let newer = self.settings.as_ref().is_none_or(|held| settings.version > held.version);
        if newer {
            settings::store(sql, &settings)?;
            match &mut self.limiter {
                Some(limiter) => limiter.set_rate(sql, settings.limits.into(), now)?,
                None => self.limiter = Some(Limiter::load(sql, settings.limits.into(), now)?),
            }
            self.settings = Some(settings);
        }
        Ok(Outcome::Configured)
    }
}
