//! The relationships of a tenant: one row for each pair of a user and an agent that talk.
//!
//! Invariants:
//!
//! - A pair has at most one row. The object removes it with its user or its agent.
//! - A user has at most [`RELATIONSHIPS_OF_USER_MAX`] of them.

use std::cmp::Reverse;

use super::agents::{self, FoundAgent};
use super::change_log::{Affected, Subject};
use super::failure::Failure;
use super::overwriting;
use super::protocol::{
    ListRelationships, NumberedRelationship, Precondition, Rejection, RelationshipRecord, Resource, TurnAnswer,
};
use super::sql::{Row, Sql, SqlError, SqlValue, json_list};
use super::stored_mood::{read_mood, write_mood};
use super::user_row::UserRow;
use super::writer::Writer;
use crate::directory::agent::AgentRef;
use crate::directory::deletion::{Cascade, Erased};
use crate::directory::end_user::{Status, Version};
use crate::directory::event::EventType;
use crate::directory::identifiers::RelationshipId;
use crate::directory::mood::{Affect, Decay, Levels, Mood};
use crate::directory::organization::{Capacity, RELATIONSHIPS_OF_USER_MAX};
use crate::directory::relationship::Relationship;

/// Most relationships that the record of a single user shows.
const SHOWN_MAX: usize = 100;

/// The role of an end user towards an agent.
const ROLE: &str = "user";

const COLUMNS: &str = "r.number, r.relationship_id, u.version, u.user_id, a.agent_id, r.role, r.turns, r.created_at, \
                       r.last_interaction_at, r.mood";
/// The relationships of users in a JSON list of row numbers.
const OF_USERS: &str = "user IN (SELECT value FROM json_each(?))";
const TABLES: &str = "relationships r JOIN users u ON u.number = r.user JOIN agents a ON a.number = r.agent";

/// The relationships that a list contains: all, or those of a user, of an agent, or of both.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    pub user: Option<i64>,
    pub agent: Option<i64>,
}

/// Notes that a relationship of a user was made or removed. The user has a new version, because readers see the
/// relationships with the user. A user who is being erased stays as they are: they leave every list anyway, and
/// their row may be gone before the listing confirms another change.
pub fn changed(
    writer: &mut Writer<'_, impl Sql>,
    kind: EventType,
    relationship: &Subject,
    user: i64,
) -> Result<(), SqlError> {
    let active = UserRow::of_number(writer.sql, user)?.filter(|row| row.user.status == Status::Active);
    let affected = if active.is_some() { Affected::UserAndRelationships(user) } else { Affected::Nothing };
    let version = writer.append(kind, relationship, affected)?;
    active.map_or(Ok(()), |mut row| row.store_version(writer, version))
}

/// Notes that a relationship of a user forgot its turns.
pub fn forgotten(writer: &mut Writer<'_, impl Sql>, user: i64) -> Result<(), SqlError> {
    let Some(mut row) = UserRow::of_number(writer.sql, user)? else { return Ok(()) };
    row.store_changed(writer, EventType::EndUserUpdated, Affected::UserAndRelationships(user))
}

/// Refuses one more relationship of a user, if there is no room for it.
fn check_room(writer: &Writer<'_, impl Sql>, user: i64) -> Result<(), Failure> {
    let count = "SELECT count(*) FROM relationships WHERE user = ?";
    if writer.sql.count(count, &[user.into()])? >= RELATIONSHIPS_OF_USER_MAX {
        return Err(Rejection::OverCapacity(Capacity::RelationshipsOfUser).into());
    }
    writer.check_storage()
}

fn find_pair(sql: &impl Sql, user: i64, agent: i64) -> Result<Option<i64>, SqlError> {
    let select = "SELECT number FROM relationships WHERE user = ? AND agent = ?";
    sql.find(select, &[user.into(), agent.into()], Row::integer)
}

/// Finds or creates the row of a pair, and returns its number.
pub fn ensure(writer: &mut Writer<'_, impl Sql>, new: RelationshipId, user: i64, agent: i64) -> Result<i64, Failure> {
    if let Some(number) = find_pair(writer.sql, user, agent)? {
        return Ok(number);
    }
    check_room(writer, user)?;
    Ok(create(writer, new, user, agent)?)
}

/// Creates the row of a pair that has none, and returns its number.
pub fn create(writer: &mut Writer<'_, impl Sql>, new: RelationshipId, user: i64, agent: i64) -> Result<i64, SqlError> {
    let Writer { sql, now, .. } = *writer;
    let number = writer.log.next_sequence();
    sql.execute(
        "INSERT INTO relationships (number, relationship_id, user, agent, role, turns, created_at)
         VALUES (?, ?, ?, ?, ?, 0, ?)",
        &[number.into(), new.to_string().into(), user.into(), agent.into(), ROLE.into(), now.into()],
    )?;
    changed(writer, EventType::RelationshipCreated, &Subject::new(number, new), user)?;
    Ok(number)
}

