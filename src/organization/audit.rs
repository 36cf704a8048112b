//! Audits: step by step, the object compares its projections with itself and repairs the differences.
//!
//! Invariants:
//!
//! - An audit writes no record itself. It appends a differing user to the log, and a flush behind the same fence
//!   repairs the record; a differing copy is due to be written. The audit directly removes only what belongs to no
//!   user of the object.
//! - The object audits itself once a day, by its alarm. An audit that the operator or the cron trigger has begun counts.
//! - An audit looks at KV when the last look is 30 days ago, or when the operator asks for a repair.
//! - An audit judges only users without a pending change. It leaves a user who changed during the comparison, or
//!   whose change the listing has not confirmed yet, to that change.
//! - A step is bounded, and the position of the audit is durable. The position is a row number, an instant or a
//!   cursor of KV's, never the id of a person.

use std::collections::HashSet;

use super::batches::ProjectedRecord;
use super::change_log::{Affected, ChangeKind, ChangeLog};
use super::copies::{self, Copies};
use super::protocol::{AuditPhase, AuditReport, Differences};
use super::schema;
use super::sql::{Row, Sql, SqlError, json_list};
use super::user_row::{self, UserRow};
use super::writer::Writer;
use crate::directory::end_user::{EndUser, Version};
use crate::directory::epoch::Epoch;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;

/// Most users that one step compares: KV reads at most 100 keys at once.
const USERS_MAX: i64 = 100;
/// A step takes no further user when its documents have this size, in bytes.
const DOCUMENTS_BYTES_MAX: usize = 512 * 1024;
/// With this many pending changes the audit waits for the flush.
const PENDING_MAX: i64 = 1_000;

/// How long after an audit begins the next one does, in milliseconds: a day.
pub const INTERVAL_MS: i64 = 24 * 60 * 60 * 1_000;
const DUE_AT: &str = "audit_due_at";
/// How long after an audit has looked at KV the next one does, in milliseconds: 30 days.
const CACHE_INTERVAL_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
const CACHE_AUDITED_AT: &str = "cache_audited_at";
/// When the last audit began that is a repair.
const REPAIR_BEGAN_AT: &str = "repair_began_at";

/// What a step compares.
#[derive(Debug)]
pub enum AuditStep {
    /// Where the listing stands.
    Fence,
    Users(Vec<ExpectedUser>),
    /// The rows of the listing from this instant of creation on.
    Listing {
        from_ms: i64,
    },
    /// The keys of the cache from this cursor of KV's on; empty at the start.
    Cache {
        cursor: String,
    },
}

/// A user as the listing and KV must hold them.
#[derive(Debug)]
pub struct ExpectedUser {
    pub number: i64,
    pub user_id: UserId,
    pub version: Version,
    /// `None` for a user who is being erased: the listing must hold nothing.
    pub record: Option<ProjectedRecord>,
    /// How many relationships the user has.
    pub relationships: i64,
    /// Under which epoch KV holds a copy; `None` when it holds none, or when this audit does not look at KV.
    pub copy: Option<Epoch>,
}

/// What is wrong with a record in a projection; see [`Differences`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    Missing,
    Outdated,
    Foreign,
}

impl Flaw {
    fn count(self, differences: &mut Differences, records: i64) {
        let counter = match self {
            Self::Missing => &mut differences.missing,
            Self::Outdated => &mut differences.outdated,
            Self::Foreign => &mut differences.foreign,
        };
        *counter = counter.saturating_add(records);
    }
}

/// A user whose record in a projection is not as expected.
#[derive(Debug, Clone, Copy)]
pub struct Difference {
    pub number: i64,
    pub version: Version,
    pub listing: Option<Flaw>,
    pub cache: Option<Flaw>,
}

/// What a step found.
#[derive(Debug)]
pub enum AuditFinding {
    Fence {
        reset: bool,
    },
    Users {
        differences: Vec<Difference>,
        compared: i64,
        /// The row number of the last user compared; `None` when no user is left.
        last: Option<i64>,
    },
    Listing {
        /// The number of removed rows.
        foreign: i64,
        /// Where the next step starts; `None` at the end.
        next_ms: Option<i64>,
    },
    Cache {
        /// The number of removed keys.
        foreign: i64,
        next: Option<String>,
    },
}

