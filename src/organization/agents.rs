//! The agents of a tenant.
//!
//! Invariants:
//!
//! - An agent has one row. Several agents may have the same name.
//! - An external id belongs to at most one agent, and to none while it is a user's id.
//! - Creation is idempotent by external id, or by name when the caller gives no external id.
//! - A human owns at most [`AGENTS_OF_OWNER_MAX`] agents.
//! - Names and external ids may be about persons, and SQLite does not overwrite the keys of an index. So the indexes
//!   hold digests of them.

use super::change_log::{Affected, Subject};
use super::failure::Failure;
use super::overwriting::overwrite;
use super::protocol::{
    AgentPage, AgentRecord, AgentView, ListAgents, ListedAgent, NewAgent, Precondition, Rejection, Resource, SavedAgent,
};
use super::sql::{Row, Sql, SqlError, json_list};
use super::user_row::UserRow;
use super::writer::Writer;
use crate::directory::agent::{Agent, AgentId, AgentRef};
use crate::directory::end_user::Version;
use crate::directory::event::EventType;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::organization::{AGENTS_OF_OWNER_MAX, Capacity};

/// Most agents that a list counts: each costs a row.
const COUNTED_MAX: i64 = 10_000;

/// How many agents of an erased owner the object reads at once.
const DISOWNED_AT_ONCE: i64 = 100;

const COLUMNS: &str = "number, version, owner, agent_id, external_id, name, metadata, created_at, updated_at";

/// An agent as the object holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentRow {
    pub number: i64,
    pub version: Version,
    /// The row number of the owner, a user.
    pub owner: Option<i64>,
    pub agent: Agent,
}

impl AgentRow {
    fn read(row: &mut Row) -> Result<Self, SqlError> {
        let (number, version) = (row.integer()?, Version::of_sequence(row.integer()?));
        let owner = row.optional_integer()?;
        let agent = Agent {
            agent_id: row.parsed("agent id")?,
            external_id: row.optional_parsed("external id")?,
            name: row.parsed("agent name")?,
            metadata: Metadata::from_stored(row.text()?).map_err(|error| SqlError::corrupt("metadata", error))?,
            created_at: row.timestamp()?,
            updated_at: row.timestamp()?,
        };
        Ok(Self { number, version, owner, agent })
    }

    /// The agent as the subject of a change.
    pub fn subject(&self) -> Subject {
        Subject::new(self.number, self.agent.agent_id)
    }

    pub fn view(self) -> AgentView {
        AgentView { agent: self.agent, version: self.version }
    }
}

/// The agent that an id or a name refers to.
#[derive(Debug)]
pub enum FoundAgent {
    One(AgentRow),
    None,
    /// Several agents have the name.
    Several,
}

/// Finds an agent by id or name.
pub fn find(sql: &impl Sql, agent: &AgentRef) -> Result<FoundAgent, SqlError> {
    match agent {
        AgentRef::Id(id) => find_by(sql, "agent_id", id.to_string()),
        AgentRef::Name(name) => find_by(sql, "name_digest", name.digest()),
    }
}

/// Finds the one agent that an id or a name refers to.
pub fn find_one(sql: &impl Sql, agent: &AgentRef) -> Result<AgentRow, Failure> {
    match find(sql, agent)? {
        FoundAgent::One(row) => Ok(row),
        FoundAgent::None => Err(Rejection::NotFound(Resource::Agent).into()),
        FoundAgent::Several => Err(Rejection::Ambiguous.into()),
    }
}

/// Whether an external id belongs to an agent.
pub fn has_external_id(sql: &impl Sql, external_id: &UserId) -> Result<bool, SqlError> {
    Ok(with_external_id(sql, external_id)?.is_some())
}

/// The agent with this external id.
pub fn with_external_id(sql: &impl Sql, external_id: &UserId) -> Result<Option<AgentId>, SqlError> {
    let select = "SELECT agent_id FROM agents WHERE external_id_digest = ?";
    sql.find(select, &[external_id.digest().into()], |row| row.parsed("agent id"))
}

