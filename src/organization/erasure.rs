//! Erasing persons, in two phases.
//!
//! Invariants:
//!
//! - From the request on the person is logically gone: lists omit them, the object refuses every
//!   write, and a read says that they are being erased.
//! - The object deletes the row only after every projection has confirmed that it holds nothing of
//!   the person. Then the id is free again. A user who is created under it has higher versions, so no
//!   reader can take a state of the old one for a state of the new one.
//! - Every step can run again. The receipt outlives the data and names no person.

use super::agents;
use super::change_log::{Affected, ChangeKind, ChangeLog, Subject};
use super::failure::Failure;
use super::idempotency;
use super::protocol::{DeleteAgent, DeleteEndUser, DeleteRelationship, Precondition, Rejection, Resource};
use super::relationships::{self, RemovedRelationship};
use super::sql::{Row, Sql, SqlError, json_list};
use super::turns;
use super::user_row::{self, UserRow};
use crate::directory::deletion::{Cascade, Erased, Receipt, ReceiptStatus};
use crate::directory::end_user::Status;
use crate::directory::identifiers::DeletionId;
use crate::directory::timestamp::Timestamp;

/// Most erasures that one transaction completes.
pub const BATCH_MAX: i64 = 100;

/// Whether an erasure is requested and not completed.
pub fn is_pending<S: Sql>(sql: &S) -> Result<bool, SqlError> {
    Ok(sql.first("SELECT 1 FROM deletions WHERE completed_at IS NULL LIMIT 1", &[])?.is_some())
}

/// Marks a person for erasure. A second request returns the existing receipt.
///
/// The receipt outlives the person. So the object recognizes a repeated call by its receipt, and
/// does not erase a person who was created under the id since.
pub fn request<S: Sql>(
    sql: &S,
    log: &mut ChangeLog,
    request: &DeleteEndUser,
    now: Timestamp,
) -> Result<Receipt, Failure> {
    if let Some(receipt) = find(sql, request.deletion_id)? {
        return Ok(receipt);
    }
    let mut row = UserRow::find(sql, &request.user_id)?.ok_or(Rejection::NotFound(Resource::EndUser))?;
    if row.user.status == Status::DeletionPending {
        let receipt = sql.first(
            &format!("SELECT {COLUMNS} FROM deletions WHERE user = ? AND cascade = 'all'"),
            &[row.number.into()],
        )?;
        let mut receipt = receipt.ok_or_else(|| SqlError("a user is being erased without a receipt".to_owned()))?;
        return Ok(read_receipt(&mut receipt)?);
    }
    Precondition::check(request.if_match.as_ref(), row.user.version)?;
    let user = format!("[{}]", row.number);
    let mut erased = Erased::default();
    let kind = match request.cascade {
        Cascade::All => {
            row.user.status = Status::DeletionPending;
            row.touch(now);
            agents::disown(sql, log, row.number, now)?;
            ChangeKind::EndUserErasureRequested
        }
        // The object deletes relationships and moods at once. The listing follows with the change.
        Cascade::MemoryOnly => {
            erased = relationships::count(sql, row.number)?;
            turns::detach(sql, &user)?;
            relationships::purge_users(sql, &user)?;
            ChangeKind::EndUserUpdated
        }
        Cascade::ModelOnly => {
            erased = Erased { relationships: 0, ..relationships::count(sql, row.number)? };
            relationships::purge_moods(sql, &user)?;
            ChangeKind::EndUserUpdated
        }
    };
    let affected = Affected::UserAndRelationships(row.number);
    row.store_changed(sql, log, kind, affected)?;
    let erasure = Erasure {
        deletion_id: request.deletion_id,
        user: Some(row.number),
        agent: None,
        cascade: request.cascade,
        reason: request.reason.as_deref(),
        erased,
    };
    store(sql, &erasure, log.last_sequence(), now)?;
    read(sql, request.deletion_id)
}

/// Returns a receipt.
pub fn read<S: Sql>(sql: &S, deletion_id: DeletionId) -> Result<Receipt, Failure> {
    Ok(find(sql, deletion_id)?.ok_or(Rejection::NotFound(Resource::Deletion))?)
}

/// Finds a receipt.
pub fn find<S: Sql>(sql: &S, deletion_id: DeletionId) -> Result<Option<Receipt>, SqlError> {
    let row = sql.first(
        &format!("SELECT {COLUMNS} FROM deletions WHERE deletion_id = ?"),
        &[deletion_id.to_string().as_str().into()],
    )?;
    row.map(|mut row| read_receipt(&mut row)).transpose()
}

