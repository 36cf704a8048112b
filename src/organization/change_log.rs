//! The change log: what changed, in the order in which the tenant changed. It is the outbox of the listing, and the
//! record of what happened.
//!
//! Invariants:
//!
//! - A tenant has one sequence. Every change takes the next number and writes one row under it, in the
//!   transaction of the change. The version of a user or an agent is the number of its last change, and its row
//!   number is the number of the change that made it. So no version and no row number comes twice, whatever was
//!   erased in between.
//! - The newest row is never deleted, so the sequence goes on after a restart.
//! - The log is level-triggered for the listing. A row says *that* a user changed. A batch carries the state
//!   of the user at the moment when the object composes the batch. A later change has a later row, so the
//!   acknowledgement of a batch hides no change.
//! - A row is deleted only after the listing has acknowledged it: the row of a turn at once, any other row after
//!   [`KEPT_MS`].
//! - A row names a record by its row number and its reference, never by the id of a person. A reader joins the
//!   ids, so the erasure of a person takes their ids out of the log too.

use super::schema;
use super::sql::{Row, Sql, SqlError};
use crate::directory::end_user::Version;
use crate::directory::identifiers::{KeyId, RequestId};
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};

/// How long the object keeps a row, in milliseconds: 30 days.
pub const KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
/// Most rows that one sweep deletes.
pub const SWEEP_MAX: i64 = 500;
/// The name under which the object stores how far the listing has confirmed.
const ACKNOWLEDGED: &str = "listing_sequence";

/// What happened. The text is the stored form. Nothing reads the rows of the last two kinds but the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ChangeKind {
    #[strum(serialize = "end_user.created")]
    EndUserCreated,
    #[strum(serialize = "end_user.updated")]
    EndUserUpdated,
    #[strum(serialize = "end_user.erasure_requested")]
    EndUserErasureRequested,
    #[strum(serialize = "end_user.erased")]
    EndUserErased,
    #[strum(serialize = "agent.created")]
    AgentCreated,
    #[strum(serialize = "agent.updated")]
    AgentUpdated,
    #[strum(serialize = "agent.deleted")]
    AgentDeleted,
    #[strum(serialize = "relationship.created")]
    RelationshipCreated,
    #[strum(serialize = "relationship.deleted")]
    RelationshipDeleted,
    /// A counted turn. The row only brings the listing up to date.
    Turn,
    /// A repair. The row only brings the listing up to date.
    Repair,
}

/// The record that a change is about.
#[derive(Debug)]
pub struct Subject {
    /// The row number of the user, the agent or the relationship.
    pub number: i64,
    /// The id that Rollcall made for the record: a principal's or a relationship's. It is random and says nothing
    /// about a person, so it still names the record when the person is erased.
    pub reference: String,
}

impl Subject {
    pub fn new(number: i64, reference: impl ToString) -> Self {
        Self { number, reference: reference.to_string() }
    }
}

/// What a change makes the listing bring up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affected {
    /// The listing shows nothing of it.
    Nothing,
    /// The record of the user with this row number.
    User(i64),
    /// The record of the user with this row number, and the user's relationships.
    UserAndRelationships(i64),
}

/// Who made a change, when, and in which request.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    pub actor: Actor,
    /// `None` for what the object does by itself.
    pub request_id: Option<RequestId>,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    Key(KeyId),
    Operator,
    /// The object itself.
    System,
}

impl Origin {
    /// What the object does by itself.
    pub const fn system(at: Timestamp) -> Self {
        Self { actor: Actor::System, request_id: None, at }
    }
}

/// The change log of one tenant, with what the object remembers of it.
#[derive(Debug)]
pub struct ChangeLog {
    /// Of the changes of the current transaction.
    origin: Origin,
    last_sequence: i64,
    /// The sequence number up to which the listing has confirmed.
    acknowledged: i64,
}

impl ChangeLog {
    pub fn load(sql: &impl Sql) -> Result<Self, SqlError> {
        let acknowledged = schema::read(sql, ACKNOWLEDGED)?;
        let last_sequence = sql.find("SELECT max(sequence) FROM changes", &[], Row::optional_integer)?;
        let last_sequence = last_sequence.flatten().unwrap_or_default();
        Ok(Self { origin: Origin::system(Timestamp::EPOCH), last_sequence, acknowledged })
    }