fn find_by(sql: &impl Sql, column: &str, value: String) -> Result<FoundAgent, SqlError> {
    let select = format!("SELECT {COLUMNS} FROM agents WHERE {column} = ? LIMIT 2");
    let mut rows = sql.list(&select, &[value.into()], AgentRow::read)?.into_iter();
    Ok(match (rows.next(), rows.next()) {
        (None, _) => FoundAgent::None,
        (Some(row), None) => FoundAgent::One(row),
        (Some(_), Some(_)) => FoundAgent::Several,
    })
}

/// The agents with these row numbers.
pub fn of_numbers(sql: &impl Sql, numbers: &[i64]) -> Result<Vec<AgentRow>, SqlError> {
    let select = format!("SELECT {COLUMNS} FROM agents WHERE number IN (SELECT value FROM json_each(?))");
    sql.list(&select, &[json_list(numbers)?.as_str().into()], AgentRow::read)
}

/// The existing agent with the external id, or with the name when the caller gives no external id.
pub fn existing(sql: &impl Sql, external_id: Option<&UserId>, name: &Name) -> Result<FoundAgent, SqlError> {
    match external_id {
        Some(external_id) => find_by(sql, "external_id_digest", external_id.digest()),
        None => find_by(sql, "name_digest", name.digest()),
    }
}

/// Creates an agent, or changes the existing one with the external id, or with the name when the caller gives no
/// external id. A field that is not given stays.
pub fn save(writer: &mut Writer<'_, impl Sql>, new: NewAgent) -> Result<SavedAgent, Failure> {
    let Writer { sql, now, .. } = *writer;
    match existing(sql, new.external_id.as_ref(), &new.name)? {
        FoundAgent::Several => Err(Rejection::Ambiguous.into()),
        FoundAgent::One(row) => {
            writer.check_storage_for_change()?;
            // The platform may repeat the call that made the agent.
            let created = row.agent.agent_id == new.agent_id;
            let change = AgentChange { name: Some(new.name), metadata: new.metadata, owner: None };
            Ok(SavedAgent { created, view: apply(writer, row, change)? })
        }
        FoundAgent::None => {
            if let Some(external_id) = &new.external_id
                && UserRow::find(sql, external_id)?.is_some()
            {
                return Err(Rejection::OtherType.into());
            }
            let agent = Agent {
                agent_id: new.agent_id,
                name: new.name,
                external_id: new.external_id,
                metadata: new.metadata.unwrap_or_default(),
                created_at: now,
                updated_at: now,
            };
            Ok(SavedAgent { created: true, view: insert(writer, agent)?.view() })
        }
    }
}

/// Creates an agent. The caller has checked that it does not exist.
pub fn insert(writer: &mut Writer<'_, impl Sql>, agent: Agent) -> Result<AgentRow, Failure> {
    writer.check_storage()?;
    let subject = Subject::new(writer.log.next_sequence(), agent.agent_id);
    let version = writer.append(EventType::AgentCreated, &subject, Affected::Nothing)?;
    writer.sql.execute(
        "INSERT INTO agents (number, agent_id, external_id, external_id_digest, name, name_digest, metadata, version,
         created_at, updated_at) VALUES (?6, ?1, ?2, ?7, ?3, ?8, ?4, ?6, ?5, ?9)",
        &[
            agent.agent_id.to_string().into(),
            agent.external_id.as_ref().map(UserId::as_str).into(),
            agent.name.as_str().into(),
            agent.metadata.as_str().into(),
            agent.created_at.into(),
            subject.number.into(),
            agent.external_id.as_ref().map(UserId::digest).into(),
            agent.name.digest().into(),
            agent.updated_at.into(),
        ],
    )?;
    Ok(AgentRow { number: subject.number, version, owner: None, agent })
}

