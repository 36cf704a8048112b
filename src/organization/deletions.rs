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

use super::idempotency;
use super::outbox::Outbox;
use super::protocol::Outcome;
use super::schema;
use super::sql::{Row, Sql, SqlError};
use super::user_row::{self, UserRow};
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
    let Some(mut row) = UserRow::find(sql, &request.user_id)? else { return Ok(Outcome::NotFound) };
    if row.user.status == Status::DeletionPending {
        let receipt = sql.first(
            &format!("SELECT {COLUMNS} FROM deletions WHERE user = ? AND cascade = 'all'"),
            &[row.number.into()],
        )?;
        let mut receipt = receipt.ok_or_else(|| SqlError("a user is being erased without a receipt".to_owned()))?;
        return Ok(Outcome::Deletion(read_receipt(&mut receipt)?));
    }
    if request.cascade == Cascade::All {
        row.user.status = Status::DeletionPending;
        row.touch(now);
        row.store(sql)?;
        outbox.append(sql, row.number)?;
    }
    sql.run(
        "INSERT INTO deletions (deletion_id, user, sequence, cascade, reason, requested_at,
         erased_records, erased_relationships, erased_moods) VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0)",
        &[
            request.deletion_id.to_string().as_str().into(),
            row.number.into(),
            outbox.last_sequence().into(),
            request.cascade.as_str().into(),
            request.reason.as_deref().into(),
            now.millis().into(),
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
pub fn pending_for<S: Sql>(sql: &S, user: i64) -> Result<Vec<Receipt>, SqlError> {
    let rows = sql.run(&format!("SELECT {COLUMNS} FROM deletions WHERE user = ? ORDER BY sequence"), &[user.into()])?;
    rows.into_iter().map(|mut row| read_receipt(&mut row)).collect()
}

/// Completes the erasures that every projection has confirmed, at most
/// [`BATCH_MAX`]; returns how many it completed.
pub fn purge<S: Sql>(sql: &S, confirmed_sequence: i64, now: Timestamp) -> Result<i64, SqlError> {
    let due = sql.run(
        "SELECT deletion_id, user, cascade FROM deletions
         WHERE completed_at IS NULL AND sequence <= ? ORDER BY sequence LIMIT ?",
        &[confirmed_sequence.into(), BATCH_MAX.into()],
    )?;
    let (mut deletions, mut users) = (Vec::with_capacity(due.len()), Vec::with_capacity(due.len()));
    for mut row in due {
        deletions.push(row.text()?);
        let (user, cascade) = (row.integer()?, row.text()?);
        if cascade == Cascade::All.as_str() {
            users.push(user);
        }
    }
    if deletions.is_empty() {
        return Ok(0);
    }
    erase(sql, &users)?;
    let completed = i64::try_from(deletions.len()).unwrap_or(i64::MAX);
    let deletions = list(&deletions)?;
    sql.run(
        "UPDATE deletions SET completed_at = ?2, user = NULL, erased_records = (cascade = 'all')
         WHERE deletion_id IN (SELECT value FROM json_each(?1))",
        &[deletions.as_str().into(), now.millis().into()],
    )?;
    Ok(completed)
}

/// Removes everything that the object holds of some people. A few statements for all
/// of them: one by one, a hundred would keep everybody else waiting.
fn erase<S: Sql>(sql: &S, users: &[i64]) -> Result<(), SqlError> {
    let erased = i64::try_from(users.len()).unwrap_or(i64::MAX);
    let users = list(users)?;
    idempotency::forget(sql, &users)?;
    user_row::overwrite(sql, &users)?;
    sql.run("DELETE FROM users WHERE number IN (SELECT value FROM json_each(?))", &[users.as_str().into()])?;
    schema::write(sql, ERASURES, schema::read(sql, ERASURES)?.saturating_add(erased))
}

/// A list as one parameter, for `json_each`.
fn list<T: serde::Serialize>(values: &[T]) -> Result<String, SqlError> {
    serde_json::to_string(values).map_err(|error| SqlError::corrupt("list", error))
}

const COLUMNS: &str = "deletion_id, cascade, reason, requested_at, completed_at, erased_records, erased_relationships, \
                       erased_moods";

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
    let erased = Erased { records: row.integer()?, relationships: row.integer()?, moods: row.integer()? };
    let status = if completed_at.is_some() { ReceiptStatus::Completed } else { ReceiptStatus::DeletionPending };
    Ok(Receipt { deletion_id, status, cascade, requested_at, completed_at, reason, erased })
}
