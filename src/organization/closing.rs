//! Closing an object for good: its organization was deleted.
//!
//! Invariants:
//!
//! - **What is closed stays closed.** The mark is the first thing that is read of an
//!   object, and nothing takes it away. With it every key is unknown, every command of
//!   the operator's but [`Command::Close`] is refused, and there is nothing to flush, to
//!   audit or to sweep. So a request that found the organization before it was deleted,
//!   and comes late with settings, a key or a turn, cannot bring it back.
//! - Every step of the removal can be run again. The listing comes first, behind a fence
//!   that no batch passes any more; then the cache; the object's own storage goes last,
//!   as a whole, and the mark is written anew in the same turn.
//!
//! A crash between these two leaves an empty object without the mark. The organization is not
//! noted as deleted before both of its objects have said so: until then each is told again to
//! close. What it had is then not known any more, and counted as nothing.

use super::protocol::{Call, Caller, Command, Denial, Outcome};
use super::sql::{Sql, SqlError};
use crate::directory::deletion::Erased;
use crate::directory::identifiers::Tenant;
use crate::directory::timestamp::Timestamp;

/// Users whose records one step removes from the cache.
const USERS_MAX: i64 = 100;

/// The mark, and how far the removal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// Whose object it was; not a secret, and needed to look for what came late.
    pub tenant: Tenant,
    pub closed_at: Timestamp,
    /// When the last of its data was gone.
    pub completed_at: Option<Timestamp>,
    /// What there was when it was closed.
    pub erased: Erased,
    /// The last user whose record was removed from the cache.
    position: i64,
}

/// A table of its own, as the others need not be there, and later are not.
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

/// The mark, if the object bears it.
pub fn find<S: Sql>(sql: &S) -> Result<Option<Closing>, SqlError> {
    sql.run(TABLE, &[])?;
    let found = sql.first(
        "SELECT organization_id, mode, closed_at, completed_at, erased_records, erased_relationships, erased_moods,
         position FROM closing",
        &[],
    )?;
    let Some(mut row) = found else { return Ok(None) };
    let tenant = Tenant {
        organization: row.text()?.parse().map_err(|error| SqlError::corrupt("organization id", error))?,
        mode: row.text()?.parse().map_err(|error| SqlError::corrupt("mode", error))?,
    };
    Ok(Some(Closing {
        tenant,
        closed_at: Timestamp::from_millis(row.integer()?),
        completed_at: row.optional_integer()?.map(Timestamp::from_millis),
        erased: Erased { records: row.integer()?, relationships: row.integer()?, moods: row.integer()? },
        position: row.integer()?,
    }))
}

/// Closes an object that is open.
pub fn close<S: Sql>(sql: &S, tenant: Tenant, now: Timestamp) -> Result<Outcome, SqlError> {
    let counted = sql.first(
        "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM agents), count(*), count(mood) FROM relationships",
        &[],
    )?;
    let mut row = counted.ok_or_else(|| SqlError("nothing was counted".to_owned()))?;
    let erased = Erased { records: row.integer()?, relationships: row.integer()?, moods: row.integer()? };
    let closing = Closing { tenant, closed_at: now, completed_at: None, erased, position: 0 };
    closing.store(sql)?;
    Ok(closing.outcome())
}

/// What a closed object answers.
pub fn answer<S: Sql>(sql: &S, call: &Call) -> Result<Outcome, SqlError> {
    Ok(match (&call.caller, &call.command) {
        (Caller::Operator, Command::Close { .. }) => find(sql)?.map_or(Outcome::Closed, |closing| closing.outcome()),
        (Caller::Operator, _) => Outcome::Closed,
        (Caller::Key { .. }, _) => Outcome::Denied(Denial::InvalidKey),
    })
}

impl Closing {
    fn store<S: Sql>(&self, sql: &S) -> Result<(), SqlError> {
        sql.run(TABLE, &[])?;
        sql.run(
            "INSERT OR REPLACE INTO closing VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                self.tenant.organization.to_string().as_str().into(),
                self.tenant.mode.as_str().into(),
                self.closed_at.millis().into(),
                self.completed_at.map(Timestamp::millis).into(),
                self.erased.records.into(),
                self.erased.relationships.into(),
                self.erased.moods.into(),
                self.position.into(),
            ],
        )?;
        Ok(())
    }

    const fn outcome(&self) -> Outcome {
        Outcome::Closing { completed_at: self.completed_at, erased: self.erased }
    }

    /// Keys that begin with this and end with the digest of a user: those of the next users whose
    /// records may be in the cache, and the number of the last of them. KV's list alone does
    /// not do: it may lack what was stored within the last minute.
    pub fn keys<S: Sql>(&self, sql: &S, prefix: &str) -> Result<Option<(Vec<String>, i64)>, SqlError> {
        if self.completed_at.is_some() {
            return Ok(None);
        }
        let rows = sql.run(
            "SELECT number, ? || digest FROM users WHERE number > ? ORDER BY number LIMIT ?",
            &[prefix.into(), self.position.into(), USERS_MAX.into()],
        )?;
        let (mut keys, mut last) = (Vec::new(), None);
        for mut row in rows {
            last = Some(row.integer()?);
            keys.push(row.text()?);
        }
        Ok(last.map(|last| (keys, last)))
    }

    /// Writes the mark into the storage that was just emptied.
    pub fn complete<S: Sql>(self, sql: &S, now: Timestamp) -> Result<(), SqlError> {
        Self { completed_at: Some(now), position: 0, ..self }.store(sql)
    }
}

/// Notes that the cache holds no record of the users up to this number.
pub fn advance<S: Sql>(sql: &S, number: i64) -> Result<(), SqlError> {
    sql.run("UPDATE closing SET position = ? WHERE completed_at IS NULL", &[number.into()])?;
    Ok(())
}