/// Creates a relationship with the id and instants of another deployment, unless its pair has one. Returns whether it did.
pub fn import(writer: &mut Writer<'_, impl Sql>, record: RelationshipRecord) -> Result<bool, Failure> {
    let sql = writer.sql;
    let user = UserRow::find(sql, &record.user_id)?.ok_or(Rejection::NotFound(Resource::EndUser))?;
    user.check_takes_writes(sql)?;
    let agent = agents::find_one(sql, &AgentRef::Id(record.agent_id))?.number;
    if find_pair(sql, user.number, agent)?.is_some() {
        return Ok(false);
    }
    if sql.exists("SELECT 1 FROM relationships WHERE relationship_id = ?", &[record.id.to_string().into()])? {
        return Err(Rejection::taken("id").into());
    }
    check_room(writer, user.number)?;
    let mood = record.mood.as_ref().map(write_mood).transpose()?;
    let number = create(writer, record.id, user.number, agent)?;
    writer.sql.execute(
        "UPDATE relationships SET turns = ?2, created_at = ?3, last_interaction_at = ?4, mood = ?5 WHERE number = ?1",
        &[number.into(), record.turns.into(), record.created_at.into(), record.last_interaction_at.into(), mood.into()],
    )?;
    Ok(true)
}

/// At most `limit` relationships after a row number, as they are exported.
pub fn records(sql: &impl Sql, after: i64, limit: u32) -> Result<Vec<(i64, RelationshipRecord)>, SqlError> {
    let listed = list(sql, Filter::default(), after, limit)?;
    let record = |(number, relationship): NumberedRelationship| {
        let Relationship { id, user_id, agent_id, turns, mood, created_at, last_interaction_at, .. } = relationship;
        (number, RelationshipRecord { id, user_id, agent_id, turns, mood, created_at, last_interaction_at })
    };
    Ok(listed.into_iter().map(record).collect())
}

