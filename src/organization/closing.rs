//! Closing an object for good, because the operator deleted its organization.
//!
//! Invariants:
//!
//! - **A closed object stays closed.** The core reads the mark before anything else, and no command removes the
//!   mark. A closed object knows no key. It refuses every command of the operator's except [`Command::Close`] and
//!   [`Command::CloseAgain`]. It flushes, audits and sweeps nothing. So a late request, which found the organization
//!   before its deletion, cannot bring it back with settings, a key or a turn.
//! - Every step of the removal can run again. First the object removes the listing, behind a fence that no later
//!   batch passes; then the cache; last its own storage as a whole. It writes the mark again in the same turn.
//!
//! The mark is all that is left of the organization when D1 is restored to a moment before its deletion. So it says whose
//! deletion it was, and the object removes everything once more.
//!
//! A crash between the last two steps leaves an empty object without the mark. The edge records an organization
//! as deleted only after both of its objects have answered that they are closed. Until then it calls each of them
//! again. An object that lost its mark counts nothing as erased.

use super::erasure::read_erased;
use super::protocol::{
    Answer, Call, Caller, ClosingProgress, Command, Denial, OrganizationDeletion, Outcome, Rejection,
};
use super::sql::{Row, Sql, SqlError};
use crate::directory::deletion::Erased;
use crate::directory::epoch::Epoch;
use crate::directory::identifiers::Tenant;
use crate::directory::timestamp::Timestamp;

/// Most copies that one step removes from KV.
const COPIES_MAX: i64 = 100;

/// The mark of a closed object, and how far the removal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The tenant of the object. It is no secret, and the object needs it to remove late writes.
    pub tenant: Tenant,
    pub deletion: Option<OrganizationDeletion>,
    pub closed_at: Timestamp,
    /// When the object had removed all data.
    pub completed_at: Option<Timestamp>,
    /// What the object held when it was closed.
    pub erased: Erased,
    /// The number of the last copy that the object removed from KV.
    position: i64,
}

/// A copy in KV that a closed object removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCopy {
    pub number: i64,
    pub epoch: Epoch,
    pub digest: String,
}

/// The mark has its own table, because the other tables may be missing.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS closing (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    organization_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    closed_at INTEGER NOT NULL,
    completed_at INTEGER,
    erased_records INTEGER NOT NULL,
    erased_relationships INTEGER NOT NULL,
    erased_moods INTEGER NOT NULL,
    position INTEGER NOT NULL
)";

/// Whose deletion it was. An object that an earlier build closed does not have it.
const DELETION_TABLE: &str = "CREATE TABLE IF NOT EXISTS closing_deletion (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    deletion_id TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    reason TEXT
)";

/// Reads the mark; `None` while the object is open.
pub fn find(sql: &impl Sql) -> Result<Option<Closing>, SqlError> {
    sql.execute(TABLE, &[])?;
    sql.execute(DELETION_TABLE, &[])?;
    sql.find(
        "SELECT organization_id, mode, closed_at, completed_at, erased_records, erased_relationships, erased_moods,
         position, closing_deletion.deletion_id, closing_deletion.requested_at, closing_deletion.reason
         FROM closing LEFT JOIN closing_deletion ON closing_deletion.one = closing.one",
        &[],
        |row| {
            Ok(Closing {
                tenant: Tenant { organization: row.parsed("organization id")?, mode: row.parsed("mode")? },
                closed_at: row.timestamp()?,
                completed_at: row.optional_timestamp()?,
                erased: read_erased(row)?,
                position: row.integer()?,
                deletion: read_deletion(row)?,
            })
        },
    )
}

fn read_deletion(row: &mut Row) -> Result<Option<OrganizationDeletion>, SqlError> {
    let (deletion_id, requested_at) = (row.optional_parsed("deletion id")?, row.optional_timestamp()?);
    let reason = row.optional_text()?;
    let deletion = deletion_id.zip(requested_at);
    Ok(deletion.map(|(deletion_id, requested_at)| OrganizationDeletion { deletion_id, requested_at, reason }))
}

