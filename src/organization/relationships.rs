//! The relationships of a tenant: one row for each pair of a user and an agent that talk.
//!
//! Invariant: a pair has at most one row. The object removes it with its user or its agent.

use std::cmp::Reverse;

use super::agents::{self, FoundAgent};
use super::change_log::{Affected, ChangeKind, ChangeLog, Subject};
use super::failure::Failure;
use super::overwriting;
use super::protocol::{ListRelationships, NumberedRelationship, Rejection, Resource, TurnAnswer};
use super::sql::{Parameter, Row, Sql, SqlError, SqlValue};
use super::stored_mood::{read_mood, write_mood};
use super::user_row::UserRow;
use crate::directory::deletion::{Cascade, Erased};
use crate::directory::end_user::{Status, Version};
use crate::directory::identifiers::RelationshipId;
use crate::directory::mood::{Affect, Decay, Levels, Mood};
use crate::directory::relationship::Relationship;
use crate::directory::timestamp::Timestamp;

/// Most relationships that the record of a single user shows.
const SHOWN_MAX: usize = 100;

/// The role of an end user towards an agent.
const ROLE: &str = "user";

const COLUMNS: &str = "r.number, r.relationship_id, u.version, u.user_id, a.agent_id, r.role, r.turns, r.created_at, \
                       r.last_interaction_at, r.mood";
const TABLES: &str = "relationships r JOIN users u ON u.number = r.user JOIN agents a ON a.number = r.agent";

/// The relationships that a list contains: all, or those of a user, of an agent, or of both.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    pub user: Option<i64>,
    pub agent: Option<i64>,
}

/// Notes that a relationship of a user was made or removed. The user has a new version, because
/// readers see the relationships with the user. A user who is being erased stays as they are: they
/// leave every list anyway, and their row may be gone before a projection confirms another change.
pub fn changed<S: Sql>(
    sql: &S,
    log: &mut ChangeLog,
    kind: ChangeKind,
    relationship: &Subject,
    user: i64,
) -> Result<(), SqlError> {
    let active = UserRow::of_number(sql, user)?.filter(|row| row.user.status == Status::Active);
    let affected = if active.is_some() { Affected::UserAndRelationships(user) } else { Affected::Nothing };
    let version = log.append(sql, kind, relationship, affected)?;
    active.map_or(Ok(()), |mut row| row.store_version(sql, version))
}

/// Notes that a relationship of a user forgot its turns.
pub fn forgotten<S: Sql>(sql: &S, log: &mut ChangeLog, user: i64) -> Result<(), SqlError> {
    let Some(mut row) = UserRow::of_number(sql, user)? else { return Ok(()) };
    row.store_changed(sql, log, ChangeKind::EndUserUpdated, Affected::UserAndRelationships(user))
}

/// Finds or creates the row of a pair, and returns its number.
pub fn ensure<S: Sql>(
    sql: &S,
    log: &mut ChangeLog,
    new: RelationshipId,
    user: i64,
    agent: i64,
    now: Timestamp,
) -> Result<i64, SqlError> {
    let select = "SELECT number FROM relationships WHERE user = ? AND agent = ?";
    if let Some(mut row) = sql.first(select, &[user.into(), agent.into()])? {
        return row.integer();
    }
    let number = log.next_sequence();
    sql.run(
        "INSERT INTO relationships (number, relationship_id, user, agent, role, turns, created_at)
         VALUES (?, ?, ?, ?, ?, 0, ?)",
        &[number.into(), new.to_string().as_str().into(), user.into(), agent.into(), ROLE.into(), now.millis().into()],
    )?;
    changed(sql, log, ChangeKind::RelationshipCreated, &Subject::new(number, new), user)?;
    Ok(number)
}

/// Counts a turn and moves the mood. Returns the row number of the agent, or `None` when the
/// relationship is gone.
pub fn note_turn<S: Sql>(sql: &S, number: i64, answer: &TurnAnswer, decay: Decay) -> Result<Option<i64>, SqlError> {
    let found = sql.first("SELECT agent, mood FROM relationships WHERE number = ?", &[number.into()])?;
    let Some(mut row) = found else { return Ok(None) };
    let agent = row.integer()?;
    let mood = read_mood(row.optional_text()?)?;
    let mood = moved(mood, answer.affect.as_ref(), decay).as_ref().map(write_mood).transpose()?;
    sql.run(&format!("UPDATE relationships SET {} WHERE number = ?", overwriting::blank("mood")), &[number.into()])?;
    sql.run(
        "UPDATE relationships SET turns = turns + 1, last_interaction_at = max(coalesce(last_interaction_at, 0), ?2),
         mood = ?3 WHERE number = ?1",
        &[number.into(), decay.now.millis().into(), mood.as_deref().into()],
    )?;
    Ok(Some(agent))
}

