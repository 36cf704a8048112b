//! Erasing persons, in two phases.
//!
//! Invariants:
//!
//! - From the request on the person is logically gone: lists omit them, the object refuses every write, and a
//!   read says that they are being erased.
//! - The object deletes the row only after the listing has confirmed that it holds nothing of the person, and KV if
//!   it holds a copy ([`super::copies`]).
//!   Then the id is free again. A user who is created under it has higher versions, so no reader can take a state
//!   of the old one for a state of the new one.
//! - Every step can run again. The receipt outlives the data and names no person.

use super::active_relationships;
use super::agents;
use super::change_log::{Affected, ChangeLog, Subject};
use super::copies::Copy;
use super::failure::Failure;
use super::idempotency;
use super::protocol::{
    DeleteAgent, DeleteEndUser, DeleteEndUsers, DeleteRelationship, Precondition, Rejection, Resource,
};
use super::relationships::{self, RemovedRelationship};
use super::sql::{Row, Sql, SqlError, json_list};
use super::turns;
use super::user_row::{self, UserRow};
use super::writer::Writer;
use crate::directory::deletion::{Cascade, Erased, Receipt, ReceiptStatus};
use crate::directory::end_user::Status;
use crate::directory::event::EventType;
use crate::directory::identifiers::DeletionId;
use crate::directory::names::UserId;
use crate::directory::organization::AGENTS_OF_OWNER_MAX;

/// Most erasures that one transaction completes, and most relationships of an agent that it removes.
pub const BATCH_MAX: i64 = 100;

/// Most steps of one purge, because an invocation is limited. The next alarm continues.
pub const STEPS_MAX: u32 = 1_000;

/// A transaction completes no further erasure when the persons have so much: see [`WEIGHT`].
pub const WEIGHT_MAX: i64 = 1_000;

/// What the erasure of a person costs: rows, and the pages of 4 KiB that are overwritten in kept answers.
const WEIGHT: &str = "SELECT (SELECT count(*) FROM relationships WHERE user = ?1)
    + (SELECT count(*) FROM active_relationships WHERE user = ?1)
    + (SELECT coalesce(sum(1 + octet_length(i.document) / 4096), 0) FROM users u JOIN idempotency i ON i.about = u.digest
       WHERE u.number = ?1)";

/// Stands for the number of the change that the listing must confirm, as long as KV may hold a copy of the person. It is
/// below 2^53, and later than every change. So the erasures that wait for KV cost those that do not nothing.
const AFTER_KV: i64 = 9_000_000_000_000_000;

/// Whether an erasure is requested and not completed.
pub fn is_pending(sql: &impl Sql) -> Result<bool, SqlError> {
    sql.exists("SELECT 1 FROM deletions WHERE completed_at IS NULL LIMIT 1", &[])
}

/// Marks a person for erasure. A second request returns the existing receipt.
///
/// The receipt outlives the person. So the object recognizes a repeated call by its receipt, and does not erase a
/// person who was created under the id since.
pub fn request(writer: &mut Writer<'_, impl Sql>, request: DeleteEndUser) -> Result<Receipt, Failure> {
    let DeleteEndUser { user_id, deletion_id, cascade, reason, if_match } = request;
    let Writer { sql, now, .. } = *writer;
    if let Some(receipt) = find(sql, deletion_id)? {
        return Ok(receipt);
    }
    let mut row = UserRow::find(sql, &user_id)?.ok_or(Rejection::NotFound(Resource::EndUser))?;
    if row.user.status == Status::DeletionPending {
        return read(sql, row.erased_by(sql)?);
    }
    Precondition::check(if_match.as_ref(), row.user.version)?;
    if cascade != Cascade::All {
        writer.check_storage_for_change()?;
    }
    let user = format!("[{}]", row.number);
    let mut erased = Erased::default();
    let kind = match cascade {
        Cascade::All => {
            row.user.status = Status::DeletionPending;
            row.touch(now);
            agents::disown(writer, row.number)?;
            EventType::EndUserErasureRequested
        }
        // The object deletes relationships and moods at once. The listing follows with the change.
        Cascade::MemoryOnly => {
            erased = relationships::count(sql, row.number)?;
            turns::detach(sql, &user)?;
            idempotency::purge_turns(sql, &user)?;
            relationships::purge_users(sql, &user)?;
            EventType::EndUserUpdated
        }
        Cascade::ModelOnly => {
            erased = Erased { relationships: 0, ..relationships::count(sql, row.number)? };
            relationships::purge_moods(sql, &user)?;
            EventType::EndUserUpdated
        }
    };
    let affected = Affected::UserAndRelationships(row.number);
    row.store_changed(writer, kind, affected)?;
    store(writer, Erasure { deletion_id, user: Some(row.number), agent: None, cascade, reason, erased })?;
    read(sql, deletion_id)
}