/// The receipts of a user's erasures that are not completed.
pub fn pending_for<S: Sql>(sql: &S, user: i64) -> Result<Vec<Receipt>, SqlError> {
    let rows = sql.run(&format!("SELECT {COLUMNS} FROM deletions WHERE user = ? ORDER BY sequence"), &[user.into()])?;
    rows.into_iter().map(|mut row| read_receipt(&mut row)).collect()
}

/// Erases an agent. The agent is gone at once. [`purge`] removes its relationships step by step.
pub fn request_agent<S: Sql>(
    sql: &S,
    log: &mut ChangeLog,
    request: &DeleteAgent,
    now: Timestamp,
) -> Result<Receipt, Failure> {
    if let Some(receipt) = find(sql, request.deletion_id)? {
        return Ok(receipt);
    }
    let row = agents::find_one(sql, &request.agent)?;
    Precondition::check(request.if_match.as_ref(), row.version)?;
    sql.run("DELETE FROM agents WHERE number = ?", &[row.number.into()])?;
    log.append(sql, ChangeKind::AgentDeleted, &row.subject(), Affected::Nothing)?;
    let erased = Erased { records: 1, ..Erased::default() };
    let erasure = Erasure {
        deletion_id: request.deletion_id,
        user: None,
        agent: Some(row.number),
        cascade: Cascade::All,
        reason: request.reason.as_deref(),
        erased,
    };
    store(sql, &erasure, log.last_sequence(), now)?;
    read(sql, request.deletion_id)
}

/// Erases a relationship, or with [`Cascade::MemoryOnly`] what it remembers of turns.
pub fn request_relationship<S: Sql>(
    sql: &S,
    log: &mut ChangeLog,
    request: &DeleteRelationship,
    now: Timestamp,
) -> Result<Receipt, Failure> {
    let DeleteRelationship { id, deletion_id, cascade, reason, if_match } = request;
    if let Some(receipt) = find(sql, *deletion_id)? {
        return Ok(receipt);
    }
    Precondition::check(if_match.as_ref(), relationships::read(sql, *id)?.version)?;
    let removed = relationships::remove(sql, *id, *cascade)?.ok_or(Rejection::NotFound(Resource::Relationship))?;
    let RemovedRelationship { subject, user, erased } = removed;
    match cascade {
        Cascade::MemoryOnly => relationships::forgotten(sql, log, user)?,
        Cascade::All | Cascade::ModelOnly => {
            relationships::changed(sql, log, ChangeKind::RelationshipDeleted, &subject, user)?;
        }
    }
    let (deletion_id, cascade) = (*deletion_id, *cascade);
    let erasure = Erasure { deletion_id, user: None, agent: None, cascade, reason: reason.as_deref(), erased };
    store(sql, &erasure, log.last_sequence(), now)?;
    read(sql, deletion_id)
}

/// An erasure to store.
struct Erasure<'a> {
    deletion_id: DeletionId,
    user: Option<i64>,
    agent: Option<i64>,
    cascade: Cascade,
    reason: Option<&'a str>,
    /// What the object has removed already.
    erased: Erased,
}

fn store<S: Sql>(sql: &S, erasure: &Erasure<'_>, sequence: i64, now: Timestamp) -> Result<(), SqlError> {
    sql.run(
        "INSERT INTO deletions (deletion_id, user, agent, sequence, cascade, reason, requested_at,
         erased_records, erased_relationships, erased_moods) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            erasure.deletion_id.to_string().as_str().into(),
            erasure.user.into(),
            erasure.agent.into(),
            sequence.into(),
            erasure.cascade.into_str().into(),
            erasure.reason.into(),
            now.millis().into(),
            erasure.erased.records.into(),
            erasure.erased.relationships.into(),
            erasure.erased.moods.into(),
        ],
    )?;
    Ok(())
}

