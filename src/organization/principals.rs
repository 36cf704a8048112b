//! Users and agents as principals: another view of their rows. A principal has no row of its own.
//!
//! Invariants:
//!
//! - An external id belongs to at most one principal: a user's id is no agent's external id. Every creation of a
//!   user or an agent looks for both in its transaction.
//! - Ids sort by their creation and never change. So a walk by id meets every principal that exists during the
//!   whole walk exactly once.
//! - An owner is an active user. The request to erase a user leaves their agents without an owner in the same
//!   transaction, and no agent is given to that user afterwards.

use super::agents;
use super::erasure;
use super::failure::Failure;
use super::page;
use super::protocol::{
    CreatedPrincipal, DeleteAgent, DeleteEndUser, DeletePrincipal, EndUserChange, ListPrincipals, NewEndUser,
    NewPrincipal, PrincipalChange, PrincipalPage, PrincipalRef, PrincipalView, PrincipalsFrom, Rejection, Resource,
    UpdateEndUser, UpdatePrincipal,
};
use super::sql::{Row, Sql, SqlError};
use super::user_row::UserRow;
use super::users;
use super::writer::Writer;
use crate::directory::agent::{Agent, AgentRef};
use crate::directory::deletion::{Cascade, Receipt};
use crate::directory::end_user::Version;
use crate::directory::identifiers::RequestId;
use crate::directory::metadata::Metadata;
use crate::directory::names::UserId;
use crate::directory::principal::{Principal, PrincipalId, PrincipalType};

/// The columns that [`read_row`] reads.
const HUMANS: &str = "SELECT u.principal_id AS id, 'human', u.user_id, coalesce(u.display_name, u.user_id),
    u.metadata, u.created_at, u.updated_at, NULL, u.version FROM users u";
const AGENTS: &str = "SELECT a.agent_id AS id, 'agent', coalesce(a.external_id, a.name), a.name,
    a.metadata, a.created_at, a.updated_at, o.principal_id, a.version FROM agents a
    LEFT JOIN users o ON o.number = a.owner";

fn read_row(row: &mut Row) -> Result<PrincipalView, SqlError> {
    let principal = Principal {
        id: row.parsed("principal id")?,
        r#type: row.parsed("principal type")?,
        external_id: row.parsed("external id")?,
        name: row.parsed("name")?,
        metadata: Metadata::from_stored(row.text()?).map_err(|error| SqlError::corrupt("metadata", error))?,
        created_at: row.timestamp()?,
        updated_at: row.timestamp()?,
        owner_principal_id: row.optional_parsed("owner")?,
        is_temporary: false,
        onboarding_session_id: (),
    };
    Ok(PrincipalView { principal, version: Version::of_sequence(row.integer()?) })
}

fn find(sql: &impl Sql, principal: &PrincipalRef) -> Result<Option<PrincipalView>, SqlError> {
    let (human, agent, value) = match principal {
        PrincipalRef::Id(id) => ("u.principal_id", "a.agent_id", id.to_string()),
        PrincipalRef::ExternalId(id) => ("u.digest", "a.external_id_digest", id.digest()),
    };
    let select = format!("{HUMANS} WHERE {human} = ?1 AND u.state = 'active' UNION ALL {AGENTS} WHERE {agent} = ?1");
    sql.find(&select, &[value.into()], read_row)
}

/// Returns a principal. An agent without an external id is found by the name that it shows in its place, unless a
/// principal has this external id.
pub fn read(sql: &impl Sql, principal: &PrincipalRef) -> Result<PrincipalView, Failure> {
    let found = match (find(sql, principal)?, principal) {
        (None, PrincipalRef::ExternalId(name)) => find_by_name(sql, name)?,
        (found, _) => found,
    };
    Ok(found.ok_or(Rejection::NotFound(Resource::Principal))?)
}

