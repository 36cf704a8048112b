//! Who is copied to KV, and what is to be written there. [`super::copies`] keeps the rows.

use super::change_log::{Affected, ChangeKind};
use super::copies::{CopiedUser, Copies, Copy, KV_PAUSE_MS, WRITE_LAST_MS};
use super::sql::{Sql, SqlError, json_list};
use super::user_row::{self, UserRow};
use super::writer::Writer;
use crate::directory::end_user::{Status, Version};
use crate::directory::epoch::Epoch;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;

/// Most copies of one batch. Each has at most 17 KB.
const BATCH_MAX: i64 = 25;

/// Notes that a reader at the edge found no copy of a user. At the second time the user is copied, or copied again if KV
/// has lost what it confirmed, or has it from a future that the object lost when it was restored.
pub fn miss(writer: &mut Writer<'_, impl Sql>, user_id: &UserId) -> Result<(), SqlError> {
    let (sql, now, digest) = (writer.sql, writer.now, user_id.digest());
    if !writer.copies.is_missed_again(&digest) {
        return Ok(());
    }
    let row = UserRow::of_digest(sql, &digest)?.filter(|row| row.user.status == Status::Active);
    let Some(row) = row else { return Ok(()) };
    if writer.copies.is_copied(sql, row.number, now)? {
        let is_lost = writer.copies.is_settled(sql, row.number, now)?;
        return if is_lost { writer.copies.rewrite(sql, row.number, now) } else { Ok(()) };
    }
    let sequence = writer.append(ChangeKind::CopiesChanged, &row.subject(), Affected::Nothing)?.sequence();
    writer.copies.begin(sql, &digest, (row.number, row.user.version), sequence, now)
}

/// The copies to write now, a bounded number of them. The caller sends them at once.
pub fn due(copies: &mut Copies, sql: &impl Sql, now: Timestamp) -> Result<Vec<Copy>, SqlError> {
    if copies.due_at().is_none_or(|due_at| due_at > now) {
        return Ok(Vec::new());
    }
    let select = format!(
        "SELECT c.number, c.epoch, c.digest, c.version, c.ends_at, {} FROM copies c
         LEFT JOIN users u ON u.number = c.user AND c.epoch = ?
         WHERE c.due_at <= ? AND c.ends_at >= ? AND c.sequence <= ? ORDER BY c.due_at LIMIT ?",
        user_row::COLUMNS
    );
    let last = now.plus_ms(WRITE_LAST_MS);
    let (epoch, confirmed) = (copies.epoch().number(), copies.confirmed());
    let parameters = [epoch.into(), now.into(), last.into(), confirmed.into(), BATCH_MAX.into()];
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

/// The places among these, each an epoch and a digest, at which the object has no copy, and has not just written or will
/// write that it has none.
pub fn foreign(
    copies: &Copies,
    sql: &impl Sql,
    places: &[(Epoch, String)],
    now: Timestamp,
) -> Result<Vec<(Epoch, String)>, SqlError> {
    let select = "SELECT value ->> 0, value ->> 1 FROM json_each(?1) WHERE NOT EXISTS
                  (SELECT 1 FROM copies WHERE epoch = value ->> 0 AND digest = value ->> 1 AND
                   (epoch = ?2 OR due_at IS NOT NULL AND ends_at >= ?3 OR written_at > ?4))";
    let (last, since) = (now.plus_ms(WRITE_LAST_MS), now.millis().saturating_sub(KV_PAUSE_MS));
    let places = json_list(places)?;
    let parameters = [places.as_str().into(), copies.epoch().number().into(), last.into(), since.into()];
    sql.list(select, &parameters, |row| Ok((Epoch::of_number(row.integer()?), row.text()?)))
}