/// Counts a turn and moves the mood. Returns the row number of the agent, or `None` when the relationship is
/// gone.
pub fn note_turn(sql: &impl Sql, number: i64, answer: &TurnAnswer, decay: Decay) -> Result<Option<i64>, SqlError> {
    let select = "SELECT agent, mood FROM relationships WHERE number = ?";
    let found = sql.find(select, &[number.into()], |row| Ok((row.integer()?, read_mood(row.optional_text()?)?)))?;
    let Some((agent, mood)) = found else { return Ok(None) };
    let mood = moved(mood, answer.affect.as_ref(), decay).as_ref().map(write_mood).transpose()?;
    overwrite(sql, "number = ?", &[number.into()])?;
    sql.execute(
        "UPDATE relationships SET turns = turns + 1, last_interaction_at = max(coalesce(last_interaction_at, 0), ?2),
         mood = ?3 WHERE number = ?1",
        &[number.into(), decay.now.into(), mood.into()],
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
fn read_row(row: &mut Row) -> Result<NumberedRelationship, SqlError> {
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
pub fn list(sql: &impl Sql, filter: Filter, after: i64, limit: u32) -> Result<Vec<NumberedRelationship>, SqlError> {
    // Each filter has its own index. SQLite uses no index for a condition that a parameter switches off, so each
    // filter has its own statement.
    let (condition, mut parameters): (&str, Vec<SqlValue<'_>>) = match (filter.user, filter.agent) {
        (None, None) => ("", Vec::new()),
        (Some(user), None) => ("r.user = ? AND", vec![user.into()]),
        (None, Some(agent)) => ("r.agent = ? AND", vec![agent.into()]),
        (Some(user), Some(agent)) => ("r.user = ? AND r.agent = ? AND", vec![user.into(), agent.into()]),
    };
    parameters.extend([after.into(), i64::from(limit).into()]);
    let select = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE {condition} r.number > ? AND u.state = 'active' ORDER BY r.number LIMIT ?"
    );
    sql.list(&select, &parameters, read_row)
}

/// Returns a relationship by its id.
pub fn read(sql: &impl Sql, id: RelationshipId) -> Result<Relationship, Failure> {
    let select = format!("SELECT {COLUMNS} FROM {TABLES} WHERE r.relationship_id = ? AND u.state = 'active'");
    let found = sql.find(&select, &[id.to_string().into()], read_row)?;
    let (_, relationship) = found.ok_or(Rejection::NotFound(Resource::Relationship))?;
    Ok(relationship)
}

/// The relationships with these row numbers.
pub fn of_numbers(sql: &impl Sql, numbers: &[i64]) -> Result<Vec<NumberedRelationship>, SqlError> {
    let some = "r.number IN (SELECT value FROM json_each(?)) AND u.state = 'active'";
    let select = format!("SELECT {COLUMNS} FROM {TABLES} WHERE {some}");
    sql.list(&select, &[json_list(numbers)?.as_str().into()], read_row)
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
    let rows: Vec<Vec<SqlValue<'_>>> =
        serde_json::from_str(text).map_err(|error| SqlError::corrupt("relationships", error))?;
    let rows = rows.into_iter().map(|row| read_row(&mut Row::new(row)));
    let mut relationships = rows.collect::<Result<Vec<_>, _>>()?;
    // SQLite does not promise the order of a list.
    relationships.sort_by_key(|(number, relationship)| Reverse((relationship.last_interaction_at, *number)));
    let has_more = relationships.len() > SHOWN_MAX;
    relationships.truncate(SHOWN_MAX);
    Ok((relationships.into_iter().map(|(_, relationship)| relationship).collect(), has_more))
}

/// At most `limit` relationships of a user between two row numbers, without the first and with the last.
pub fn of_user(
    sql: &impl Sql,
    user: i64,
    after: i64,
    last: i64,
    limit: u32,
) -> Result<Vec<NumberedRelationship>, SqlError> {
    let select = format!(
        "SELECT {COLUMNS} FROM {TABLES} WHERE r.user = ? AND r.number > ? AND r.number <= ? ORDER BY r.number LIMIT ?"
    );
    sql.list(&select, &[user.into(), after.into(), last.into(), i64::from(limit).into()], read_row)
}

/// Removes the relationships of some users. `users` is a JSON list of row numbers.
pub fn purge_users(sql: &impl Sql, users: &str) -> Result<(), SqlError> {
    overwrite(sql, OF_USERS, &[users.into()])?;
    sql.execute(&format!("DELETE FROM relationships WHERE {OF_USERS}"), &[users.into()])
}

/// Overwrites the moods of some relationships, before the object replaces or deletes them.
fn overwrite(sql: &impl Sql, condition: &str, parameters: &[SqlValue<'_>]) -> Result<(), SqlError> {
    overwriting::overwrite(sql, "relationships", &["mood"], condition, parameters)
}

/// The numbers of relationships and moods of a user.
pub fn count(sql: &impl Sql, user: i64) -> Result<Erased, SqlError> {
    let count = "SELECT count(*), count(mood) FROM relationships WHERE user = ?";
    let counted = sql.find(count, &[user.into()], |row| {
        Ok(Erased { records: 0, relationships: row.integer()?, moods: row.integer()? })
    })?;
    counted.ok_or_else(|| SqlError("nothing was counted".to_owned()))
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
pub fn remove(
    sql: &impl Sql,
    id: RelationshipId,
    cascade: Cascade,
    if_match: Option<&Precondition>,
) -> Result<RemovedRelationship, Failure> {
    let select = format!(
        "SELECT r.number, r.user, r.mood, u.version FROM {TABLES} WHERE r.relationship_id = ? AND u.state = 'active'"
    );
    let found = sql.find(&select, &[id.to_string().into()], |row| {
        Ok((row.integer()?, row.integer()?, row.optional_text()?, Version::of_sequence(row.integer()?)))
    })?;
    let (number, user, mood, version) = found.ok_or(Rejection::NotFound(Resource::Relationship))?;
    Precondition::check(if_match, version)?;
    let subject = Subject::new(number, id);
    let moods = i64::from(mood.is_some());
    overwrite(sql, "number = ?", &[number.into()])?;
    if cascade == Cascade::MemoryOnly {
        // The row gets shorter, so SQLite writes it elsewhere.
        sql.execute(
            "UPDATE relationships SET turns = 0, last_interaction_at = NULL, mood = ?2 WHERE number = ?1",
            &[number.into(), mood.into()],
        )?;
        let erased = Erased { records: 0, relationships: 1, moods: 0 };
        return Ok(RemovedRelationship { subject, user, erased });
    }
    sql.execute("DELETE FROM relationships WHERE number = ?", &[number.into()])?;
    let erased = Erased { records: 0, relationships: 1, moods };
    Ok(RemovedRelationship { subject, user, erased })
}

/// Removes at most `limit` relationships of an agent. Returns each with the row number of its user, and the
/// number of removed moods.
pub fn remove_of_agent(sql: &impl Sql, agent: i64, limit: i64) -> Result<(Vec<(Subject, i64)>, i64), SqlError> {
    let some = "number IN (SELECT number FROM relationships WHERE agent = ? ORDER BY number LIMIT ?)";
    let parameters: [SqlValue<'_>; 2] = [agent.into(), limit.into()];
    let count = format!("SELECT count(mood) FROM relationships WHERE {some}");
    let moods = sql.find(&count, &parameters, Row::integer)?.unwrap_or_default();
    overwrite(sql, some, &parameters)?;
    let delete = format!("DELETE FROM relationships WHERE {some} RETURNING number, relationship_id, user");
    let read = |row: &mut Row| Ok((Subject::new(row.integer()?, row.text()?), row.integer()?));
    Ok((sql.list(&delete, &parameters, read)?, moods))
}

/// Removes the moods of some users. `users` is a JSON list of row numbers.
pub fn purge_moods(sql: &impl Sql, users: &str) -> Result<(), SqlError> {
    overwrite(sql, OF_USERS, &[users.into()])?;
    sql.execute(&format!("UPDATE relationships SET mood = NULL WHERE {OF_USERS}"), &[users.into()])
}

/// Lists relationships as [`list`] does, by the ids of the user and the agent. An unknown user or agent has none.
pub fn find(sql: &impl Sql, find: &ListRelationships) -> Result<Vec<NumberedRelationship>, Failure> {
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