/// Creates an agent with the id and instants of another deployment, unless it is there. Returns whether it did.
pub fn import(writer: &mut Writer<'_, impl Sql>, record: AgentRecord) -> Result<bool, Failure> {
    let AgentRecord { agent_id, external_id, name, metadata, created_at, updated_at, owner } = record;
    if let FoundAgent::One(_) = find(writer.sql, &AgentRef::Id(agent_id))? {
        return Ok(false);
    }
    if let Some(external_id) = &external_id {
        if has_external_id(writer.sql, external_id)? {
            return Err(Rejection::taken("external_id").into());
        }
        if UserRow::find(writer.sql, external_id)?.is_some() {
            return Err(Rejection::OtherType.into());
        }
    }
    let owner = match owner {
        Some(user_id) => {
            let row = UserRow::find(writer.sql, &user_id)?.ok_or(Rejection::NotFound(Resource::EndUser))?;
            row.check_takes_writes(writer.sql)?;
            check_room_of_owner(writer.sql, row.number)?;
            Some(row.number)
        }
        None => None,
    };
    let row = insert(writer, Agent { agent_id, name, external_id, metadata, created_at, updated_at })?;
    if owner.is_some() {
        let set = "UPDATE agents SET owner = ? WHERE number = ?";
        writer.sql.execute(set, &[owner.into(), row.number.into()])?;
    }
    Ok(true)
}

/// At most `limit` agents after a row number, as they are exported. An owner who is being erased is none any more.
pub fn records(sql: &impl Sql, after: i64, limit: u32) -> Result<Vec<(i64, AgentRecord)>, SqlError> {
    let select = "SELECT a.number, a.version, a.owner, a.agent_id, a.external_id, a.name, a.metadata, a.created_at,
                         a.updated_at, o.user_id FROM agents a
                  LEFT JOIN users o ON o.number = a.owner WHERE a.number > ? ORDER BY a.number LIMIT ?";
    sql.list(select, &[after.into(), i64::from(limit).into()], |row| {
        let AgentRow { number, agent, .. } = AgentRow::read(row)?;
        let Agent { agent_id, external_id, name, metadata, created_at, updated_at } = agent;
        let owner = row.optional_parsed("owner")?;
        Ok((number, AgentRecord { agent_id, external_id, name, metadata, created_at, updated_at, owner }))
    })
}

/// A change of an agent. A field that is `None` stays.
#[derive(Debug, Default)]
pub struct AgentChange {
    pub name: Option<Name>,
    pub metadata: Option<Metadata>,
    /// The row number of the owner, a user.
    pub owner: Option<Option<i64>>,
}

/// The length of what a caller can change, in bytes.
fn length(agent: &Agent) -> usize {
    agent.metadata.as_str().len().saturating_add(agent.name.as_str().len())
}

/// Changes an agent. A change without an effect makes no new version.
pub fn update(
    writer: &mut Writer<'_, impl Sql>,
    agent: &AgentRef,
    change: AgentChange,
    if_match: Option<&Precondition>,
) -> Result<AgentView, Failure> {
    let row = find_one(writer.sql, agent)?;
    writer.check_version(if_match, row.version)?;
    writer.check_storage_for_change()?;
    apply(writer, row, change)
}

fn apply(writer: &mut Writer<'_, impl Sql>, held: AgentRow, change: AgentChange) -> Result<AgentView, Failure> {
    let mut row = held.clone();
    row.agent.name = change.name.unwrap_or(row.agent.name);
    row.agent.metadata = change.metadata.unwrap_or(row.agent.metadata);
    row.owner = change.owner.unwrap_or(row.owner);
    if row != held {
        if length(&row.agent) > length(&held.agent) {
            writer.check_storage()?;
        }
        if let Some(owner) = row.owner.filter(|_| row.owner != held.owner) {
            check_room_of_owner(writer.sql, owner)?;
        }
        row.version = writer.append(EventType::AgentUpdated, &row.subject(), Affected::Nothing)?;
        row.agent.updated_at = writer.now.max(held.agent.updated_at);
        blank(writer.sql, row.number)?;
        writer.sql.execute(
            "UPDATE agents SET name = ?2, metadata = ?3, version = ?4, updated_at = ?5, owner = ?6, name_digest = ?7,
             external_id = ?8 WHERE number = ?1",
            &[
                row.number.into(),
                row.agent.name.as_str().into(),
                row.agent.metadata.as_str().into(),
                row.version.sequence().into(),
                row.agent.updated_at.into(),
                row.owner.into(),
                row.agent.name.digest().into(),
                row.agent.external_id.as_ref().map(UserId::as_str).into(),
            ],
        )?;
    }
    Ok(row.view())
}

