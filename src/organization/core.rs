//! The core of one tenant's object: everything that the object decides, without the platform.

use super::audit::{self, AuditFinding, AuditStep, PendingUsers};
use super::batches::{self, Batch};
use super::change_log::{Origin, Projection};
use super::closing::{self, Closing};
use super::erasure;
use super::idempotency;
use super::memory::Memory;
use super::protocol::{Answer, AuditReport, Call, Caller, Close, Command, Reply};
use super::sql::{Sql, SqlError};
use super::transaction;
use super::turns;
use super::writer::Writer;
use crate::directory::identifiers::{BatchId, Tenant};
use crate::directory::mood::{self, Decay};
use crate::directory::timestamp::Timestamp;

/// The core of one tenant's object.
///
/// The core can be dropped at any moment: it loses only the tokens between the bucket and its high-water mark.
#[derive(Debug)]
pub struct OrganizationCore {
    memory: Option<Memory>,
    mood_half_life_ms: u64,
}

impl Default for OrganizationCore {
    fn default() -> Self {
        Self::new(mood::HALF_LIFE_MS_DEFAULT)
    }
}

impl OrganizationCore {
    /// A mood loses half its distance to its baseline in `mood_half_life_ms` milliseconds. The operator sets one
    /// half-life for all organizations.
    pub const fn new(mood_half_life_ms: u64) -> Self {
        Self { memory: None, mood_half_life_ms }
    }

    /// Drops the memory, which may describe rows that were rolled back. The next call reads it again.
    pub fn forget(&mut self) {
        self.memory = None;
    }

    /// Whether a call must run in a transaction. The first call always must, as it may have to create the tables.
    pub fn needs_transaction(&self, call: &Call) -> bool {
        self.memory.is_none() || call.idempotency.is_some() || !call.command.only_reads()
    }

    /// Executes one call and returns the reply. If the call [needs](Self::needs_transaction) a transaction, this
    /// must run inside one that the object rolls back when this fails.
    pub fn handle(&mut self, sql: &impl Sql, call: Call, now: Timestamp) -> Result<Reply, SqlError> {
        let Some(mut memory) = self.take(sql, now)? else {
            return Ok(Reply::new(None, closing::answer(sql, &call)?));
        };
        if let Call { caller: Caller::Operator, command: Command::Close(Close { tenant }), .. } = call {
            // The memory stays dropped: a closed object has only its mark.
            return Ok(Reply::new(None, Ok(Answer::Close(closing::close(sql, tenant, now)?))));
        }
        let decay = Decay { now, half_life_ms: self.mood_half_life_ms };
        let reply = transaction::execute(&mut memory, sql, call, decay)?;
        self.memory = Some(memory);
        Ok(reply)
    }

    /// The mark of an object whose organization was deleted; `None` while the object is open.
    pub fn closing(&self, sql: &impl Sql) -> Result<Option<Closing>, SqlError> {
        if self.memory.is_some() { Ok(None) } else { closing::find(sql) }
    }

    /// The tenant of this object; `None` as long as the object has no settings.
    pub fn tenant(&self) -> Option<Tenant> {
        self.memory.as_ref()?.settings.as_ref().map(|settings| settings.tenant)
    }

    /// The changes that a projection has not confirmed yet, oldest first, bounded in number and size; `None` when
    /// the projection has confirmed all of them.
    pub fn next_batch(
        &mut self,
        sql: &impl Sql,
        projection: Projection,
        id: BatchId,
        now: Timestamp,
    ) -> Result<Option<Batch>, SqlError> {
        self.with_memory(sql, now, None, |memory| {
            let Some(settings) = &memory.settings else { return Ok(None) };
            batches::next(&memory.log, sql, projection, id, settings.tenant)
        })
    }

    /// Records that a projection holds every change up to a sequence number. Must run inside a transaction.
    pub fn acknowledge(
        &mut self,
        sql: &impl Sql,
        projection: Projection,
        sequence: i64,
        now: Timestamp,
    ) -> Result<(), SqlError> {
        self.with_memory(sql, now, (), |memory| memory.log.acknowledge(sql, projection, sequence))
    }

    /// The sequence number of the newest change; `None` when the memory is not loaded. It is loaded after every
    /// call that succeeded.
    pub fn last_sequence(&self) -> Option<i64> {
        self.memory.as_ref().map(|memory| memory.log.last_sequence())
    }

    /// The sequence number up to which a projection has confirmed; `None` when the memory is not loaded.
    pub fn acknowledged(&self, projection: Projection) -> Option<i64> {
        self.memory.as_ref().map(|memory| memory.log.acknowledged(projection))
    }

    /// Whether a projection lacks a change; `false` when the memory is not loaded.
    pub fn is_behind(&self, projection: Projection) -> bool {
        self.acknowledged(projection) < self.last_sequence()
    }

    /// Whether a projection lacks as many changes as one batch can hold.
    pub fn has_batch(&self, projection: Projection) -> bool {
        let first = self.acknowledged(projection).unwrap_or_default();
        self.last_sequence().unwrap_or_default().saturating_sub(first) >= batches::BATCH_ROWS_MAX
    }