    /// Says who makes the changes that follow. Every transaction that may change something begins with this.
    pub const fn begin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    pub const fn last_sequence(&self) -> i64 {
        self.last_sequence
    }

    /// The number that the next change takes.
    pub const fn next_sequence(&self) -> i64 {
        self.last_sequence.saturating_add(1)
    }

    /// The sequence number up to which the listing has confirmed.
    pub const fn acknowledged(&self) -> i64 {
        self.acknowledged
    }

    /// Writes the row of a change, in the transaction of the change. Returns its number as the new version of the
    /// record.
    pub fn append(
        &mut self,
        sql: &impl Sql,
        kind: ChangeKind,
        subject: &Subject,
        affected: Affected,
    ) -> Result<Version, SqlError> {
        let Origin { actor, request_id, at } = self.origin;
        let sequence = self.next_sequence();
        let (user, with_relationships) = match affected {
            Affected::Nothing => (None, 0_i64),
            Affected::User(user) => (Some(user), 0),
            Affected::UserAndRelationships(user) => (Some(user), 1),
        };
        let (actor, key_id) = match actor {
            Actor::Key(key_id) => ("key", Some(key_id.to_string())),
            Actor::Operator => ("operator", None),
            Actor::System => ("system", None),
        };
        sql.execute(
            "INSERT INTO changes (sequence, kind, at, actor, key_id, request_id, subject, reference, user,
             with_relationships) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                sequence.into(),
                kind.into_str().into(),
                at.into(),
                actor.into(),
                key_id.into(),
                request_id.map(|request_id| request_id.to_string()).into(),
                subject.number.into(),
                subject.reference.as_str().into(),
                user.into(),
                with_relationships.into(),
            ],
        )?;
        self.last_sequence = sequence;
        Ok(Version::of_sequence(sequence))
    }

    /// Moves the acknowledgement of the listing forward, never back. Deletes the rows that only the listing needed.
    pub fn acknowledge(&mut self, sql: &impl Sql, sequence: i64) -> Result<(), SqlError> {
        let before = self.acknowledged;
        if sequence <= before {
            return Ok(());
        }
        schema::write(sql, ACKNOWLEDGED, sequence)?;
        self.acknowledged = sequence;
        let newest = if guards::is_on(Guard::NewestChange) { self.last_sequence } else { i64::MAX };
        // The row at the earlier mark may have been the newest one then.
        sql.execute(
            "DELETE FROM changes WHERE sequence BETWEEN ? AND ? AND sequence < ? AND kind IN (?, ?)",
            &[
                before.into(),
                sequence.into(),
                newest.into(),
                ChangeKind::Turn.into_str().into(),
                ChangeKind::Repair.into_str().into(),
            ],
        )
    }

    /// Deletes the oldest rows that are older than [`KEPT_MS`], at most [`SWEEP_MAX`]. Returns when the next one
    /// is due: an instant in the past if more are due, `None` if no row waits for its time.
    pub fn sweep(&self, sql: &impl Sql, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
        // The newest row stays, and a listing that is late must not find a gap.
        let before = self.last_sequence.min(self.acknowledged.saturating_add(1));
        let oldest = || -> Result<Option<Timestamp>, SqlError> {
            let select = "SELECT at FROM changes WHERE sequence < ? ORDER BY sequence LIMIT 1";
            let at = sql.find(select, &[before.into()], Row::integer)?;
            Ok(at.map(|at| Timestamp::from_millis(at).plus_ms(KEPT_MS)))
        };
        // Most sweeps find nothing, and read one row.
        let due = oldest()?;
        if due.is_none_or(|due| due > now) {
            return Ok(due);
        }
        sql.execute(
            "DELETE FROM changes WHERE sequence IN
             (SELECT sequence FROM changes WHERE sequence < ? AND at <= ? ORDER BY sequence LIMIT ?)",
            &[before.into(), now.millis().saturating_sub(KEPT_MS).into(), SWEEP_MAX.into()],
        )?;
        oldest()
    }
}