/// Removes relationships of erased agents, at most [`BATCH_MAX`], and returns whether there may be
/// more. The erasure of an agent without relationships then waits for the projections.
fn purge_agents<S: Sql>(sql: &S, log: &mut ChangeLog) -> Result<bool, SqlError> {
    let select = "SELECT deletion_id, agent FROM deletions WHERE agent IS NOT NULL LIMIT 1";
    let Some(mut row) = sql.first(select, &[])? else { return Ok(false) };
    let (deletion_id, agent) = (row.text()?, row.integer()?);
    let (removed, moods) = relationships::remove_of_agent(sql, agent, BATCH_MAX)?;
    for (subject, user) in &removed {
        relationships::changed(sql, log, ChangeKind::RelationshipDeleted, subject, *user)?;
    }
    let count = i64::try_from(removed.len()).unwrap_or(i64::MAX);
    let agent = (count == BATCH_MAX).then_some(agent);
    sql.run(
        "UPDATE deletions SET erased_relationships = erased_relationships + ?2, erased_moods = erased_moods + ?3,
         sequence = ?4, agent = ?5 WHERE deletion_id = ?1",
        &[deletion_id.as_str().into(), count.into(), moods.into(), log.last_sequence().into(), agent.into()],
    )?;
    Ok(true)
}

/// Completes the erasures that every projection has confirmed, at most [`BATCH_MAX`], and returns
/// whether there may be more.
pub fn purge<S: Sql>(sql: &S, log: &mut ChangeLog, now: Timestamp) -> Result<bool, SqlError> {
    if purge_agents(sql, log)? {
        return Ok(true);
    }
    let due = sql.run(
        "SELECT deletion_id, user, cascade FROM deletions
         WHERE completed_at IS NULL AND sequence <= ? AND agent IS NULL ORDER BY sequence LIMIT ?",
        &[log.confirmed().into(), BATCH_MAX.into()],
    )?;
    let mut deletions = Vec::with_capacity(due.len());
    let mut persons = Vec::new();
    for mut row in due {
        deletions.push(row.text()?);
        if let (Some(user), true) = (row.optional_integer()?, row.parsed::<Cascade>("cascade")? == Cascade::All) {
            persons.push(user);
        }
    }
    if deletions.is_empty() {
        return Ok(false);
    }
    let completed = i64::try_from(deletions.len()).unwrap_or(i64::MAX);
    let deletions = json_list(&deletions)?;
    sql.run(
        "UPDATE deletions SET completed_at = ?2,
         erased_records = erased_records + iif(user IS NOT NULL AND cascade = 'all', 1, 0),
         erased_relationships = erased_relationships +
           iif(cascade = 'all', (SELECT count(*) FROM relationships r WHERE r.user = deletions.user), 0),
         erased_moods = erased_moods +
           iif(cascade = 'all', (SELECT count(r.mood) FROM relationships r WHERE r.user = deletions.user), 0)
         WHERE deletion_id IN (SELECT value FROM json_each(?1))",
        &[deletions.as_str().into(), now.millis().into()],
    )?;
    // A statement of its own: the counts above need the user.
    sql.run(
        "UPDATE deletions SET user = NULL WHERE deletion_id IN (SELECT value FROM json_each(?1))",
        &[deletions.as_str().into()],
    )?;
    purge_users(sql, log, &persons)?;
    Ok(completed == BATCH_MAX)
}

/// Removes everything that the object holds about some users. A few statements remove all of them:
/// a hundred users one by one would keep every other caller waiting.
fn purge_users<S: Sql>(sql: &S, log: &mut ChangeLog, users: &[i64]) -> Result<(), SqlError> {
    let users = json_list(users)?;
    let users = users.as_str();
    idempotency::purge_users(sql, users)?;
    turns::purge_users(sql, users)?;
    relationships::purge_users(sql, users)?;
    user_row::overwrite(sql, users)?;
    let erased = sql.run(
        "DELETE FROM users WHERE number IN (SELECT value FROM json_each(?)) RETURNING number, principal_id",
        &[users.into()],
    )?;
    for mut row in erased {
        let subject = Subject::new(row.integer()?, row.text()?);
        log.append(sql, ChangeKind::EndUserErased, &subject, Affected::Nothing)?;
    }
    Ok(())
}

const COLUMNS: &str = "deletion_id, cascade, reason, requested_at, completed_at, erased_records, erased_relationships, \
                       erased_moods";

fn read_receipt(row: &mut Row) -> Result<Receipt, SqlError> {
    let deletion_id = row.parsed("deletion id")?;
    let cascade = row.parsed("cascade")?;
    let reason = row.optional_text()?;
    let (requested_at, completed_at) = (row.timestamp()?, row.optional_timestamp()?);
    let erased = Erased { records: row.integer()?, relationships: row.integer()?, moods: row.integer()? };
    let status = if completed_at.is_some() { ReceiptStatus::Completed } else { ReceiptStatus::DeletionPending };
    Ok(Receipt { deletion_id, status, cascade, requested_at, completed_at, reason, erased })
}