fn check_room_of_owner(sql: &impl Sql, owner: i64) -> Result<(), Failure> {
    if sql.count("SELECT count(*) FROM agents WHERE owner = ?", &[owner.into()])? >= AGENTS_OF_OWNER_MAX {
        return Err(Rejection::OverCapacity(Capacity::AgentsOfOwner).into());
    }
    Ok(())
}

/// Overwrites the text in an agent's row, before the object replaces or deletes the row: a row that gets longer is
/// written elsewhere, and leaves all of its text behind.
fn blank(sql: &impl Sql, number: i64) -> Result<(), SqlError> {
    overwrite(sql, "agents", &["name", "metadata", "external_id"], "number = ?", &[number.into()])
}

/// Removes an agent's row.
pub fn remove(sql: &impl Sql, number: i64) -> Result<(), SqlError> {
    blank(sql, number)?;
    sql.execute("DELETE FROM agents WHERE number = ?", &[number.into()])
}

/// Returns an agent.
pub fn read(sql: &impl Sql, agent: &AgentRef) -> Result<AgentView, Failure> {
    find_one(sql, agent).map(AgentRow::view)
}

/// Lists agents, oldest first, and counts all of them.
pub fn list(sql: &impl Sql, list: &ListAgents) -> Result<AgentPage, SqlError> {
    let ListAgents { after, offset, limit } = *list;
    let select = "SELECT a.number, a.agent_id, a.name, a.created_at, o.user_id FROM agents a
                  LEFT JOIN users o ON o.number = a.owner WHERE a.number > ? ORDER BY a.number LIMIT ? OFFSET ?";
    let items = sql.list(select, &[after.into(), i64::from(limit).into(), i64::from(offset).into()], |row| {
        Ok(ListedAgent {
            number: row.integer()?,
            agent_id: row.parsed("agent id")?,
            name: row.parsed("agent name")?,
            created_at: row.timestamp()?,
            owner: row.optional_parsed("owner")?,
        })
    })?;
    let count = "SELECT count(*) FROM (SELECT 1 FROM agents WHERE number > 0 LIMIT ?)";
    Ok(AgentPage { items, total: sql.count(count, &[COUNTED_MAX.into()])? })
}

/// At most `limit` of the agents that a user owns, after one of them, in the order of their ids.
pub fn owned_by(sql: &impl Sql, user: i64, after: Option<AgentId>, limit: u32) -> Result<Vec<AgentId>, SqlError> {
    let after = after.map(|agent_id| agent_id.to_string()).unwrap_or_default();
    let select = "SELECT agent_id FROM agents WHERE owner = ? AND agent_id > ? ORDER BY agent_id LIMIT ?";
    sql.list(select, &[user.into(), after.into(), i64::from(limit).into()], |row| row.parsed("agent id"))
}

/// Leaves the agents of a user without an owner, because the object erases the user.
pub fn disown(writer: &mut Writer<'_, impl Sql>, user: i64) -> Result<(), Failure> {
    let select = format!("SELECT {COLUMNS} FROM agents WHERE owner = ? LIMIT {DISOWNED_AT_ONCE}");
    loop {
        let owned = writer.sql.list(&select, &[user.into()], AgentRow::read)?;
        if owned.is_empty() {
            return Ok(());
        }
        for row in owned {
            apply(writer, row, AgentChange { owner: Some(None), ..AgentChange::default() })?;
        }
    }
}
