//! Batches: what the listing needs to follow the change log.
//!
//! Invariant: a batch carries the latest state of everyone who changed between two places of the log, and is
//! bounded in rows and in bytes.

use std::collections::HashMap;

use super::change_log::{self, ChangeLog, ListingPosition};
use super::relationship_entry;
use super::sql::{Sql, SqlError, json_text};
use super::user_row::{self, UserRow};
use crate::directory::agent::AgentId;
use crate::directory::end_user::{EndUser, Status, Version};
use crate::directory::identifiers::{BatchId, Tenant};
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;
use crate::json;

/// Most rows of the log in one batch.
pub const BATCH_ROWS_MAX: i64 = 100;
/// A batch takes no further user when its documents and relationships have this size, in bytes. One more user has at
/// most 17 KB, and their relationships. An object has 128 MB for everything, and the listing gets most of a document
/// twice.
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// The length of a UUID in bytes.
const AGENT_ID_BYTES: usize = 36;

/// Everything that the listing needs to move from one sequence number to another.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Every attempt has its own id, even when it repeats another attempt.
    pub id: BatchId,
    pub tenant: Tenant,
    /// Where the listing must stand.
    pub from: ListingPosition,
    /// Where it stands afterwards.
    pub to: ListingPosition,
    /// One change for each user.
    pub changes: Vec<Change>,
}

/// The latest state of one user.
#[derive(Debug, Clone)]
pub struct Change {
    pub user_id: UserId,
    pub version: Version,
    /// Whether the user was made after the place at which the listing is. So it holds nothing of this user; what
    /// it holds under the user's id is of a user who was erased.
    pub is_first: bool,
    pub created_at: Timestamp,
    /// `None` when the user is being erased: the listing must hold nothing of them.
    pub record: Option<ProjectedRecord>,
    /// The agents of the user's relationships, each with what the relationship adds to the record; `None` when
    /// the relationships did not change.
    pub relationships: Option<Vec<(AgentId, json::Text)>>,
}

/// Composes the next batch; `None` when the listing has confirmed every change.
pub fn next(log: &ChangeLog, sql: &impl Sql, id: BatchId, tenant: Tenant) -> Result<Option<Batch>, SqlError> {
    let from = log.acknowledged();
    if from >= log.last_sequence() {
        return Ok(None);
    }
    let rows = sql.run(
        &format!(
            "SELECT c.sequence, {}, c.with_relationships, {} FROM changes c LEFT JOIN users u ON u.number = c.user
             WHERE c.sequence > ? ORDER BY c.sequence LIMIT ?",
            change_log::mark(),
            user_row::COLUMNS
        ),
        &[from.into(), BATCH_ROWS_MAX.into()],
    )?;
    let (mut to, mut bytes) = (ListingPosition::default(), 0_usize);
    let mut changes: Vec<Change> = Vec::with_capacity(rows.len());
    let mut places: HashMap<i64, usize> = HashMap::with_capacity(rows.len());
    for mut row in rows {
        to = ListingPosition { sequence: row.integer()?, mark: row.text()? };
        let with_relationships = row.integer()? != 0;
        // The listing shows nothing of an agent's change.
        let Some(row) = UserRow::read_joined(&mut row)? else { continue };
        let (number, place) = (row.number, *places.entry(row.number).or_insert(changes.len()));
        if place == changes.len() {
            let change = Change::new(row, from)?;
            bytes = bytes.saturating_add(change.record.as_ref().map_or(0, ProjectedRecord::length));
            changes.push(change);
        }
        if let Some(change) =
            changes.get_mut(place).filter(|change| with_relationships && change.relationships.is_none())
        {
            let is_shown = change.record.is_some();
            let entries = if is_shown { relationship_entry::entries(sql, number)? } else { Vec::new() };
            bytes = bytes.saturating_add(change.length_of(&entries));
            change.relationships = Some(entries);
        }
        if bytes >= BATCH_BYTES_MAX {
            break;
        }
    }
    Ok(Some(Batch { id, tenant, from: log.position().clone(), to, changes }))
}

/// A user's record as the projections hold it.
#[derive(Debug, Clone)]
pub struct ProjectedRecord {
    pub display_name: Option<Name>,
    pub metadata: Metadata,
    /// The whole record, as the API shows it.
    pub document: json::Text,
}

impl ProjectedRecord {
    /// `None` for a user who is being erased.
    pub fn of(row: &UserRow) -> Result<Option<Self>, SqlError> {
        if row.user.status == Status::DeletionPending {
            return Ok(None);
        }
        let EndUser { display_name, metadata, .. } = row.user.clone();
        Ok(Some(Self { display_name, metadata, document: json_text("a user", &row.user)? }))
    }

    /// The length of the document in bytes.
    pub fn length(&self) -> usize {
        self.document.as_str().len()
    }
}

impl Change {
    fn new(row: UserRow, from: i64) -> Result<Self, SqlError> {
        let (record, is_first) = (ProjectedRecord::of(&row)?, row.number > from);
        let EndUser { user_id, version, created_at, .. } = row.user;
        Ok(Self { user_id, version, is_first, created_at, record, relationships: None })
    }

    /// The length of entries in bytes. The listing gets each with the id of the agent and of the user.
    fn length_of(&self, entries: &[(AgentId, json::Text)]) -> usize {
        let ids = self.user_id.as_str().len().saturating_add(AGENT_ID_BYTES);
        entries.iter().fold(0, |sum: usize, (_, entry)| sum.saturating_add(entry.as_str().len()).saturating_add(ids))
    }
}
