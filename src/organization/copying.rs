//! Who is copied to KV, and what is to be written there. [`super::copies`] keeps the rows.

use super::copies::{CopiedUser, Copies, Copy, WRITE_LAST_MS};
use super::sql::{Sql, SqlError};
use super::user_row::{self, UserRow};
use crate::directory::end_user::{Status, Version};
use crate::directory::epoch::Epoch;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;

/// Most copies of one batch. Each has at most 17 KB.
const BATCH_MAX: i64 = 25;

/// Notes that a reader at the edge found no copy of a user. At the second time the user is copied.
pub fn miss(copies: &mut Copies, sql: &impl Sql, user_id: &UserId, now: Timestamp) -> Result<(), SqlError> {
    let digest = user_id.digest();
    if !copies.is_missed_again(&digest) {
        return Ok(());
    }
    match UserRow::of_digest(sql, &digest)?.filter(|row| row.user.status == Status::Active) {
        Some(row) => copies.begin(sql, &digest, row.number, row.user.version, now),
        None => Ok(()),
    }
}

/// The copies to write now, a bounded number of them. The caller sends them at once.
pub fn due(copies: &mut Copies, sql: &impl Sql, now: Timestamp) -> Result<Vec<Copy>, SqlError> {
    if copies.due_at().is_none_or(|due_at| due_at > now) {
        return Ok(Vec::new());
    }
    let select = format!(
        "SELECT c.number, c.epoch, c.digest, c.version, c.ends_at, {} FROM copies c
         LEFT JOIN users u ON u.number = c.user AND c.epoch = ?
         WHERE c.due_at <= ? AND c.ends_at >= ? ORDER BY c.due_at LIMIT ?",
        user_row::COLUMNS
    );
    let last = now.plus_ms(WRITE_LAST_MS);
    let parameters = [copies.epoch().number().into(), now.into(), last.into(), BATCH_MAX.into()];
    let due = sql.list(&select, &parameters, |row| {
        let (number, epoch) = (row.integer()?, Epoch::of_number(row.integer()?));
        let (digest, version) = (row.text()?, Version::of_sequence(row.integer()?));
        let ends_at = row.timestamp()?;
        let user = UserRow::read_joined(row)?.filter(|row| row.user.status == Status::Active);
        let user = user.map(|row| CopiedUser { principal_id: row.principal_id, user: row.user });
        Ok(Copy { number, epoch, digest, version, user, ends_at })
    })?;
    if due.is_empty() {
        copies.find_due(sql, now)?;
    } else {
        copies.send(sql, &due)?;
    }
    Ok(due)
}