/// Marks several persons for erasure, each as [`request`] does. Returns the erasure of each, in the given order; `None` for
/// a person who is not there. It refuses persons who own too many agents, as each agent changes with its owner.
pub fn request_many(
    writer: &mut Writer<'_, impl Sql>,
    request_many: DeleteEndUsers,
) -> Result<Vec<Option<DeletionId>>, Failure> {
    let DeleteEndUsers { user_ids, first_deletion_id, reason } = request_many;
    let digests: Vec<String> = user_ids.iter().map(UserId::digest).collect();
    let owned = "SELECT count(*) FROM users u JOIN agents a ON a.owner = u.number
                 WHERE u.digest IN (SELECT value FROM json_each(?))";
    if writer.sql.count(owned, &[json_list(&digests)?.as_str().into()])? > AGENTS_OF_OWNER_MAX {
        let reason = format!("own more than {AGENTS_OF_OWNER_MAX} agents together; erase fewer at once");
        return Err(Rejection::Invalid { field: "user_ids".to_owned(), reason }.into());
    }
    let mut erasures = Vec::with_capacity(user_ids.len());
    for (place, user_id) in user_ids.into_iter().enumerate() {
        let (deletion_id, reason) = (first_deletion_id.following(place), reason.clone());
        let delete = DeleteEndUser { user_id, deletion_id, cascade: Cascade::All, reason, if_match: None };
        erasures.push(match request(writer, delete) {
            Ok(receipt) => Some(receipt.deletion_id),
            Err(Failure::Rejected(Rejection::NotFound(Resource::EndUser))) => None,
            Err(failure) => return Err(failure),
        });
    }
    Ok(erasures)
}

/// Returns a receipt.
pub fn read(sql: &impl Sql, deletion_id: DeletionId) -> Result<Receipt, Failure> {
    Ok(find(sql, deletion_id)?.ok_or(Rejection::NotFound(Resource::Deletion))?)
}

/// Finds a receipt.
pub fn find(sql: &impl Sql, deletion_id: DeletionId) -> Result<Option<Receipt>, SqlError> {
    let select = format!("SELECT {COLUMNS} FROM deletions WHERE deletion_id = ?");
    sql.find(&select, &[deletion_id.to_string().into()], read_receipt)
}

/// At most `limit` receipts of a user's erasures that are not completed, after one of them, in the order of their ids.
pub fn pending_for(sql: &impl Sql, user: i64, after: Option<DeletionId>, limit: u32) -> Result<Vec<Receipt>, SqlError> {
    let after = after.map(|deletion_id| deletion_id.to_string()).unwrap_or_default();
    let select =
        format!("SELECT {COLUMNS} FROM deletions WHERE user = ? AND deletion_id > ? ORDER BY deletion_id LIMIT ?");
    sql.list(&select, &[user.into(), after.into(), i64::from(limit).into()], read_receipt)
}