/// The first affect creates the mood. A turn without an affect only notes the interaction.
fn moved(mood: Option<Mood>, affect: Option<&Affect>, decay: Decay) -> Option<Mood> {
    let Decay { now, half_life_ms } = decay;
    match (mood, affect) {
        (mood, Some(affect)) => {
            let mood = mood.unwrap_or_else(|| Mood::new(Levels::default(), now));
            Some(mood.moved(affect, now, half_life_ms))
        }
        (Some(mood), None) => Some(Mood { last_interaction_at: now.max(mood.last_interaction_at), ..mood }),
        (None, None) => None,
    }
}

/// Reads the columns of [`COLUMNS`].
fn read_row(mut row: Row) -> Result<NumberedRelationship, SqlError> {
    let number = row.integer()?;
    let relationship = Relationship {
        id: row.parsed("relationship id")?,
        version: Version::of_sequence(row.integer()?),
        user_id: row.parsed("user id")?,
        agent_id: row.parsed("agent id")?,
        role: row.text()?,
        turns: row.integer()?,
        created_at: row.timestamp()?,
        last_interaction_at: row.optional_timestamp()?,
        mood: read_mood(row.optional_text()?)?,
    };
    Ok((number, relationship))
}

/// Lists at most `limit` relationships after a row number, oldest first.
pub fn list<S: Sql>(sql: &S, filter: Filter, after: i64, limit: u32) -> Result<Vec<NumberedRelationship>, SqlError> {
    // Each filter has its own index. SQLite uses no index for a condition that a parameter switches
    // off, so each filter has its own statement.
    let (condition, mut parameters): (&str, Vec<Parameter<'_>>) = match (filter.user, filter.agent) {
        (None, None) => ("", Vec::new()),
        (Some(user), None) => ("r.user = ? AND", vec![user.into()]),
        (None, Some(agent)) => ("r.agent = ? AND", vec![agent.into()]),
        (Some(user), Some(agent)) => ("r.user = ? AND r.agent = ? AND", vec![user.into(), agent.into()]),
    };
    parameters.extend([Parameter::Integer(after), i64::from(limit).into()]);
    let select = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE {condition} r.number > ? AND u.state = 'active' ORDER BY r.number LIMIT ?"
    );
    sql.run(&select, &parameters)?.into_iter().map(read_row).collect()
}

/// Returns a relationship by its id.
pub fn read<S: Sql>(sql: &S, id: RelationshipId) -> Result<Relationship, Failure> {
    let select = format!("SELECT {COLUMNS} FROM {TABLES} WHERE r.relationship_id = ? AND u.state = 'active'");
    let row = sql.first(&select, &[id.to_string().as_str().into()])?;
    let (_, relationship) = read_row(row.ok_or(Rejection::NotFound(Resource::Relationship))?)?;
    Ok(relationship)
}

/// An expression for the relationships that the record of the user `u` shows, as a JSON list of rows.
pub fn shown() -> String {
    format!(
        "(SELECT json_group_array(json(row)) FROM (SELECT json_array({COLUMNS}) AS row
           FROM relationships r JOIN agents a ON a.number = r.agent WHERE r.user = u.number
           ORDER BY r.last_interaction_at DESC, r.number DESC LIMIT {SHOWN_MAX} + 1))"
    )
}

/// Reads [`shown`]: the relationships, the newest interaction first, and whether there are more.
pub fn read_shown(text: &str) -> Result<(Vec<Relationship>, bool), SqlError> {
    let rows: Vec<Vec<SqlValue>> =
        serde_json::from_str(text).map_err(|error| SqlError::corrupt("relationships", error))?;
    let rows = rows.into_iter().map(|row| read_row(Row::new(row)));
    let mut relationships = rows.collect::<Result<Vec<_>, _>>()?;
    // SQLite does not promise the order of a list.
    relationships.sort_by_key(|(number, relationship)| Reverse((relationship.last_interaction_at, *number)));
    let has_more = relationships.len() > SHOWN_MAX;
    relationships.truncate(SHOWN_MAX);
    Ok((relationships.into_iter().map(|(_, relationship)| relationship).collect(), has_more))
}

/// All relationships of a user.
pub fn all_of<S: Sql>(sql: &S, user: i64) -> Result<Vec<Relationship>, SqlError> {
    let rows =
        sql.run(&format!("SELECT {COLUMNS} FROM {TABLES} WHERE r.user = ? ORDER BY r.number"), &[user.into()])?;
    unnumbered(rows.into_iter())
}

fn unnumbered(rows: impl Iterator<Item = Row>) -> Result<Vec<Relationship>, SqlError> {
    rows.map(|row| read_row(row).map(|(_, relationship)| relationship)).collect()
}

