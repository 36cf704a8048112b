//! The outbox: which users changed and which projection has heard of it.
//!
//! Invariants:
//!
//! - Sequence numbers only grow, across restarts too: the next one is above both
//!   the highest row and the highest acknowledgement.
//! - The outbox is level-triggered. A row says *that* a user changed; a batch
//!   carries the state at the moment it is composed. A user who changes later
//!   has a later row, so acknowledging a batch never hides a change.
//! - A row is removed once every projection has acknowledged it.

use super::relationship_entry;
use super::schema;
use super::sql::{Sql, SqlError};
use super::user_row::{self, UserRow};
use crate::directory::agent::AgentId;
use crate::directory::end_user::{Revision, Status};
use crate::directory::identifiers::{BatchId, Tenant};
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;
use crate::json;

/// Most outbox rows in one batch.
pub const BATCH_ROWS_MAX: i64 = 100;
/// A batch is closed when its documents have reached this size: with one more
/// document (17 KB) it stays far below what D1 takes for one parameter (2 MB).
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// The stores that are derived from the object. Each acknowledges for itself,
/// so that one of them failing does not hold the other back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projection {
    /// D1: the ordered listing.
    Listing,
    /// KV: records for point reads.
    Cache,
}

impl Projection {
    pub const ALL: [Self; 2] = [Self::Listing, Self::Cache];

    const fn acknowledgement(self) -> &'static str {
        match self {
            Self::Listing => "listing_sequence",
            Self::Cache => "cache_sequence",
        }
    }
}

/// Everything a projection needs to move from one sequence number to another.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Different for every attempt, also for one that repeats another.
    pub id: BatchId,
    pub tenant: Tenant,
    /// The sequence number the projection must be at.
    pub from: i64,
    /// The one it is at afterwards.
    pub to: i64,
    pub changes: Vec<Change>,
}

/// The latest state of one user.
#[derive(Debug, Clone)]
pub struct Change {
    pub user_id: UserId,
    pub revision: Revision,
    pub created_at: Timestamp,
    /// `None` when the user is being erased: the projections are to hold nothing.
    pub document: Option<json::Text>,
    /// The agents the user talks with, and what each relationship adds to the record;
    /// `None` when that is as it was.
    pub relationships: Option<Vec<(AgentId, String)>>,
}

#[derive(Debug)]
pub struct Outbox {
    last_sequence: i64,
    listing: i64,
    cache: i64,
    located: Located,
}

/// Revisions of active users without relationships who were read lately.
///
/// They are true because nobody changes a user, or a relationship of theirs, without appending
/// them to the outbox, which forgets them here; and because all memory is dropped when a
/// transaction fails. Who is not active is not held, as the end of an erasure appends nothing.
#[derive(Debug, Default)]
struct Located(Vec<(UserId, i64, Revision)>);

impl Located {
    /// They are in the order of their ids.
    fn place(&self, user_id: &UserId) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, ..)| held.cmp(user_id))
    }
}

/// A hundred bytes each.
const LOCATED_MAX: usize = 2_000;

impl Outbox {
    pub fn load<S: Sql>(sql: &S) -> Result<Self, SqlError> {
        let listing = schema::read(sql, Projection::Listing.acknowledgement())?;
        let cache = schema::read(sql, Projection::Cache.acknowledgement())?;
        let highest = match sql.first("SELECT coalesce(max(sequence), 0) FROM outbox", &[])? {
            Some(mut row) => row.integer()?,
            None => 0,
        };
        Ok(Self { last_sequence: highest.max(listing).max(cache), listing, cache, located: Located::default() })
    }

    pub const fn last_sequence(&self) -> i64 {
        self.last_sequence
    }

    pub const fn acknowledged(&self, projection: Projection) -> i64 {
        match projection {
            Projection::Listing => self.listing,
            Projection::Cache => self.cache,
        }
    }

    /// The sequence number up to which every projection has confirmed.
    pub fn confirmed(&self) -> i64 {
        self.listing.min(self.cache)
    }

    /// The revision of a user who was located lately and is as they were then.
    pub fn located(&self, user_id: &UserId) -> Option<Revision> {
        let (.., revision) = self.located.0.get(self.located.place(user_id).ok()?)?;
        Some(*revision)
    }