/// Erases an agent. The agent is gone at once. [`purge`] removes its relationships step by step.
pub fn request_agent(writer: &mut Writer<'_, impl Sql>, request: DeleteAgent) -> Result<Receipt, Failure> {
    let DeleteAgent { agent, deletion_id, reason, if_match } = request;
    let sql = writer.sql;
    if let Some(receipt) = find(sql, deletion_id)? {
        return Ok(receipt);
    }
    let row = agents::find_one(sql, &agent)?;
    Precondition::check(if_match.as_ref(), row.version)?;
    idempotency::purge_agent(sql, row.agent.agent_id)?;
    agents::remove(sql, row.number)?;
    writer.append(EventType::AgentDeleted, &row.subject(), Affected::Nothing)?;
    let (agent, cascade) = (Some(row.number), Cascade::All);
    let erased = Erased { records: 1, ..Erased::default() };
    store(writer, Erasure { deletion_id, user: None, agent, cascade, reason, erased })?;
    read(sql, deletion_id)
}

/// Erases a relationship, or with [`Cascade::MemoryOnly`] what it remembers of turns. The answers to its turns go too.
pub fn request_relationship(
    writer: &mut Writer<'_, impl Sql>,
    request: DeleteRelationship,
) -> Result<Receipt, Failure> {
    let DeleteRelationship { id, deletion_id, cascade, reason, if_match } = request;
    let sql = writer.sql;
    if let Some(receipt) = find(sql, deletion_id)? {
        return Ok(receipt);
    }
    // Only this can be repeated for ever.
    if cascade == Cascade::MemoryOnly {
        writer.check_storage_for_change()?;
    }
    let removed = relationships::remove(sql, id, cascade, if_match.as_ref())?;
    let RemovedRelationship { subject, user, erased } = removed;
    idempotency::purge_relationship(sql, subject.number, user)?;
    match cascade {
        Cascade::MemoryOnly => relationships::forgotten(writer, user)?,
        Cascade::All | Cascade::ModelOnly => {
            relationships::changed(writer, EventType::RelationshipDeleted, &subject, user)?;
        }
    }
    store(writer, Erasure { deletion_id, user: None, agent: None, cascade, reason, erased })?;
    read(sql, deletion_id)
}

/// An erasure to store.
struct Erasure {
    deletion_id: DeletionId,
    user: Option<i64>,
    agent: Option<i64>,
    cascade: Cascade,
    reason: Option<String>,
    /// What the object has removed already.
    erased: Erased,
}

/// Stores an erasure. It is completed when the listing has confirmed the last change, and KV if it holds a copy.
fn store(writer: &Writer<'_, impl Sql>, erasure: Erasure) -> Result<(), SqlError> {
    let copied = erasure.user.filter(|_| erasure.cascade == Cascade::All);
    let is_copied = copied.map_or(Ok(false), |user| writer.copies.is_to_be_written(writer.sql, user))?;
    let sequence = if is_copied { AFTER_KV } else { writer.log.last_sequence() };
    writer.sql.execute(
        "INSERT INTO deletions (deletion_id, user, agent, sequence, cascade, reason, requested_at,
         erased_records, erased_relationships, erased_moods) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            erasure.deletion_id.to_string().into(),
            erasure.user.into(),
            erasure.agent.into(),
            sequence.into(),
            erasure.cascade.into_str().into(),
            erasure.reason.into(),
            writer.now.into(),
            erasure.erased.records.into(),
            erasure.erased.relationships.into(),
            erasure.erased.moods.into(),
        ],
    )
}

/// Takes steps of all erasures, at most [`STEPS_MAX`], with pauses in which callers have their turn.
pub async fn purge_in_steps(step: impl Fn() -> Result<bool, SqlError>, pause: impl AsyncFn()) -> Result<(), SqlError> {
    for _ in 0..STEPS_MAX {
        if !step()? {
            break;
        }
        pause().await;
    }
    Ok(())
}

/// One step of all erasures: removes relationships of an erased agent and completes the erasures of persons, at most
/// [`BATCH_MAX`] of each. So neither waits for the other. Returns whether there may be more.
pub fn purge(writer: &mut Writer<'_, impl Sql>) -> Result<bool, SqlError> {
    let has_agents = purge_agents(writer)?;
    let has_confirmed = purge_confirmed(writer)?;
    Ok(has_agents || has_confirmed)
}

