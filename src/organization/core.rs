//! The core of one tenant's object: everything that the object decides, without the platform.

use super::active_relationships;
use super::audit::{self, AuditFinding, AuditStep, PendingUsers};
use super::batches::{self, Batch};
use super::change_log::{ListingPosition, Origin};
use super::closing::{self, Closing};
use super::copies::{Copy, Outage};
use super::copying;
use super::erasure;
use super::idempotency;
use super::memory::Memory;
use super::protocol::{Answer, AuditReport, Call, Caller, Close, Command, Reply};
use super::retention;
use super::sql::{Sql, SqlError};
use super::transaction;
use super::turns;
use super::users;
use super::writer::Writer;
use crate::directory::epoch::Epoch;
use crate::directory::identifiers::{BatchId, Tenant};
use crate::directory::mood::{self, Decay};
use crate::directory::principal::PrincipalType;
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};
use crate::json;

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

    /// Whether a call must run in a transaction. The first call always must, as it may have to create the tables. The
    /// creation of a user who is there changes nothing, and a transaction takes longer than everything else that it does.
    pub fn needs_transaction(&self, sql: &impl Sql, call: &Call) -> Result<bool, SqlError> {
        if self.memory.is_none() || call.idempotency.is_some() {
            return Ok(true);
        }
        match &call.command {
            Command::CreateEndUser(new) => Ok(!users::exists(sql, &new.user_id)?),
            Command::CreatePrincipal(new) if new.r#type == PrincipalType::Human => {
                Ok(!users::exists(sql, &new.external_id)?)
            }
            command => Ok(!command.only_reads()),
        }
    }

    /// Executes one call and returns the reply. If the call [needs](Self::needs_transaction) a transaction, this
    /// must run inside one that the object rolls back when this fails.
    pub fn handle(&mut self, sql: &impl Sql, call: Call, now: Timestamp) -> Result<Reply, SqlError> {
        let Some(mut memory) = self.take(sql, now)? else {
            return Ok(Reply::new(None, closing::answer(sql, &call)?));
        };
        if let Call { caller: Caller::Operator(_), command: Command::Close(Close { tenant, deletion }), .. } = call {
            // The memory stays dropped: a closed object has only its mark.
            return Ok(Reply::new(None, Ok(Answer::Close(closing::close(sql, tenant, deletion, now)?))));
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

    /// The record of the organization, which D1 holds too; `None` when the object does not have it.
    pub fn organization_record(&self) -> Option<json::Text> {
        self.memory.as_ref()?.settings.as_ref()?.record.clone()
    }

    /// The tenant of this object; `None` as long as the object has no settings.
    pub fn tenant(&self) -> Option<Tenant> {
        self.memory.as_ref()?.settings.as_ref().map(|settings| settings.tenant)
    }

    /// The changes that the listing has not confirmed yet, oldest first, bounded in number and size; `None` when the
    /// listing has confirmed all of them.
    pub fn next_batch(&mut self, sql: &impl Sql, id: BatchId, now: Timestamp) -> Result<Option<Batch>, SqlError> {
        self.with_memory(sql, now, None, |memory| {
            let Some(settings) = &memory.settings else { return Ok(None) };
            batches::next(&memory.log, sql, id, settings.tenant)
        })
    }

    /// Records that the listing holds every change up to a position. Must run inside a transaction.
    pub fn acknowledge(&mut self, sql: &impl Sql, to: ListingPosition, now: Timestamp) -> Result<(), SqlError> {
        self.with_memory(sql, now, (), |memory| {
            memory.copies.trust();
            memory.log.acknowledge(sql, to)?;
            memory.copies.follow(sql, memory.log.acknowledged(), now)
        })
    }

    /// Whether the object has not seen yet where the listing stands, and so gives no lease.
    pub fn wants_listing_checked(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| !memory.copies.are_trusted())
    }

    /// Records that the listing stands where the object left it.
    pub fn listing_is_ours(&mut self) {
        if let Some(memory) = &mut self.memory {
            memory.copies.trust();
        }
    }

    /// Has an audit look where the listing stands, because it seems to stand where the object has not moved it. Must run
    /// inside a transaction.
    pub fn suspect_listing(&mut self, sql: &impl Sql, now: Timestamp) -> Result<(), SqlError> {
        self.with_memory(sql, now, (), |memory| {
            memory.copies.distrust();
            memory.audit_is_running = true;
            audit::begin_with_fence(sql, now)
        })
    }

    /// Begins an epoch, because the listing stands where the object has not moved it: one of the two was lost or
    /// restored. Returns where the listing is to be set. Must run inside a transaction.
    pub fn diverge(
        &mut self,
        sql: &impl Sql,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<Option<ListingPosition>, SqlError> {
        self.with_memory(sql, now, None, |memory| {
            if guards::is_on(Guard::NewEpoch) {
                memory.copies.begin_epoch(sql, epoch, now)?;
            }
            memory.copies.distrust();
            memory.log.begin_relisting(sql)?;
            audit::distrust_cache(sql)?;
            if guards::is_on(Guard::ListingMark) {
                memory.log.mark_position(sql, format!("epoch {}", epoch.number()))?;
            }
            Ok(Some(memory.log.position().clone()))
        })
    }

    /// The sequence number of the newest change; `None` when the memory is not loaded. It is loaded after every
    /// call that succeeded.
    pub fn last_sequence(&self) -> Option<i64> {
        self.memory.as_ref().map(|memory| memory.log.last_sequence())
    }

    /// The number of the last event since the memory was loaded; 0 if there was none.
    pub fn last_event(&self) -> i64 {
        self.memory.as_ref().map_or(0, |memory| memory.log.last_event())
    }

    /// The sequence number up to which the listing has confirmed; `None` when the memory is not loaded.
    pub fn acknowledged(&self) -> Option<i64> {
        self.memory.as_ref().map(|memory| memory.log.acknowledged())
    }

    /// Where the listing stood when it last confirmed; `None` when the memory is not loaded.
    pub fn listing_position(&self) -> Option<ListingPosition> {
        self.memory.as_ref().map(|memory| memory.log.position().clone())
    }

    /// Whether the listing lacks a change; `false` when the memory is not loaded.
    pub fn is_behind(&self) -> bool {
        self.acknowledged() < self.last_sequence()
    }

    /// Whether the listing lacks as many changes as one batch can hold.
    pub fn has_batch(&self) -> bool {
        let first = self.acknowledged().unwrap_or_default();
        self.last_sequence().unwrap_or_default().saturating_sub(first) >= batches::BATCH_ROWS_MAX
    }

    /// When the next copy is to be written to KV; `None` when none is, or when the memory is not loaded.
    pub fn copies_due_at(&self) -> Option<Timestamp> {
        self.memory.as_ref().and_then(|memory| memory.copies.due_at())
    }

    /// The copies to write to KV now, a bounded number of them, which are recorded as sent. Must run inside a
    /// transaction.
    pub fn due_copies(&mut self, sql: &impl Sql, now: Timestamp) -> Result<Vec<Copy>, SqlError> {
        self.with_memory(sql, now, Vec::new(), |memory| copying::due(&mut memory.copies, sql, now))
    }

    /// Records that KV has confirmed writes that began at an instant. Returns whether an outage of KV ends. Must run
    /// inside a transaction.
    pub fn confirm_copies(
        &mut self,
        sql: &impl Sql,
        written: &[Copy],
        began_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Outage>, SqlError> {
        self.with_memory(sql, now, None, |memory| {
            let outage = memory.copies.confirm(sql, written, began_at, now)?;
            erasure::follow_kv(sql, &memory.log, written)?;
            Ok(outage)
        })
    }

    /// Records that KV has not confirmed writes. Returns whether an outage of KV begins. Must run inside a transaction.
    pub fn fail_copies(
        &mut self,
        sql: &impl Sql,
        written: &[Copy],
        now: Timestamp,
    ) -> Result<Option<Outage>, SqlError> {
        self.with_memory(sql, now, None, |memory| memory.copies.fail(sql, written, now))
    }

    /// When the alarm has work at the latest: an instant in the past if there is work now, `None` if there is none. The
    /// listing lacks a change, an audit runs, an erasure is requested, a copy is due, or an expiry is not scheduled.
    pub fn work_at(&self) -> Option<Timestamp> {
        let memory = self.memory.as_ref()?;
        let has_work =
            !memory.expiry_is_scheduled || memory.erasure_is_pending || memory.audit_is_running || self.is_behind();
        if has_work { Some(Timestamp::EPOCH) } else { memory.copies.due_at() }
    }

    /// The same after the alarm has done what could be done: an erasure that waits for KV is no work until the copy
    /// is due.
    pub fn work_left_at(&self, sql: &impl Sql) -> Result<Option<Timestamp>, SqlError> {
        let Some(memory) = self.memory.as_ref() else { return Ok(None) };
        let has_work = memory.audit_is_running || self.is_behind() || erasure::is_due(sql, &memory.log)?;
        Ok(if has_work { Some(Timestamp::EPOCH) } else { memory.copies.due_at() })
    }

    /// Whether [`Self::purge`] may find an erasure to complete; `true` when the memory is not loaded.
    pub fn may_purge(&self) -> bool {
        self.memory.as_ref().is_none_or(|memory| memory.erasure_is_pending)
    }

    /// Completes erasures that the listing and KV have confirmed, a bounded number of them; returns whether more are
    /// due. Must run inside a transaction.
    pub fn purge(&mut self, sql: &impl Sql, now: Timestamp) -> Result<bool, SqlError> {
        self.with_memory(sql, now, false, |memory| {
            if !memory.erasure_is_pending {
                return Ok(false);
            }
            memory.log.begin(Origin::system(now));
            let limits = memory.limits();
            let mut writer = Writer { sql, log: &mut memory.log, copies: &mut memory.copies, limits, now };
            let is_more = erasure::purge(&mut writer)?;
            memory.erasure_is_pending = erasure::is_pending(sql)?;
            Ok(is_more)
        })
    }

    /// Removes expired answers, turns, copies and rows of the change log, a bounded number of them, and starts the audit
    /// that is due; returns when the next one expires or is due. Must run inside a transaction.
    pub fn sweep(&mut self, sql: &impl Sql, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
        self.with_memory(sql, now, None, |memory| {
            let audit_at = memory.settings.as_ref().map(|_| audit::start_if_due(sql, now)).transpose()?;
            memory.audit_is_running = audit::is_running(sql)?;
            let next = [
                audit_at,
                idempotency::sweep(sql, now)?,
                turns::sweep(sql, now)?,
                active_relationships::sweep(sql, now)?,
                memory.copies.sweep(sql, now)?,
                retention::sweep(&memory.log, sql, now)?,
            ];
            if memory.erasure_is_pending {
                erasure::follow_end_of_copies(sql, &memory.log)?;
            }
            memory.expiry_is_scheduled = true;
            Ok(next.into_iter().flatten().min())
        })
    }

    /// Whether an audit runs; `false` when the memory is not loaded.
    pub fn is_audited(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.audit_is_running)
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
            let Some(step) = audit::next_step(sql, &memory.copies, now)? else { return Ok(None) };
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
            Ok((audit::foreign_digests(sql, digests)?, memory.log.acknowledged()))
        })
    }

    /// The places of copies among these that the object does not know. A closed object returns none.
    pub fn foreign_copies(
        &mut self,
        sql: &impl Sql,
        places: &[(Epoch, String)],
        now: Timestamp,
    ) -> Result<Vec<(Epoch, String)>, SqlError> {
        self.with_memory(sql, now, Vec::new(), |memory| copying::foreign(&memory.copies, sql, places, now))
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
            let limits = memory.limits();
            let mut writer = Writer { sql, log: &mut memory.log, copies: &mut memory.copies, limits, now };
            audit::record(&mut writer, before, finding)?;
            memory.audit_is_running = audit::is_running(sql)?;
            if memory.audit_is_running { Ok(()) } else { memory.log.end_relisting(sql) }
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
