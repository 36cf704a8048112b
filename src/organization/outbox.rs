//! The outbox: which users changed, and which projection has confirmed each change.
//!
//! Invariants:
//!
//! - Sequence numbers only grow, across restarts too: the next one is above the highest row and
//!   above the highest acknowledgement.
//! - The outbox is level-triggered. A row says *that* a user changed. A batch carries the state of
//!   the user at the moment when the object composes the batch. A later change has a later row, so
//!   the acknowledgement of a batch hides no change.
//! - The object removes a row when every projection has acknowledged it.

use std::collections::HashMap;

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
/// A batch takes no further document when its documents have this size, in bytes. One more document
/// has at most 17 KB. The listing gets most of a document twice, and escapes may double its size, so the
/// batch stays below the limit of one D1 parameter, 2 MB
/// (<https://developers.cloudflare.com/d1/platform/limits/>).
const BATCH_BYTES_MAX: usize = 256 * 1024;

/// The stores that are derived from the object. Each acknowledges for itself, so that a failure of
/// one does not hold the other back.
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

/// Everything that a projection needs to move from one sequence number to another.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Every attempt has its own id, even when it repeats another attempt.
    pub id: BatchId,
    pub tenant: Tenant,
    /// The sequence number at which the projection must be.
    pub from: i64,
    /// The sequence number at which the projection is afterwards.
    pub to: i64,
    /// One change for each user.
    pub changes: Vec<Change>,
}

/// The latest state of one user.
#[derive(Debug, Clone)]
pub struct Change {
    pub user_id: UserId,
    pub revision: Revision,
    pub created_at: Timestamp,
    /// `None` when the user is being erased: the projections must hold nothing of them.
    pub document: Option<json::Text>,
    /// The agents of the user's relationships, each with what the relationship adds to the record;
    /// `None` when the relationships did not change.
    pub relationships: Option<Vec<(AgentId, json::Text)>>,
}

/// The outbox of one tenant, with what the object remembers of it.
#[derive(Debug)]
pub struct Outbox {
    last_sequence: i64,
    listing: i64,
    cache: i64,
    located: HashMap<UserId, Located>,
}

/// The revision of an active user without relationships that was read recently.
///
/// It is current: every change of a user or of their relationships appends the user to the outbox,
/// which forgets the revision, and the object drops its memory when a transaction fails. The end
/// of an erasure appends nothing, so a user who is being erased is not remembered.
#[derive(Debug)]
struct Located {
    /// The row number of the user.
    number: i64,
    revision: Revision,
}

/// Most revisions that the object remembers, about 100 bytes each.
const LOCATED_MAX: usize = 2_000;

impl Outbox {
    pub fn load<S: Sql>(sql: &S) -> Result<Self, SqlError> {
        let listing = schema::read(sql, Projection::Listing.acknowledgement())?;
        let cache = schema::read(sql, Projection::Cache.acknowledgement())?;
        let highest = match sql.first("SELECT coalesce(max(sequence), 0) FROM outbox", &[])? {
            Some(mut row) => row.integer()?,
            None => 0,
        };
        Ok(Self { last_sequence: highest.max(listing).max(cache), listing, cache, located: HashMap::new() })
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

    /// The current revision of a user, if it is remembered.
    pub fn located(&self, user_id: &UserId) -> Option<Revision> {
        self.located.get(user_id).map(|located| located.revision)
    }

    /// Remembers the revision of an active user without relationships.
    pub fn remember(&mut self, user_id: &UserId, number: i64, revision: Revision) {
        if self.located.len() >= LOCATED_MAX {
            self.located.clear();
        }
        self.located.insert(user_id.clone(), Located { number, revision });
    }

    /// Notes that a user changed, in the transaction of the change.
    pub fn append<S: Sql>(&mut self, sql: &S, user: i64) -> Result<(), SqlError> {
        self.insert(sql, user, false)
    }

    /// Notes that a user changed, and that their relationships may have changed too.
    pub fn append_with_relationships<S: Sql>(&mut self, sql: &S, user: i64) -> Result<(), SqlError> {
        self.insert(sql, user, true)
    }

    fn insert<S: Sql>(&mut self, sql: &S, user: i64, with_relationships: bool) -> Result<(), SqlError> {
        self.last_sequence = self.last_sequence.saturating_add(1);
        self.located.retain(|_, located| located.number != user);
        sql.run(
            "INSERT INTO outbox (sequence, user, with_relationships) VALUES (?, ?, ?)",
            &[self.last_sequence.into(), user.into(), i64::from(with_relationships).into()],
        )?;
        Ok(())
    }

    /// Composes the next batch of a projection; `None` when the projection has confirmed every
    /// change.
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
        let (mut to, mut bytes, mut related) = (from, 0_usize, Vec::new());
        let mut changes: Vec<Change> = Vec::with_capacity(rows.len());
        let mut places: HashMap<i64, usize> = HashMap::with_capacity(rows.len());
        for mut row in rows {
            to = row.integer()?;
            let with_relationships = row.integer()? != 0;
            let row = UserRow::read(&mut row)?;
            let place = *places.entry(row.number).or_insert(changes.len());
            if with_relationships {
                related.push(row.number);
            }
            if place == changes.len() {
                changes.push(Change::new(row)?);
            }
            if let Some(change) = changes.get_mut(place) {
                if with_relationships {
                    change.relationships.get_or_insert_default();
                }
                bytes = bytes.saturating_add(change.document.as_ref().map_or(0, |document| document.as_str().len()));
            }
            if bytes >= BATCH_BYTES_MAX {
                break;
            }
        }
        if projection == Projection::Listing && !related.is_empty() {
            for (user, agent_id, entry) in relationship_entry::entries(sql, &related)? {
                let change = places.get(&user).and_then(|place| changes.get_mut(*place));
                let active = change.filter(|change| change.document.is_some());
                if let Some(relationships) = active.and_then(|change| change.relationships.as_mut()) {
                    relationships.push((agent_id, entry));
                }
            }
        }
        Ok(Some(Batch { id, tenant, from, to, changes }))
    }

    /// Moves the acknowledgement of a projection forward, never back.
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

impl Change {
    fn new(row: UserRow) -> Result<Self, SqlError> {
        let document = match row.user.status {
            Status::Active => Some(row.document()?),
            Status::DeletionPending => None,
        };
        let UserRow { revision, user, .. } = row;
        Ok(Self { user_id: user.user_id, revision, created_at: user.created_at, document, relationships: None })
    }
}