    /// Remembers an active user without relationships.
    pub fn remember(&mut self, user_id: &UserId, number: i64, revision: Revision) {
        if self.located.0.len() >= LOCATED_MAX {
            self.located.0.clear();
        }
        if let Err(place) = self.located.place(user_id) {
            self.located.0.insert(place, (user_id.clone(), number, revision));
        }
    }

    /// Notes that a user changed. Belongs into the transaction of the change.
    pub fn append<S: Sql>(&mut self, sql: &S, user: i64) -> Result<(), SqlError> {
        self.insert(sql, user, false)
    }

    /// The same when relationships of the user changed too, or may have.
    pub fn append_with_relationships<S: Sql>(&mut self, sql: &S, user: i64) -> Result<(), SqlError> {
        self.insert(sql, user, true)
    }

    fn insert<S: Sql>(&mut self, sql: &S, user: i64, with_relationships: bool) -> Result<(), SqlError> {
        self.last_sequence = self.last_sequence.saturating_add(1);
        self.located.0.retain(|(_, number, _)| *number != user);
        sql.run(
            "INSERT INTO outbox (sequence, user, with_relationships) VALUES (?, ?, ?)",
            &[self.last_sequence.into(), user.into(), i64::from(with_relationships).into()],
        )?;
        Ok(())
    }

    pub fn next_batch<S: Sql>(
        &self,
        sql: &S,
        projection: Projection,
        id: BatchId,
        tenant: Tenant,
    ) -> Result<Option<Batch>, SqlError> {
        let from = self.acknowledged(projection);
        if from >= self.last_sequence {
            return Ok(None);
        }
        let rows = sql.run(
            &format!(
                "SELECT o.sequence, o.with_relationships, {} FROM outbox o JOIN users u ON u.number = o.user
                 WHERE o.sequence > ? ORDER BY o.sequence LIMIT ?",
                user_row::COLUMNS
            ),
            &[from.into(), BATCH_ROWS_MAX.into()],
        )?;
        let (mut to, mut bytes, mut numbers) = (from, 0_usize, Vec::new());
        let mut changes: Vec<Change> = Vec::with_capacity(rows.len());
        for mut row in rows {
            to = row.integer()?;
            let with_relationships = row.integer()? != 0;
            let found = UserRow::read(&mut row)?;
            let document = match found.user.status {
                Status::Active => Some(found.document()?),
                Status::DeletionPending => None,
            };
            let UserRow { number, revision, user } = found;
            bytes = bytes.saturating_add(document.as_ref().map_or(0, |document| document.as_str().len()));
            let relationships = with_relationships.then(Vec::new);
            if with_relationships {
                numbers.push(number);
            }
            match changes.iter_mut().find(|earlier| earlier.user_id == user.user_id) {
                Some(earlier) => earlier.relationships = earlier.relationships.take().or(relationships),
                None => changes.push(Change {
                    created_at: user.created_at,
                    user_id: user.user_id,
                    revision,
                    document,
                    relationships,
                }),
            }
            if bytes >= BATCH_BYTES_MAX {
                break;
            }
        }
        if projection == Projection::Listing && !numbers.is_empty() {
            for (user_id, agent_id, entry) in relationship_entry::entries(sql, &numbers)? {
                let change = changes.iter_mut().find(|change| change.user_id == user_id && change.document.is_some());
                if let Some(related) = change.and_then(|change| change.relationships.as_mut()) {
                    related.push((agent_id, entry));
                }
            }
        }
        Ok(Some(Batch { id, tenant, from, to, changes }))
    }

    /// Moves a projection's acknowledgement forward, never back.
    pub fn acknowledge<S: Sql>(&mut self, sql: &S, projection: Projection, sequence: i64) -> Result<(), SqlError> {
        if sequence <= self.acknowledged(projection) {
            return Ok(());
        }
        schema::write(sql, projection.acknowledgement(), sequence)?;
        match projection {
            Projection::Listing => self.listing = sequence,
            Projection::Cache => self.cache = sequence,
        }
        sql.run("DELETE FROM outbox WHERE sequence <= ?", &[self.confirmed().into()])?;
        Ok(())
    }
}
