//! How long the change log keeps its rows.
//!
//! Invariants:
//!
//! - The rows go in the order of their numbers, also if the clock was set back between them. So what is kept has no gap
//!   but for rows that only the listing needed.
//! - The object notes the last event that goes, in the transaction in which it goes. A reader who is past that event
//!   has missed none.

use super::change_log::ChangeLog;
use super::log_row::{self, LogRow};
use super::protocol::LogPlace;
use super::sql::{Row, Sql, SqlError};
use crate::directory::timestamp::Timestamp;

/// How long the object keeps a row, in milliseconds: 30 days.
pub const KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
/// Most rows that one sweep deletes.
pub const SWEEP_MAX: i64 = 500;

/// Deletes the oldest rows that are older than [`KEPT_MS`], at most [`SWEEP_MAX`]. Returns when the next one
/// is due: an instant in the past if more are due, `None` if no row waits for its time.
pub fn sweep(log: &ChangeLog, sql: &impl Sql, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    // The newest row stays, and a listing that is late must not find a gap.
    let before = log.last_sequence().min(log.acknowledged().saturating_add(1));
    let oldest = || -> Result<Option<Timestamp>, SqlError> {
        let select = "SELECT at FROM changes WHERE sequence < ? ORDER BY sequence LIMIT 1";
        let at = sql.find(select, &[before.into()], Row::integer)?;
        Ok(at.map(|at| Timestamp::from_millis(at).plus_ms(KEPT_MS)))
    };
    // Most sweeps find nothing, and read one row.
    let due = oldest()?;
    if due.is_none_or(|due| due > now) {
        return Ok(due);
    }
    let last = "SELECT max(sequence) FROM
                (SELECT sequence, max(at) OVER (ORDER BY sequence ROWS UNBOUNDED PRECEDING) AS latest
                 FROM (SELECT sequence, at FROM changes WHERE sequence < ? ORDER BY sequence LIMIT ?))
                WHERE latest <= ?";
    let oldest_kept_ms = now.millis().saturating_sub(KEPT_MS);
    let last = sql.find(last, &[before.into(), SWEEP_MAX.into(), oldest_kept_ms.into()], Row::optional_integer)?;
    if let Some(last) = last.flatten() {
        note_swept(sql, last)?;
        sql.execute("DELETE FROM changes WHERE sequence <= ?", &[last.into()])?;
    }
    oldest()
}

/// Notes the last event up to a row number, if there is one.
fn note_swept(sql: &impl Sql, last: i64) -> Result<(), SqlError> {
    let (columns, is_event) = (log_row::COLUMNS, log_row::is_event());
    let select =
        format!("SELECT {columns} FROM changes WHERE sequence <= ? AND {is_event} ORDER BY sequence DESC LIMIT 1");
    let Some(row) = sql.find(&select, &[last.into()], LogRow::read)? else { return Ok(()) };
    let LogPlace { sequence, mark } = row.place();
    sql.execute(
        "INSERT INTO last_swept_event (one, sequence, mark) VALUES (1, ?, ?)
         ON CONFLICT (one) DO UPDATE SET sequence = excluded.sequence, mark = excluded.mark",
        &[sequence.into(), mark.into()],
    )
}

/// The last event that is no longer kept. Every later one is.
pub fn last_swept_event(sql: &impl Sql) -> Result<LogPlace, SqlError> {
    let select = "SELECT sequence, mark FROM last_swept_event WHERE one = 1";
    let place = sql.find(select, &[], |row| Ok(LogPlace { sequence: row.integer()?, mark: row.integer()? }))?;
    Ok(place.unwrap_or_default())
}