fn find_by_name(sql: &impl Sql, name: &UserId) -> Result<Option<PrincipalView>, Failure> {
    let select = format!("{AGENTS} WHERE a.name_digest = ? AND a.external_id IS NULL LIMIT 2");
    let mut agents = sql.list(&select, &[name.digest().into()], read_row)?;
    if agents.len() > 1 { Err(Rejection::Ambiguous.into()) } else { Ok(agents.pop()) }
}

/// Creates a principal, or finds the existing one and leaves it as it is.
pub fn create(
    writer: &mut Writer<'_, impl Sql>,
    request_id: RequestId,
    new: NewPrincipal,
) -> Result<CreatedPrincipal, Failure> {
    let Writer { sql, now, .. } = *writer;
    let principal = PrincipalRef::ExternalId(new.external_id.clone());
    let created = match new.r#type {
        PrincipalType::Human => {
            let user = NewEndUser { user_id: new.external_id, display_name: Some(new.name), metadata: new.metadata };
            users::create(writer, request_id, user)?.created
        }
        PrincipalType::Agent => {
            if UserRow::find(sql, &new.external_id)?.is_some() {
                return Err(Rejection::OtherType.into());
            }
            let held = agents::with_external_id(sql, &new.external_id)?;
            // The platform may repeat the call that made the agent.
            let created = held.is_none_or(|held| held == new.agent_id);
            if held.is_none() {
                let agent = Agent {
                    agent_id: new.agent_id,
                    name: new.name,
                    external_id: Some(new.external_id),
                    metadata: new.metadata,
                    created_at: now,
                    updated_at: now,
                };
                agents::insert(writer, agent)?;
            }
            created
        }
    };
    Ok(CreatedPrincipal { created, view: read(sql, &principal)? })
}

/// The user or the agent that a principal id refers to. A user who is being erased is found too, and takes no
/// change.
enum PrincipalRecord {
    Human(UserId),
    Agent(AgentRef),
}

fn record_of(sql: &impl Sql, id: PrincipalId) -> Result<Option<PrincipalRecord>, SqlError> {
    let select = "SELECT user_id FROM users WHERE principal_id = ?";
    if let Some(user_id) = sql.find(select, &[id.to_string().into()], |row| row.parsed("user id"))? {
        return Ok(Some(PrincipalRecord::Human(user_id)));
    }
    let is_agent = sql.exists("SELECT 1 FROM agents WHERE agent_id = ?", &[id.to_string().into()])?;
    Ok(is_agent.then_some(PrincipalRecord::Agent(AgentRef::Id(id))))
}

/// Changes the display name and the metadata of a human, or the name, the metadata and the owner of an agent.
pub fn update(writer: &mut Writer<'_, impl Sql>, update: UpdatePrincipal) -> Result<PrincipalView, Failure> {
    let sql = writer.sql;
    let UpdatePrincipal { id, change: PrincipalChange { name, metadata, owner }, if_match } = update;
    match record_of(sql, id)?.ok_or(Rejection::NotFound(Resource::Principal))? {
        PrincipalRecord::Human(_) if owner.flatten().is_some() => {
            return Err(invalid_owner("must be null for a human").into());
        }
        PrincipalRecord::Human(user_id) => {
            let change = EndUserChange::Replace { display_name: name.map(Some), metadata };
            users::update(writer, UpdateEndUser { user_id, change, if_match })?;
        }
        PrincipalRecord::Agent(agent) => {
            let unknown = || invalid_owner("must be the id of a human of this organization");
            let owner = match owner {
                Some(Some(owner)) => Some(Some(number_of(sql, owner)?.ok_or_else(unknown)?)),
                Some(None) => Some(None),
                None => None,
            };
            agents::update(writer, &agent, agents::AgentChange { name, metadata, owner }, if_match.as_ref())?;
        }
    }
    read(sql, &PrincipalRef::Id(id))
}

fn invalid_owner(reason: &str) -> Rejection {
    Rejection::Invalid { field: "owner_principal_id".to_owned(), reason: reason.to_owned() }
}

