//! How a batch is applied.

use std::borrow::Cow;

use super::fence;
use crate::directory::agent::AgentId;
use crate::directory::names::UserId;
use crate::guards::{self, Guard};
use crate::json;
use crate::organization::outbox::Batch;
use crate::organization::sql::Parameter;
use crate::projection::stores::{Database, Statement, StoreError};

const FENCE: &str = "
    INSERT INTO projections (tenant, sequence, batch)
    SELECT ?1, ?2, ?3 WHERE ?4 = 0 OR EXISTS (SELECT 1 FROM projections WHERE tenant = ?1)
    ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, batch = excluded.batch
    WHERE projections.sequence = ?4";

const FENCED: &str = "WHERE projections.sequence = ?4";

const UPSERT: &str = "
    INSERT INTO end_users (tenant, user_id, incarnation, version, created_at, document)
    SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(?2)
    WHERE EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)
    ON CONFLICT (tenant, user_id) DO UPDATE SET incarnation = excluded.incarnation, version = excluded.version,
      created_at = excluded.created_at, document = excluded.document";

/// What is about to be replaced or removed is overwritten where it lies, with as many blanks: see
/// [`crate::organization::erasure`].
const OVERWRITE: &str = "
    UPDATE end_users SET document = printf('%*s', octet_length(document), '')
    WHERE tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))
    AND EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)";

const REMOVE: &str = "
    DELETE FROM end_users WHERE tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))
    AND EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)";

/// By the index, or all of the tenant's are read: left to itself the planner sees that the primary key
/// begins with the tenant, and looks each of its rows up in the list.
const UNRELATE: &str = "
    DELETE FROM agent_users INDEXED BY agent_users_by_user WHERE tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))
    AND EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)";

const RELATE: &str = "
    INSERT OR REPLACE INTO agent_users (tenant, agent_id, user_id, entry)
    SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2)
    WHERE EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)";

/// A batch as text, ready to be bound.
#[derive(Debug)]
pub struct Application {
    tenant: String,
    id: String,
    from: i64,
    to: i64,
    rows: String,
    /// Ids whose row is replaced or removed; none is usual.
    overwritten: Option<String>,
    /// Ids to remove; none is usual.
    removed: Option<String>,
    /// Ids whose relationships are listed anew, and these.
    related: Option<String>,
    relations: Option<String>,
}

impl Application {
    pub fn new(batch: &Batch) -> Result<Self, json::Unwritable> {
        let mut rows = Vec::with_capacity(batch.changes.len());
        let (mut overwritten, mut removed, mut related) = (Vec::new(), Vec::new(), Vec::new());
        let mut relations: Vec<(&AgentId, &UserId, &str)> = Vec::new();
        for change in &batch.changes {
            let revision = change.revision;
            if revision.version > 1 {
                overwritten.push(&change.user_id);
            }
            if change.relationships.is_some() || change.document.is_none() {
                related.push(&change.user_id);
            }
            let entries = change.relationships.iter().flatten();
            relations.extend(entries.map(|(agent_id, entry)| (agent_id, &change.user_id, entry.as_str())));
            match &change.document {
                // The document travels as a string, so that SQLite passes it on untouched.
                Some(document) => rows.push((
                    &change.user_id,
                    revision.incarnation,
                    revision.version,
                    change.created_at.millis(),
                    document.as_str(),
                )),
                None => removed.push(&change.user_id),
            }
        }
        let some = |ids: Vec<&UserId>| (!ids.is_empty()).then(|| json::write(&ids)).transpose();
        Ok(Self {
            tenant: batch.tenant.to_string(),
            id: batch.id.to_string(),
            from: batch.from,
            to: batch.to,
            rows: json::write(&rows)?,
            overwritten: some(overwritten)?,
            removed: some(removed)?,
            related: some(related)?,
            relations: (!relations.is_empty()).then(|| json::write(&relations)).transpose()?,
        })
    }

    /// To be run in one transaction. The first one changes a row if and only if
    /// the batch was applied.
    pub fn statements(&self) -> Vec<Statement<'_>> {
        let (tenant, id) = (Parameter::Text(&self.tenant), Parameter::Text(&self.id));
        let statement = |sql: &'static str, parameters| Statement { sql: Cow::Borrowed(sql), parameters };
        let fence = if guards::is_on(Guard::Fence) { FENCE } else { FENCE.trim_end_matches(FENCED) };
        let mut statements = vec![statement(fence, vec![tenant, self.to.into(), id, self.from.into()])];
        if let Some(overwritten) = &self.overwritten {
            statements.push(statement(OVERWRITE, vec![tenant, Parameter::Text(overwritten), id]));
        }
        statements.push(statement(UPSERT, vec![tenant, Parameter::Text(&self.rows), id]));
        for (sql, list) in [(UNRELATE, &self.related), (RELATE, &self.relations)] {
            statements.extend(list.iter().map(|list| statement(sql, vec![tenant, Parameter::Text(list), id])));
        }
        if let Some(removed) = &self.removed {
            statements.push(statement(REMOVE, vec![tenant, Parameter::Text(removed), id]));
        }
        statements
    }
}

/// What became of a batch.
#[derive(Debug)]
pub enum Applied {
    /// The sequence number to acknowledge.
    UpTo(i64),
    /// The listing is not where this object ever brought it.
    Diverged(StoreError),
}

/// Applies one batch.
pub async fn apply<D: Database>(database: &D, batch: &Batch, last_sequence: i64) -> Result<Applied, StoreError> {
    let application = Application::new(batch).map_err(|error| StoreError(error.to_string()))?;
    let changed = database.batch(&application.statements()).await?;
    if changed.first().is_some_and(|rows| *rows > 0) {
        return Ok(Applied::UpTo(batch.to));
    }
    let position = fence::position(database, &application.tenant).await?;
    Ok(fence::acknowledge_position(position, batch.from, last_sequence).map_or_else(Applied::Diverged, Applied::UpTo))
}