impl AuditFinding {
    const fn phase(&self) -> AuditPhase {
        match self {
            Self::Fence { .. } => AuditPhase::Fence,
            Self::Users { .. } => AuditPhase::Users,
            Self::Listing { .. } => AuditPhase::Listing,
            Self::Cache { .. } => AuditPhase::Cache,
        }
    }
}

/// A stored audit.
#[derive(Debug)]
struct Audit {
    report: AuditReport,
    position: String,
}

const COLUMNS: &str = "phase, position, started_at, completed_at, users, fence_reset, \
                       listing_missing, listing_outdated, listing_foreign, cache_missing, cache_outdated, cache_foreign";

impl Audit {
    fn load(sql: &impl Sql) -> Result<Option<Self>, SqlError> {
        sql.find(&format!("SELECT {COLUMNS} FROM audit WHERE one = 1"), &[], Self::read)
    }

    fn read(row: &mut Row) -> Result<Self, SqlError> {
        let (phase, position) = (row.text()?.parse().ok(), row.text()?);
        let (started_at, completed_at) = (row.timestamp()?, row.optional_timestamp()?);
        let (users, fence_reset) = (row.integer()?, row.integer()? != 0);
        let mut differences =
            || Ok(Differences { missing: row.integer()?, outdated: row.integer()?, foreign: row.integer()? });
        let (listing, cache) = (differences()?, differences()?);
        Ok(Self {
            report: AuditReport { phase, started_at, completed_at, users, fence_reset, listing, cache },
            position,
        })
    }