/// Removes the relationships of some users. `users` is a JSON list of row numbers.
pub fn purge_users<S: Sql>(sql: &S, users: &str) -> Result<(), SqlError> {
    let listed = "user IN (SELECT value FROM json_each(?))";
    sql.run(&format!("UPDATE relationships SET {} WHERE {listed}", overwriting::blank("mood")), &[users.into()])?;
    sql.run(&format!("DELETE FROM relationships WHERE {listed}"), &[users.into()])?;
    Ok(())
}

/// The numbers of relationships and moods of a user.
pub fn count<S: Sql>(sql: &S, user: i64) -> Result<Erased, SqlError> {
    let found = sql.first("SELECT count(*), count(mood) FROM relationships WHERE user = ?", &[user.into()])?;
    let mut row = found.ok_or_else(|| SqlError("nothing was counted".to_owned()))?;
    Ok(Erased { records: 0, relationships: row.integer()?, moods: row.integer()? })
}

/// A relationship that was removed, or forgot its turns.
pub struct RemovedRelationship {
    pub subject: Subject,
    /// The row number of the user.
    pub user: i64,
    /// What is gone.
    pub erased: Erased,
}

/// Removes a relationship, or what it remembers of turns.
pub fn remove<S: Sql>(sql: &S, id: RelationshipId, cascade: Cascade) -> Result<Option<RemovedRelationship>, SqlError> {
    let found = sql.first(
        &format!(
            "SELECT r.number, r.user, count(r.mood) FROM {TABLES} WHERE r.relationship_id = ? AND u.state = 'active'
                  GROUP BY r.number"
        ),
        &[id.to_string().as_str().into()],
    )?;
    let Some(mut row) = found else { return Ok(None) };
    let (number, user, moods) = (row.integer()?, row.integer()?, row.integer()?);
    let subject = Subject::new(number, id);
    if cascade == Cascade::MemoryOnly {
        sql.run("UPDATE relationships SET turns = 0, last_interaction_at = NULL WHERE number = ?", &[number.into()])?;
        let erased = Erased { records: 0, relationships: 1, moods: 0 };
        return Ok(Some(RemovedRelationship { subject, user, erased }));
    }
    sql.run(&format!("UPDATE relationships SET {} WHERE number = ?", overwriting::blank("mood")), &[number.into()])?;
    sql.run("DELETE FROM relationships WHERE number = ?", &[number.into()])?;
    let erased = Erased { records: 0, relationships: 1, moods };
    Ok(Some(RemovedRelationship { subject, user, erased }))
}

/// Removes at most `limit` relationships of an agent. Returns each with the row number of its user, and
/// the number of removed moods.
pub fn remove_of_agent<S: Sql>(sql: &S, agent: i64, limit: i64) -> Result<(Vec<(Subject, i64)>, i64), SqlError> {
    let some = "number IN (SELECT number FROM relationships WHERE agent = ? ORDER BY number LIMIT ?)";
    let parameters: [Parameter<'_>; 2] = [agent.into(), limit.into()];
    let counted = sql.first(&format!("SELECT count(mood) FROM relationships WHERE {some}"), &parameters)?;
    let moods = counted.map(|mut row| row.integer()).transpose()?.unwrap_or_default();
    sql.run(&format!("UPDATE relationships SET {} WHERE {some}", overwriting::blank("mood")), &parameters)?;
    let delete = format!("DELETE FROM relationships WHERE {some} RETURNING number, relationship_id, user");
    let read = |mut row: Row| Ok((Subject::new(row.integer()?, row.text()?), row.integer()?));
    let removed = sql.run(&delete, &parameters)?.into_iter().map(read).collect::<Result<_, SqlError>>()?;
    Ok((removed, moods))
}

/// Removes the moods of some users. `users` is a JSON list of row numbers.
pub fn purge_moods<S: Sql>(sql: &S, users: &str) -> Result<(), SqlError> {
    let listed = "user IN (SELECT value FROM json_each(?))";
    sql.run(&format!("UPDATE relationships SET {} WHERE {listed}", overwriting::blank("mood")), &[users.into()])?;
    sql.run(&format!("UPDATE relationships SET mood = NULL WHERE {listed}"), &[users.into()])?;
    Ok(())
}

/// Lists relationships as [`list`] does, by the ids of the user and the agent. An unknown user or
/// agent has none.
pub fn find<S: Sql>(sql: &S, find: &ListRelationships) -> Result<Vec<NumberedRelationship>, Failure> {
    let mut filter = Filter::default();
    if let Some(user_id) = &find.user_id {
        let Some(row) = UserRow::find(sql, user_id)? else { return Ok(Vec::new()) };
        filter.user = Some(row.number);
    }
    if let Some(agent) = &find.agent {
        match agents::find(sql, agent)? {
            FoundAgent::One(row) => filter.agent = Some(row.number),
            FoundAgent::None => return Ok(Vec::new()),
            FoundAgent::Several => return Err(Rejection::Ambiguous.into()),
        }
    }
    Ok(list(sql, filter, find.after, find.limit)?)
}