/// Removes relationships of the erased agent that has waited longest, and returns whether there may be more. The
/// erasure of an agent without relationships then waits for the listing.
fn purge_agents(writer: &mut Writer<'_, impl Sql>) -> Result<bool, SqlError> {
    let select = "SELECT deletion_id, agent FROM deletions WHERE agent IS NOT NULL ORDER BY sequence LIMIT 1";
    let Some(mut row) = writer.sql.first(select, &[])? else { return Ok(false) };
    let (deletion_id, agent) = (row.text()?, row.integer()?);
    let (removed, moods) = relationships::remove_of_agent(writer.sql, agent, BATCH_MAX)?;
    for (subject, user) in &removed {
        relationships::changed(writer, EventType::RelationshipDeleted, subject, *user)?;
    }
    let count = i64::try_from(removed.len()).unwrap_or(i64::MAX);
    let agent = (count == BATCH_MAX).then_some(agent);
    writer.sql.execute(
        "UPDATE deletions SET erased_relationships = erased_relationships + ?2, erased_moods = erased_moods + ?3,
         sequence = ?4, agent = ?5 WHERE deletion_id = ?1",
        &[deletion_id.into(), count.into(), moods.into(), writer.log.last_sequence().into(), agent.into()],
    )?;
    Ok(true)
}

/// The condition that the listing has confirmed an erasure. Its parameter is how far the listing has confirmed.
const CONFIRMED: &str = "completed_at IS NULL AND sequence <= ? AND agent IS NULL";

/// The condition that an erasure waits for KV, and that KV holds nothing of the person any more. Its parameter is
/// [`AFTER_KV`].
const IS_LEFT_BY_KV: &str = "sequence = ?2 AND NOT EXISTS
    (SELECT 1 FROM copies c WHERE c.user = deletions.user AND c.due_at IS NOT NULL)";

/// Lets erasures go on that waited for KV, after it has confirmed some writes.
pub fn follow_kv(sql: &impl Sql, log: &ChangeLog, written: &[Copy]) -> Result<(), SqlError> {
    let numbers: Vec<i64> = written.iter().filter(|copy| copy.user.is_none()).map(|copy| copy.number).collect();
    if numbers.is_empty() {
        return Ok(());
    }
    let numbers = json_list(&numbers)?;
    let release = format!(
        "UPDATE deletions SET sequence = ?1 WHERE user IN (SELECT user FROM copies WHERE number IN
         (SELECT value FROM json_each(?3))) AND {IS_LEFT_BY_KV}"
    );
    sql.execute(&release, &[log.last_sequence().into(), AFTER_KV.into(), numbers.as_str().into()])
}

/// Lets erasures go on that waited for KV, after copies have ended.
pub fn follow_end_of_copies(sql: &impl Sql, log: &ChangeLog) -> Result<(), SqlError> {
    let release = format!("UPDATE deletions SET sequence = ?1 WHERE completed_at IS NULL AND {IS_LEFT_BY_KV}");
    sql.execute(&release, &[log.last_sequence().into(), AFTER_KV.into()])
}

/// Whether [`purge`] has something to do.
pub fn is_due(sql: &impl Sql, log: &ChangeLog) -> Result<bool, SqlError> {
    let select = format!("SELECT 1 FROM deletions WHERE agent IS NOT NULL OR {CONFIRMED} LIMIT 1");
    sql.exists(&select, &[log.acknowledged().into()])
}