    fn store(&self, sql: &impl Sql) -> Result<(), SqlError> {
        let report = &self.report;
        sql.execute(
            &format!("INSERT OR REPLACE INTO audit (one, {COLUMNS}) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
            &[
                report.phase.map_or("", |phase| phase.into_str()).into(),
                self.position.as_str().into(),
                report.started_at.into(),
                report.completed_at.into(),
                report.users.into(),
                i64::from(report.fence_reset).into(),
                report.listing.missing.into(),
                report.listing.outdated.into(),
                report.listing.foreign.into(),
                report.cache.missing.into(),
                report.cache.outdated.into(),
                report.cache.foreign.into(),
            ],
        )
    }

    /// Moves to a position in the phase, or to the next phase when there is none.
    fn advance(&mut self, position: Option<String>, now: Timestamp) {
        if position.is_none() {
            self.report.phase = self.report.phase.and_then(AuditPhase::next);
            if self.report.phase.is_none() {
                self.report.completed_at = Some(now);
            }
        }
        self.position = position.unwrap_or_default();
    }
}

/// Starts an audit, or returns the report of the running one.
pub fn start(sql: &impl Sql, now: Timestamp) -> Result<AuditReport, SqlError> {
    if let Some(running) = Audit::load(sql)?.filter(|audit| audit.report.phase.is_some()) {
        return Ok(running.report);
    }
    let report = AuditReport {
        phase: Some(AuditPhase::Fence),
        started_at: now,
        completed_at: None,
        users: 0,
        fence_reset: false,
        listing: Differences::default(),
        cache: Differences::default(),
    };
    Audit { report, position: String::new() }.store(sql)?;
    schema::write(sql, DUE_AT, now.plus_ms(INTERVAL_MS).millis())?;
    Ok(report)
}

/// Starts the audit that is due, and returns when the next one is. The first is due a day after the alarm first asks.
pub fn start_if_due(sql: &impl Sql, now: Timestamp) -> Result<Timestamp, SqlError> {
    let (due_at, next_at) = (Timestamp::from_millis(schema::read(sql, DUE_AT)?), now.plus_ms(INTERVAL_MS));
    if due_at > now {
        return Ok(due_at.min(next_at));
    }
    if due_at > Timestamp::EPOCH {
        start(sql, now)?;
    }
    // Also when an audit was running already.
    schema::write(sql, DUE_AT, next_at.millis())?;
    Ok(next_at)
}

/// Has the running audit begin again, or starts one. What it has repaired stays in its report.
pub fn begin_with_fence(sql: &impl Sql, now: Timestamp) -> Result<(), SqlError> {
    let report = AuditReport { phase: Some(AuditPhase::Fence), users: 0, ..start(sql, now)? };
    Audit { report, position: String::new() }.store(sql)
}

/// Whether an audit runs.
pub fn is_running(sql: &impl Sql) -> Result<bool, SqlError> {
    Ok(Audit::load(sql)?.is_some_and(|audit| audit.report.phase.is_some()))
}

/// The report of the running audit, or of the last one.
pub fn report(sql: &impl Sql) -> Result<Option<AuditReport>, SqlError> {
    Ok(Audit::load(sql)?.map(|audit| audit.report))
}

/// The next step; `None` when no audit runs.
pub fn next_step(sql: &impl Sql, copies: &Copies, now: Timestamp) -> Result<Option<AuditStep>, SqlError> {
    let Some(audit) = Audit::load(sql)? else { return Ok(None) };
    let number = || audit.position.parse().unwrap_or_default();
    Ok(match audit.report.phase {
        None => None,
        Some(AuditPhase::Fence) => Some(AuditStep::Fence),
        Some(AuditPhase::Users) => Some(AuditStep::Users(expected(sql, number(), copies.epoch(), now)?)),
        Some(AuditPhase::Listing) => Some(AuditStep::Listing { from_ms: number() }),
        Some(AuditPhase::Cache) => Some(AuditStep::Cache { cursor: audit.position }),
    })
}

/// The users after a row number, as the listing and KV must hold them. A copy that KV may not
/// show yet, or that ends soon, is not compared.
fn expected(sql: &impl Sql, after: i64, epoch: Epoch, now: Timestamp) -> Result<Vec<ExpectedUser>, SqlError> {
    let select = format!(
        "SELECT c.number IS NOT NULL, (SELECT count(*) FROM relationships r WHERE r.user = u.number), {}
         FROM users u LEFT JOIN copies c
         ON c.user = u.number AND c.epoch = ?1 AND c.due_at IS NULL AND c.ends_at > ?2
         AND c.listed_until <= ?3 AND c.written_at <= ?4
         WHERE u.number > ?5 ORDER BY u.number LIMIT ?6",
        user_row::COLUMNS
    );
    let until = now.plus_ms(copies::SPREAD_MS);
    let since = now.millis().saturating_sub(copies::SPREAD_MS);
    let parameters = [epoch.number().into(), until.into(), now.into(), since.into(), after.into(), USERS_MAX.into()];
    let rows = sql.list(&select, &parameters, |row| Ok((row.integer()? != 0, row.integer()?, UserRow::read(row)?)))?;
    let looks_at_cache = cache_is_due(sql, now)?;
    let (mut users, mut bytes) = (Vec::with_capacity(rows.len()), 0_usize);
    for (has_copy, relationships, row) in rows {
        let record = ProjectedRecord::of(&row)?;
        bytes = bytes.saturating_add(record.as_ref().map_or(0, ProjectedRecord::length));
        let EndUser { user_id, version, .. } = row.user;
        let copy = (has_copy && looks_at_cache).then_some(epoch);
        users.push(ExpectedUser { number: row.number, version, user_id, record, relationships, copy });
        if bytes >= DOCUMENTS_BYTES_MAX {
            break;
        }
    }
    Ok(users)
}

/// The row numbers of the users with a pending change. An audit judges none of them.
#[derive(Debug, Default)]
pub struct PendingUsers(HashSet<i64>);

impl PendingUsers {
    /// `None` when there are too many: the object flushes first.
    pub fn read(sql: &impl Sql, log: &ChangeLog) -> Result<Option<Self>, SqlError> {
        let select = "SELECT user FROM changes WHERE sequence > ? LIMIT ?";
        let users = sql.list(select, &[log.acknowledged().into(), PENDING_MAX.into()], Row::optional_integer)?;
        let are_few = i64::try_from(users.len()).is_ok_and(|length| length < PENDING_MAX);
        Ok(are_few.then(|| Self(users.into_iter().flatten().collect())))
    }
}

/// The digests among these that belong to no user.
pub fn foreign_digests(sql: &impl Sql, digests: &[String]) -> Result<Vec<String>, SqlError> {
    let select = "SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM users WHERE digest = value)";
    sql.list(select, &[json_list(digests)?.as_str().into()], Row::text)
}

/// Records what a step found, and moves to the next step. `before` are the pending users when the step began.
pub fn record(writer: &mut Writer<'_, impl Sql>, before: &PendingUsers, finding: AuditFinding) -> Result<(), SqlError> {
    let Writer { sql, now, .. } = *writer;
    let Some(mut audit) = Audit::load(sql)?.filter(|audit| audit.report.phase == Some(finding.phase())) else {
        return Ok(());
    };
    let position = match finding {
        AuditFinding::Fence { reset } => {
            audit.report.fence_reset |= reset;
            None
        }
        AuditFinding::Users { differences, compared, last } => {
            let Some(after) = PendingUsers::read(sql, writer.log)? else { return Ok(()) };
            for difference in differences {
                if !before.0.contains(&difference.number) && !after.0.contains(&difference.number) {
                    repair(writer, &mut audit.report, difference)?;
                }
            }
            audit.report.users = audit.report.users.saturating_add(compared);
            last.map(|number| number.to_string())
        }
        AuditFinding::Listing { foreign, next_ms } => {
            Flaw::Foreign.count(&mut audit.report.listing, foreign);
            next_ms.map(|millis| millis.to_string())
        }
        AuditFinding::Cache { foreign, next } => {
            Flaw::Foreign.count(&mut audit.report.cache, foreign);
            if next.is_none() {
                schema::write(sql, CACHE_AUDITED_AT, now.millis())?;
            }
            next
        }
    };
    audit.advance(position, now);
    if audit.report.phase == Some(AuditPhase::Cache) && !cache_is_due(sql, now)? {
        audit.advance(None, now);
    }
    audit.store(sql)
}

/// Has a user projected again, unless they changed since the comparison.
fn repair(writer: &mut Writer<'_, impl Sql>, report: &mut AuditReport, difference: Difference) -> Result<(), SqlError> {
    let Difference { number, version, listing, cache } = difference;
    let found = UserRow::of_number(writer.sql, number)?.filter(|row| row.user.version == version);
    let Some(row) = found else { return Ok(()) };
    if let Some(flaw) = listing {
        writer.append(ChangeKind::Repair, &row.subject(), Affected::UserAndRelationships(number))?;
        // An erasure completes only after the listing has confirmed this change.
        writer.sql.execute(
            "UPDATE deletions SET sequence = max(sequence, ?) WHERE user = ? AND completed_at IS NULL AND cascade = 'all'",
            &[writer.log.last_sequence().into(), number.into()],
        )?;
        flaw.count(&mut report.listing, 1);
    }
    if let Some(flaw) = cache {
        writer.copies.rewrite(writer.sql, number, writer.now)?;
        flaw.count(&mut report.cache, 1);
    }
    Ok(())
}

/// Whether this audit looks at KV: each of its lists costs as much as ten reads.
fn cache_is_due(sql: &impl Sql, now: Timestamp) -> Result<bool, SqlError> {
    let audited_at = schema::read(sql, CACHE_AUDITED_AT)?;
    Ok(now.millis().saturating_sub(audited_at) >= CACHE_INTERVAL_MS)
}

/// Makes the running audit a repair, which looks at KV. Returns whether it was none before.
pub fn becomes_repair(sql: &impl Sql, report: &AuditReport) -> Result<bool, SqlError> {
    let began_at = report.started_at.millis();
    if schema::read(sql, REPAIR_BEGAN_AT)? == began_at {
        return Ok(false);
    }
    schema::write(sql, REPAIR_BEGAN_AT, began_at)?;
    distrust_cache(sql)?;
    Ok(true)
}

/// Has the next audit look at KV.
pub fn distrust_cache(sql: &impl Sql) -> Result<(), SqlError> {
    schema::write(sql, CACHE_AUDITED_AT, 0)
}