/// Closes an open object.
pub fn close(
    sql: &impl Sql,
    tenant: Tenant,
    deletion: OrganizationDeletion,
    now: Timestamp,
) -> Result<ClosingProgress, SqlError> {
    let counted = sql.find(
        "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM agents), count(*), count(mood) FROM relationships",
        &[],
        read_erased,
    )?;
    let erased = counted.ok_or_else(|| SqlError("nothing was counted".to_owned()))?;
    let closing = Closing { tenant, deletion: Some(deletion), closed_at: now, completed_at: None, erased, position: 0 };
    closing.store(sql)?;
    Ok(closing.progress())
}

/// The answer of a closed object.
pub fn answer(sql: &impl Sql, call: &Call) -> Result<Outcome, SqlError> {
    Ok(match (&call.caller, &call.command) {
        (Caller::Operator(_), Command::Close(_)) => match find(sql)? {
            Some(closing) => Ok(Answer::Close(closing.progress())),
            None => Err(Rejection::Closed),
        },
        (Caller::Operator(_), Command::CloseAgain(_)) => match find(sql)? {
            Some(closing) => {
                // The next alarm finds it not completed, and removes everything.
                let deletion = closing.deletion.clone();
                Closing { completed_at: None, position: 0, ..closing }.store(sql)?;
                Ok(Answer::CloseAgain(deletion))
            }
            None => Err(Rejection::Closed),
        },
        (Caller::Operator(_), _) => Err(Rejection::Closed),
        (Caller::Key { .. }, _) => Err(Rejection::Denied(Denial::InvalidKey)),
    })
}

impl Closing {
    fn store(&self, sql: &impl Sql) -> Result<(), SqlError> {
        sql.execute(TABLE, &[])?;
        sql.execute(
            "INSERT OR REPLACE INTO closing VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                self.tenant.organization.to_string().into(),
                self.tenant.mode.into_str().into(),
                self.closed_at.into(),
                self.completed_at.into(),
                self.erased.records.into(),
                self.erased.relationships.into(),
                self.erased.moods.into(),
                self.position.into(),
            ],
        )?;
        let Some(OrganizationDeletion { deletion_id, requested_at, reason }) = &self.deletion else { return Ok(()) };
        sql.execute(DELETION_TABLE, &[])?;
        sql.execute(
            "INSERT OR REPLACE INTO closing_deletion VALUES (1, ?, ?, ?)",
            &[deletion_id.to_string().into(), (*requested_at).into(), reason.as_deref().into()],
        )
    }

    const fn progress(&self) -> ClosingProgress {
        ClosingProgress { completed_at: self.completed_at, erased: self.erased }
    }

    /// The next copies that the object knows; empty when none is left. The list of KV is not enough: it may lack keys of
    /// the last minute.
    pub fn copies(&self, sql: &impl Sql) -> Result<Vec<KnownCopy>, SqlError> {
        // An earlier build, which closed the object, may not have made the table.
        let has_table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'copies'";
        if self.completed_at.is_some() || !sql.exists(has_table, &[])? {
            return Ok(Vec::new());
        }
        sql.list(
            "SELECT number, epoch, digest FROM copies WHERE number > ? ORDER BY number LIMIT ?",
            &[self.position.into(), COPIES_MAX.into()],
            |row| {
                let (number, epoch) = (row.integer()?, Epoch::of_number(row.integer()?));
                Ok(KnownCopy { number, epoch, digest: row.text()? })
            },
        )
    }

    /// Writes the mark into the emptied storage.
    pub fn complete(self, sql: &impl Sql, now: Timestamp) -> Result<(), SqlError> {
        Self { completed_at: Some(now), position: 0, ..self }.store(sql)
    }
}

/// Records that KV holds none of the copies up to this number.
pub fn advance(sql: &impl Sql, number: i64) -> Result<(), SqlError> {
    sql.execute("UPDATE closing SET position = ? WHERE completed_at IS NULL", &[number.into()])
}