    /// Whether the alarm has work: a projection lacks a change, an erasure is pending, an audit runs, or an
    /// expiry is not scheduled.
    pub fn needs_alarm(&self) -> bool {
        let has_work =
            |memory: &Memory| !memory.expiry_is_scheduled || memory.erasure_is_pending || memory.audit_is_running;
        self.memory.as_ref().is_some_and(has_work)
            || Projection::ALL.into_iter().any(|projection| self.is_behind(projection))
    }

    /// Whether [`Self::purge`] may find an erasure to complete; `true` when the memory is not loaded.
    pub fn may_purge(&self) -> bool {
        self.memory.as_ref().is_none_or(|memory| memory.erasure_is_pending)
    }

    /// Completes erasures that every projection has confirmed, a bounded number of them; returns whether more are
    /// due. Must run inside a transaction.
    pub fn purge(&mut self, sql: &impl Sql, now: Timestamp) -> Result<bool, SqlError> {
        self.with_memory(sql, now, false, |memory| {
            if !memory.erasure_is_pending {
                return Ok(false);
            }
            memory.log.begin(Origin::system(now));
            let is_more = erasure::purge(&mut Writer { sql, log: &mut memory.log, now })?;
            memory.erasure_is_pending = erasure::is_pending(sql)?;
            Ok(is_more)
        })
    }

    /// Removes expired answers, turns and rows of the change log, a bounded number of them; returns when the next
    /// one expires. Must run inside a transaction.
    pub fn sweep(&mut self, sql: &impl Sql, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
        self.with_memory(sql, now, None, |memory| {
            let next = [idempotency::sweep(sql, now)?, turns::sweep(sql, now)?, memory.log.sweep(sql, now)?];
            memory.expiry_is_scheduled = true;
            Ok(next.into_iter().flatten().min())
        })
    }

    /// Whether an audit runs; `false` when the memory is not loaded.
    pub fn is_audited(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.audit_is_running)
    }

    /// Starts an audit unless one runs. Must run inside a transaction.
    pub fn start_audit(&mut self, sql: &impl Sql, now: Timestamp) -> Result<(), SqlError> {
        self.with_memory(sql, now, (), |memory| {
            memory.audit_is_running = true;
            audit::start(sql, now).map(drop)
        })
    }

    /// The report of the running audit, or of the last one.
    pub fn report(&mut self, sql: &impl Sql, now: Timestamp) -> Result<Option<AuditReport>, SqlError> {
        self.with_memory(sql, now, None, |_| audit::report(sql))
    }

    /// The next step of the running audit, and the users that the step must not judge. `None` when no audit runs,
    /// or when too many changes are pending to compare anything.
    pub fn next_audit_step(
        &mut self,
        sql: &impl Sql,
        now: Timestamp,
    ) -> Result<Option<(AuditStep, PendingUsers)>, SqlError> {
        self.with_memory(sql, now, None, |memory| {
            let Some(step) = audit::next_step(sql, &memory.log)? else { return Ok(None) };
            Ok(PendingUsers::read(sql, &memory.log)?.map(|before| (step, before)))
        })
    }

    /// The digests among these that belong to no user, and the sequence number that the listing has confirmed. A
    /// closed object returns none: its audit is over.
    pub fn foreign_digests(
        &mut self,
        sql: &impl Sql,
        digests: &[String],
        now: Timestamp,
    ) -> Result<(Vec<String>, i64), SqlError> {
        self.with_memory(sql, now, (Vec::new(), 0), |memory| {
            Ok((audit::foreign_digests(sql, digests)?, memory.log.acknowledged(Projection::Listing)))
        })
    }

    /// Records what a step of the audit found. `before` are the pending users when the step began. Must run
    /// inside a transaction.
    pub fn record_audit(
        &mut self,
        sql: &impl Sql,
        before: &PendingUsers,
        finding: AuditFinding,
        now: Timestamp,
    ) -> Result<(), SqlError> {
        self.with_memory(sql, now, (), |memory| {
            memory.log.begin(Origin::system(now));
            audit::record(&mut Writer { sql, log: &mut memory.log, now }, before, finding)?;
            memory.audit_is_running = audit::is_running(sql)?;
            Ok(())
        })
    }

    /// Lets a body use the memory, unless the object is closed. A failure leaves no memory behind.
    fn with_memory<T>(
        &mut self,
        sql: &impl Sql,
        now: Timestamp,
        when_closed: T,
        body: impl FnOnce(&mut Memory) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let Some(mut memory) = self.take(sql, now)? else { return Ok(when_closed) };
        let result = body(&mut memory)?;
        self.memory = Some(memory);
        Ok(result)
    }

    /// Takes the memory out, or reads it again, so that a failure half-way leaves no stale memory behind. A
    /// caller that succeeds puts the memory back. A closed object has no memory.
    fn take(&mut self, sql: &impl Sql, now: Timestamp) -> Result<Option<Memory>, SqlError> {
        match self.memory.take() {
            None => Memory::load(sql, now),
            held => Ok(held),
        }
    }
}