/// The row number of an active human.
fn number_of(sql: &impl Sql, id: PrincipalId) -> Result<Option<i64>, SqlError> {
    let select = "SELECT number FROM users WHERE principal_id = ? AND state = 'active'";
    sql.find(select, &[id.to_string().into()], Row::integer)
}

/// Erases the user or the agent behind a principal.
pub fn delete(writer: &mut Writer<'_, impl Sql>, delete: DeletePrincipal) -> Result<Receipt, Failure> {
    let DeletePrincipal { id, deletion_id, reason, if_match } = delete;
    match record_of(writer.sql, id)? {
        // The object recognizes a repeated call by its receipt, even after the id is gone.
        None => Ok(erasure::find(writer.sql, deletion_id)?.ok_or(Rejection::NotFound(Resource::Principal))?),
        Some(PrincipalRecord::Human(user_id)) => {
            let request = DeleteEndUser { deletion_id, user_id, cascade: Cascade::All, reason, if_match };
            erasure::request(writer, request)
        }
        Some(PrincipalRecord::Agent(agent)) => {
            erasure::request_agent(writer, DeleteAgent { agent, deletion_id, reason, if_match })
        }
    }
}

/// A bound of the bytes of a principal: without its metadata it has less than 3,000.
const PRINCIPAL_BYTES: &str = "octet_length(metadata) + 3000";

/// Lists principals in the order of their ids: at most `limit`, and fewer where they are long. SQLite searches the
/// ids of each table and merges the two as it reads. With an offset it reads and skips that many rows.
pub fn list(sql: &impl Sql, list: &ListPrincipals) -> Result<PrincipalPage, SqlError> {
    let ListPrincipals { r#type, from, limit } = *list;
    let (comparison, direction, bound, offset) = match from {
        PrincipalsFrom::Start => (">", "ASC", String::new(), 0),
        PrincipalsFrom::After(id) => (">", "ASC", id.to_string(), 0),
        PrincipalsFrom::Before(id) => ("<", "DESC", id.to_string(), 0),
        PrincipalsFrom::Offset(offset) => (">", "ASC", String::new(), offset),
    };
    let humans = format!("{HUMANS} WHERE u.principal_id {comparison} ?1 AND u.state = 'active'");
    let agents = format!("{AGENTS} WHERE a.agent_id {comparison} ?1");
    let select = match r#type {
        None => format!("{humans} UNION ALL {agents}"),
        Some(PrincipalType::Human) => humans,
        Some(PrincipalType::Agent) => agents,
    };
    let select = format!("{select} ORDER BY id {direction} LIMIT ?2 + 1 OFFSET ?3");
    let mut rows = sql.list(
        &page::bounded(&select, PRINCIPAL_BYTES),
        &[bound.into(), i64::from(limit).into(), i64::from(offset).into()],
        |row| Ok((read_row(row)?.principal, row.integer()?)),
    )?;
    let has_more = page::cut(&mut rows, limit);
    let items = rows.into_iter().map(|(principal, _)| principal).collect();
    let total = match from {
        PrincipalsFrom::Offset(_) => Some(count(sql, r#type)?),
        PrincipalsFrom::Start | PrincipalsFrom::After(_) | PrincipalsFrom::Before(_) => None,
    };
    Ok(PrincipalPage { items, has_more, total })
}

/// Counts all principals, which reads one index entry for each. Only callers that page by offset need it, so
/// registrations need not pay for a counter.
fn count(sql: &impl Sql, r#type: Option<PrincipalType>) -> Result<u64, SqlError> {
    let humans = "(SELECT count(*) FROM users) - (SELECT count(*) FROM users WHERE state <> 'active')";
    let agents = "(SELECT count(*) FROM agents)";
    let expression = match r#type {
        None => format!("{humans} + {agents}"),
        Some(PrincipalType::Human) => humans.to_owned(),
        Some(PrincipalType::Agent) => agents.to_owned(),
    };
    sql.count(&format!("SELECT {expression}"), &[])
}
