//! Erasing people, in two phases.
//!
//! Invariants:
//!
//! - From the moment of the request the person is logically gone: lists omit
//!   them, every write is refused, and a read says that they are being erased.
//! - The row goes only after every projection has confirmed that it holds nothing
//!   of them any more. Then the id is free again, and a user made under it is a
//!   new incarnation: no state of the old one can be taken for one of the new.
//! - Every step can be run again. The receipt outlives the data and names nobody.
//!
//! The incarnation of a new user is one more than the erasures that the tenant has
//! completed. So it grows for every id that was erased, and nothing has to be
//! remembered of the id itself.

use super::outbox::Outbox;
use super::protocol::Outcome;
use super::schema;
use super::sql::{Row, Sql, SqlError};
use super::user_row;
use crate::directory::deletion::{Cascade, Erased, Receipt, ReceiptStatus};
use crate::directory::end_user::Status;
use crate::directory::identifiers::DeletionId;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;

/// Erasures completed in one transaction, at most.
pub const BATCH_MAX: i64 = 100;

/// The tenant's number of completed erasures, in `state`.
pub const ERASURES: &str = "erasures";

/// Whether any is requested and not completed.
pub fn is_pending<S: Sql>(sql: &S) -> Result<bool, SqlError> {
    Ok(sql.first("SELECT 1 FROM deletions WHERE completed_at IS NULL LIMIT 1", &[])?.is_some())
}

/// A request for an erasure.
#[derive(Debug)]
pub struct Request {
    pub deletion_id: DeletionId,
    pub user_id: UserId,
    pub cascade: Cascade,
    pub reason: Option<String>,
}

/// Marks a person for erasure. Asking again gives the receipt that there is.
///
/// A repetition is known by its receipt, which outlives the person: it must not
/// erase someone who was made under the id since.
pub fn request<S: Sql>(sql: &S, outbox: &mut Outbox, request: &Request, now: Timestamp) -> Result<Outcome, SqlError> {
    if let receipt @ Outcome::Deletion(_) = read(sql, request.deletion_id)? {
        return Ok(receipt);
    }
    let user_id = request.user_id.as_str();
    let Some((user, _)) = user_row::find(sql, &request.user_id)? else { return Ok(Outcome::NotFound) };
    if user.status == Status::DeletionPending {
        let row = sql.first(
            &format!("SELECT {COLUMNS} FROM deletions WHERE user_id = ? AND cascade = 'all'"),
            &[user_id.into()],
        )?;
        let mut row = row.ok_or_else(|| SqlError("a user is being erased without a receipt".to_owned()))?;
        return Ok(Outcome::Deletion(read_receipt(&mut row)?));
    }
    if request.cascade == Cascade::All {
        sql.run(
            "UPDATE users SET state = ?2, version = version + 1, updated_at = max(updated_at, ?3) WHERE user_id = ?1",
            &[user_id.into(), Status::DeletionPending.as_str().into(), now.millis().into()],
        )?;
        outbox.append(sql, &request.user_id)?;
    }
    sql.run(
        "INSERT INTO deletions (deletion_id, user_id, sequence, cascade, reason, requested_at, erased)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        &[
            request.deletion_id.to_string().as_str().into(),
            user_id.into(),
            outbox.last_sequence().into(),
            request.cascade.as_str().into(),
            request.reason.as_deref().into(),
            now.millis().into(),
            write_erased(Erased::default())?.as_str().into(),
        ],
    )?;
    read(sql, request.deletion_id)
}

pub fn read<S: Sql>(sql: &S, deletion_id: DeletionId) -> Result<Outcome, SqlError> {
    let row = sql.first(
        &format!("SELECT {COLUMNS} FROM deletions WHERE deletion_id = ?"),
        &[deletion_id.to_string().as_str().into()],
    )?;
    row.map_or(Ok(Outcome::NotFound), |mut row| read_receipt(&mut row).map(Outcome::Deletion))
}

/// The receipts of erasures of a user that are not completed.
pub fn pending_for<S: Sql>(sql: &S, user_id: &UserId) -> Result<Vec<Receipt>, SqlError> {
    let rows = sql.run(
        &format!("SELECT {COLUMNS} FROM deletions WHERE user_id = ? ORDER BY sequence"),
        &[user_id.as_str().into()],
    )?;
    rows.into_iter().map(|mut row| read_receipt(&mut row)).collect()
}

/// Completes the erasures that every projection has confirmed, at most
/// [`BATCH_MAX`]; returns how many it completed.
pub fn purge<S: Sql>(sql: &S, confirmed_sequence: i64, now: Timestamp) -> Result<i64, SqlError> {
    let due = sql.run(
        "SELECT deletion_id, user_id, cascade FROM deletions
         WHERE completed_at IS NULL AND sequence <= ? ORDER BY sequence LIMIT ?",
        &[confirmed_sequence.into(), BATCH_MAX.into()],
    )?;
    let mut completed = 0_i64;
    for mut row in due {
        let (deletion_id, user_id, cascade) = (row.text()?, row.text()?, row.text()?);
        let erased = if cascade == Cascade::All.as_str() { erase(sql, &user_id)? } else { Erased::default() };
        sql.run(
            "UPDATE deletions SET completed_at = ?2, user_id = NULL, erased = ?3 WHERE deletion_id = ?1",
            &[deletion_id.as_str().into(), now.millis().into(), write_erased(erased)?.as_str().into()],
        )?;
        completed = completed.saturating_add(1);
    }
    Ok(completed)
}

/// Removes everything that the object holds of a person.
fn erase<S: Sql>(sql: &S, user_id: &str) -> Result<Erased, SqlError> {
    sql.run("DELETE FROM idempotency WHERE user_id = ?", &[user_id.into()])?;
    let removed = sql.run("DELETE FROM users WHERE user_id = ? RETURNING 1", &[user_id.into()])?;
    schema::write(sql, ERASURES, schema::read(sql, ERASURES)?.saturating_add(1))?;
    Ok(Erased { records: i64::try_from(removed.len()).unwrap_or_default(), ..Erased::default() })
}

const COLUMNS: &str = "deletion_id, cascade, reason, requested_at, completed_at, erased";

fn read_receipt(row: &mut Row) -> Result<Receipt, SqlError> {
    let deletion_id = row.text()?.parse().map_err(|error| SqlError::corrupt("deletion id", error))?;
    let cascade = row.text()?;
    let cascade = Cascade::ALL
        .into_iter()
        .find(|known| known.as_str() == cascade)
        .ok_or_else(|| SqlError::corrupt("cascade", "no such cascade"))?;
    let reason = row.optional_text()?;
    let requested_at = Timestamp::from_millis(row.integer()?);
    let completed_at = row.optional_integer()?.map(Timestamp::from_millis);
    let erased = serde_json::from_str(&row.text()?).map_err(|error| SqlError::corrupt("counts", error))?;
    let status = if completed_at.is_some() { ReceiptStatus::Completed } else { ReceiptStatus::DeletionPending };
    Ok(Receipt { deletion_id, status, cascade, requested_at, completed_at, reason, erased })
}

fn write_erased(erased: Erased) -> Result<String, SqlError> {
    serde_json::to_string(&erased).map_err(|error| SqlError::corrupt("counts", error))
}
