//! The statements that apply a batch.

use std::borrow::Cow;

use serde::Serialize;

use super::{fence, removal};
use crate::directory::agent::AgentId;
use crate::directory::names::UserId;
use crate::guards::{self, Guard};
use crate::organization::batches::{Batch, ProjectedRecord};
use crate::organization::change_log::ListingPosition;
use crate::projection::stores::{Database, PARAMETER_BYTES_MAX, Statement, StoreError};

const FENCE: &str = "
    INSERT INTO projections (tenant, sequence, mark, batch)
    SELECT ?1, ?2, ?3, ?4 WHERE ?5 = 0 OR EXISTS (SELECT 1 FROM projections WHERE tenant = ?1)
    ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, mark = excluded.mark, batch = excluded.batch
    WHERE projections.sequence = ?5 AND projections.mark = ?6";

/// The condition of [`FENCE`] that makes it a fence. A test switches it off.
const FENCED: &str = "WHERE projections.sequence = ?5 AND projections.mark = ?6";

const UPSERT: &str = "
    INSERT INTO end_users (tenant, user_id, version, created_at, display_name, metadata, document)
    SELECT ?1, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
    FROM json_each(?2)
    WHERE EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)
    ON CONFLICT (tenant, user_id) DO UPDATE SET version = excluded.version,
      created_at = excluded.created_at, display_name = excluded.display_name, metadata = excluded.metadata,
      document = excluded.document";

/// The rows of some users, if this attempt has moved the fence.
const OF_USERS: &str = "tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))
    AND EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)";

const RELATE: &str = "
    INSERT INTO agent_users (tenant, agent_id, user_id, entry)
    SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2)
    WHERE EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND batch = ?3)
    ON CONFLICT (tenant, agent_id, user_id) DO UPDATE SET entry = excluded.entry";

/// A batch as text, ready to bind. Each list is in as many pieces as its length needs, and a piece is a statement: most
/// batches have no more than one of each.
#[derive(Debug)]
pub struct Application {
    tenant: String,
    id: String,
    from: ListingPosition,
    to: ListingPosition,
    /// The rows to write.
    rows: Vec<String>,
    /// The ids whose rows the batch makes, replaces or removes.
    written: Vec<String>,
    /// The ids whose rows the batch removes.
    removed: Vec<String>,
    /// The ids whose relationships the batch replaces, and the new relationships.
    related: Vec<String>,
    relations: Vec<String>,
}

impl Application {
    pub fn new(batch: &Batch) -> serde_json::Result<Self> {
        let mut rows = Vec::with_capacity(batch.changes.len());
        let (mut written, mut removed, mut related) = (Vec::new(), Vec::new(), Vec::new());
        let mut relations: Vec<(&AgentId, &UserId, &str)> = Vec::new();
        for change in &batch.changes {
            // A listing that was restored may hold an erased user of the same id, with relationships.
            written.push(&change.user_id);
            if change.is_first || change.relationships.is_some() || change.record.is_none() {
                related.push(&change.user_id);
            }
            let entries = change.relationships.iter().flatten();
            relations.extend(entries.map(|(agent_id, entry)| (agent_id, &change.user_id, entry.as_str())));
            match &change.record {
                // JSON is a string in the list, so that SQLite does not parse it.
                Some(ProjectedRecord { display_name, metadata, document }) => {
                    let created_ms = change.created_at.millis();
                    let (metadata, document) = (metadata.as_str(), document.as_str());
                    rows.push((&change.user_id, change.version, created_ms, display_name, metadata, document));
                }
                None => removed.push(&change.user_id),
            }
        }
        Ok(Self {
            tenant: batch.tenant.to_string(),
            id: batch.id.to_string(),
            from: batch.from.clone(),
            to: batch.to.clone(),
            rows: pieces(&rows)?,
            written: pieces(&written)?,
            removed: pieces(&removed)?,
            related: pieces(&related)?,
            relations: pieces(&relations)?,
        })
    }

    /// The statements, to run in one transaction. The first one changes a row if and only if the
    /// batch applies.
    pub fn statements(&self) -> Vec<Statement<'_>> {
        let (tenant, id) = (self.tenant.as_str(), self.id.as_str());
        let fence =
            if guards::is_on(Guard::Fence) { FENCE.into() } else { FENCE.replace(FENCED, "WHERE ?6 IS NOT NULL") };
        let (from, to) = (&self.from, &self.to);
        let fence = Statement::new(
            fence,
            [
                tenant.into(),
                to.sequence.into(),
                to.mark.as_str().into(),
                id.into(),
                from.sequence.into(),
                from.mark.as_str().into(),
            ],
        );
        // What is still blank in the end is of a relationship that the user has no more.
        let is_blank = format!("{OF_USERS} AND trim(entry) = ''");
        let lists: [(Cow<'static, str>, &Vec<String>); 6] = [
            (removal::overwrite_users(OF_USERS).into(), &self.written),
            (UPSERT.into(), &self.rows),
            (removal::overwrite_entries(removal::BY_USER, OF_USERS).into(), &self.related),
            (RELATE.into(), &self.relations),
            (removal::remove_entries(removal::BY_USER, &is_blank).into(), &self.related),
            (removal::remove_users(OF_USERS).into(), &self.removed),
        ];
        let changes = lists.into_iter().flat_map(|(sql, pieces)| {
            let statement =
                move |piece| Statement::new(sql.clone(), [tenant.into(), String::as_str(piece).into(), id.into()]);
            pieces.iter().map(statement)
        });
        [fence].into_iter().chain(changes).collect()
    }
}

/// Writes a list as JSON, in pieces of at most [`PARAMETER_BYTES_MAX`], each a list of its own. An item is much
/// shorter: a row has at most 80 KB.
fn pieces(items: &[impl Serialize]) -> serde_json::Result<Vec<String>> {
    let mut pieces: Vec<String> = Vec::new();
    for item in items {
        let item = serde_json::to_string(item)?;
        // A comma and the item take the place of the last bracket, which comes again.
        let has_room =
            |piece: &&mut String| piece.len().saturating_add(item.len()).saturating_add(1) < PARAMETER_BYTES_MAX;
        match pieces.last_mut().filter(has_room) {
            Some(piece) => {
                piece.truncate(piece.len().saturating_sub(1));
                piece.extend([",", &item, "]"]);
            }
            None => pieces.push(format!("[{item}]")),
        }
    }
    Ok(pieces)
}

/// The result of a batch.
#[derive(Debug)]
pub enum Applied {
    /// The position to acknowledge.
    UpTo(ListingPosition),
    /// The listing stands where the object has not moved it.
    Diverged(StoreError),
}

/// Applies one batch.
///
/// If the answer to an earlier attempt was lost, that attempt has moved the listing. `owns` says whether it was the
/// object that moved it to a position.
pub async fn apply(
    database: &impl Database,
    batch: &Batch,
    owns: impl Fn(Option<&ListingPosition>) -> Result<bool, StoreError>,
) -> Result<Applied, StoreError> {
    let application = Application::new(batch).map_err(|error| StoreError(error.to_string()))?;
    let changed = database.batch(&application.statements()).await?;
    if changed.first().is_some_and(|rows| *rows > 0) {
        return Ok(Applied::UpTo(batch.to.clone()));
    }
    let position = fence::position(database, &application.tenant).await?;
    Ok(match position {
        Some(position) if owns(Some(&position))? => Applied::UpTo(position),
        other => Applied::Diverged(StoreError(format!(
            "the listing stands at {other:?}, to where the object has not moved it: one of the two was lost or restored"
        ))),
    })
}