/// Completes the erasures that the listing and KV have confirmed, at most [`BATCH_MAX`], and fewer where the persons have
/// much to erase. Returns whether there may be more.
fn purge_confirmed(writer: &mut Writer<'_, impl Sql>) -> Result<bool, SqlError> {
    let Writer { sql, now, .. } = *writer;
    let select =
        format!("SELECT deletion_id, user, cascade FROM deletions WHERE {CONFIRMED} ORDER BY sequence LIMIT ?");
    let due = sql.list(&select, &[writer.log.acknowledged().into(), BATCH_MAX.into()], |row| {
        Ok((row.text()?, row.optional_integer()?, row.parsed::<Cascade>("cascade")?))
    })?;
    let mut is_more = i64::try_from(due.len()).is_ok_and(|length| length == BATCH_MAX);
    let (mut deletions, mut persons, mut weight) = (Vec::with_capacity(due.len()), Vec::new(), 0_i64);
    for (deletion_id, user, cascade) in due {
        if weight >= WEIGHT_MAX {
            is_more = true;
            break;
        }
        deletions.push(deletion_id);
        if let (Some(user), Cascade::All) = (user, cascade) {
            persons.push(user);
            weight = weight.saturating_add(sql.find(WEIGHT, &[user.into()], Row::integer)?.unwrap_or_default());
        }
    }
    if deletions.is_empty() {
        return Ok(false);
    }
    let deletions = json_list(&deletions)?;
    sql.execute(
        "UPDATE deletions SET completed_at = ?2,
         erased_records = erased_records + iif(user IS NOT NULL AND cascade = 'all', 1, 0),
         erased_relationships = erased_relationships +
           iif(cascade = 'all', (SELECT count(*) FROM relationships r WHERE r.user = deletions.user), 0),
         erased_moods = erased_moods +
           iif(cascade = 'all', (SELECT count(r.mood) FROM relationships r WHERE r.user = deletions.user), 0)
         WHERE deletion_id IN (SELECT value FROM json_each(?1))",
        &[deletions.as_str().into(), now.into()],
    )?;
    // A statement of its own: the counts above need the user.
    sql.execute(
        "UPDATE deletions SET user = NULL WHERE deletion_id IN (SELECT value FROM json_each(?1))",
        &[deletions.as_str().into()],
    )?;
    purge_users(writer, &persons)?;
    Ok(is_more)
}

/// Removes everything that the object holds about some users. A few statements remove all of them: a hundred
/// users one by one would keep every other caller waiting.
fn purge_users(writer: &mut Writer<'_, impl Sql>, users: &[i64]) -> Result<(), SqlError> {
    let users = json_list(users)?;
    let (sql, users) = (writer.sql, users.as_str());
    idempotency::purge_users(sql, users, writer.now)?;
    turns::purge_users(sql, users)?;
    active_relationships::purge_users(sql, users)?;
    relationships::purge_users(sql, users)?;
    user_row::overwrite(sql, users)?;
    let delete = "DELETE FROM users WHERE number IN (SELECT value FROM json_each(?)) RETURNING number, principal_id";
    for subject in sql.list(delete, &[users.into()], |row| Ok(Subject::new(row.integer()?, row.text()?)))? {
        writer.append(EventType::EndUserErased, &subject, Affected::Nothing)?;
    }
    Ok(())
}

const COLUMNS: &str = "deletion_id, cascade, reason, requested_at, completed_at, erased_records, erased_relationships, \
                       erased_moods";

/// Reads how many records, relationships and moods are erased.
pub fn read_erased(row: &mut Row) -> Result<Erased, SqlError> {
    Ok(Erased { records: row.integer()?, relationships: row.integer()?, moods: row.integer()? })
}

fn read_receipt(row: &mut Row) -> Result<Receipt, SqlError> {
    let deletion_id = row.parsed("deletion id")?;
    let cascade = row.parsed("cascade")?;
    let reason = row.optional_text()?;
    let (requested_at, completed_at) = (row.timestamp()?, row.optional_timestamp()?);
    let erased = read_erased(row)?;
    let status = if completed_at.is_some() { ReceiptStatus::Completed } else { ReceiptStatus::DeletionPending };
    Ok(Receipt { deletion_id, status, cascade, requested_at, completed_at, reason, erased })
}
