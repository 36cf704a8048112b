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
//! - The position of the listing is the number of a change and its mark. An object that was restored numbers its next
//!   changes like those that it has lost, but gives them other marks. Once it has noticed, it begins another epoch, and
//!   then even the changes that it had before have other marks. So it sees when the listing stands at a change of
//!   the lost history, and the listing takes no batch that follows another change than the one at which it stands.
//! - The number of end users is the one at the position of the listing and what the later rows add. So it is exact after
//!   every start, and costs no row of its own.
//! - A row is deleted only after the listing has acknowledged it: a row that only the listing needed at once, any other
//!   after 30 days ([`super::retention`]).
//! - A row names a record by its row number and its reference, never by the id of a person. A reader joins the
//!   ids, so the erasure of a person takes their ids out of the log too.

use super::copies;
use super::protocol::Actor;
use super::schema;
use super::sql::{Row, Sql, SqlError};
use crate::directory::end_user::Version;
use crate::directory::event::EventType;
use crate::directory::identifiers::RequestId;
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// A change that readers of events see.
    Event(EventType),
    /// A counted turn. The row only brings the listing up to date.
    Turn,
    /// A repair. The row only brings the listing up to date.
    Repair,
    /// A further user is copied to KV, or the copies are in another epoch. The row only moves the listing on, by which an
    /// object that was restored notices (see [`super::copies`]).
    CopiesChanged,
}

impl ChangeKind {
    /// The kinds whose rows nothing reads but the listing.
    pub const OF_LISTING: [Self; 3] = [Self::Turn, Self::Repair, Self::CopiesChanged];

    /// The stored form.
    pub const fn into_str(self) -> &'static str {
        match self {
            Self::Event(r#type) => r#type.into_str(),
            Self::Turn => "turn",
            Self::Repair => "repair",
            Self::CopiesChanged => "copies_changed",
        }
    }

    /// How many end users more there are after such a change.
    const fn growth(self) -> i64 {
        match self {
            Self::Event(EventType::EndUserCreated) => 1,
            Self::Event(EventType::EndUserErased) => -1,
            _ => 0,
        }
    }
}

impl From<EventType> for ChangeKind {
    fn from(r#type: EventType) -> Self {
        Self::Event(r#type)
    }
}

/// How many end users more there are after the changes between two places than before them.
fn growth(sql: &impl Sql, after: i64, to: i64) -> Result<i64, SqlError> {
    let select = "SELECT coalesce(sum(iif(kind = ?3, 1, -1)), 0) FROM changes
                  WHERE sequence > ?1 AND sequence <= ?2 AND kind IN (?3, ?4)";
    let (created, erased) = (EventType::EndUserCreated.into_str(), EventType::EndUserErased.into_str());
    let growth = sql.find(select, &[after.into(), to.into(), created.into(), erased.into()], Row::integer)?;
    Ok(growth.unwrap_or_default())
}

/// Where the listing stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListingPosition {
    /// The number of the newest change that it holds.
    pub sequence: i64,
    /// The mark of that change.
    pub mark: String,
}

const IS_RELISTING: &str = "is_relisting";

/// The mark of a change, as a column: the epoch of the copies in which the listing takes it, when it was made, and by which
/// request. The epoch matters for an object that is restored twice to the same moment: a change that the listing had not
/// taken then is the same change both times.
pub fn mark() -> String {
    if !guards::is_on(Guard::ListingMark) {
        return "''".to_owned();
    }
    format!(
        "coalesce((SELECT value FROM state WHERE name = '{}'), 0) || ' ' || at || ' ' || coalesce(request_id, '')",
        copies::EPOCH
    )
}

/// The record that a change is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The row number of the user, the agent or the relationship; 0 for anything else.
    pub number: i64,
    /// The id that Rollcall made for the record: a principal's, a relationship's, a key's or the organization's. It is
    /// random and says nothing about a person, so it still names the record when the person is erased.
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
    /// The number of the last event since the object began; 0 if there was none.
    last_event: i64,
    /// Where the listing stood when it last confirmed.
    position: ListingPosition,
    /// The number of end users when the change at that position had been made.
    listed_users: i64,
    /// The number of end users.
    end_users: i64,
    /// Whether every change brings the relationships of its user up to date.
    is_relisting: bool,
}

impl ChangeLog {
    pub fn load(sql: &impl Sql) -> Result<Self, SqlError> {
        let last_sequence = sql.find("SELECT max(sequence) FROM changes", &[], Row::optional_integer)?;
        let last_sequence = last_sequence.flatten().unwrap_or_default();
        let select = "SELECT sequence, mark, end_users FROM listing_position WHERE one = 1";
        let position = sql.find(select, &[], |row| {
            Ok((ListingPosition { sequence: row.integer()?, mark: row.text()? }, row.integer()?))
        })?;
        let (position, listed_users) = position.unwrap_or_default();
        let end_users = listed_users.saturating_add(growth(sql, position.sequence, last_sequence)?);
        Ok(Self {
            origin: Origin::system(Timestamp::EPOCH),
            last_sequence,
            last_event: 0,
            position,
            listed_users,
            end_users,
            is_relisting: schema::read(sql, IS_RELISTING)? != 0,
        })
    }

    /// Has the changes that the listing has not confirmed, and all later ones, bring the relationships of their users up
    /// to date too. A listing that was restored may lack any of them. An audit compares records, and leaves a user who
    /// has changed to that change.
    pub fn begin_relisting(&mut self, sql: &impl Sql) -> Result<(), SqlError> {
        schema::write(sql, IS_RELISTING, 1)?;
        self.is_relisting = true;
        let update = "UPDATE changes SET with_relationships = 1 WHERE sequence > ? AND user IS NOT NULL";
        sql.execute(update, &[self.acknowledged().into()])
    }

    /// The audit has compared everybody.
    pub fn end_relisting(&mut self, sql: &impl Sql) -> Result<(), SqlError> {
        if self.is_relisting {
            schema::write(sql, IS_RELISTING, 0)?;
            self.is_relisting = false;
        }
        Ok(())
    }

    /// Says who makes the changes that follow. Every transaction that may change something begins with this.
    pub const fn begin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    pub const fn last_sequence(&self) -> i64 {
        self.last_sequence
    }

    /// The number of the last event since the object began; 0 if there was none.
    pub const fn last_event(&self) -> i64 {
        self.last_event
    }

    /// The number that the next change takes.
    pub const fn next_sequence(&self) -> i64 {
        self.last_sequence.saturating_add(1)
    }

    /// The sequence number up to which the listing has confirmed.
    pub const fn acknowledged(&self) -> i64 {
        self.position.sequence
    }

    /// Where the listing stood when it last confirmed.
    pub const fn position(&self) -> &ListingPosition {
        &self.position
    }

    /// Whether this object has moved the listing to where it was found. `since` is where it stood, as far as the object
    /// knew, before it was asked.
    pub fn owns(sql: &impl Sql, found: Option<&ListingPosition>, since: &ListingPosition) -> Result<bool, SqlError> {
        let Some(found) = found else { return Ok(since.sequence == 0) };
        if found == since {
            return Ok(true);
        }
        let select = format!("SELECT 1 FROM changes WHERE sequence = ? AND sequence > ? AND {} = ?", mark());
        sql.exists(&select, &[found.sequence.into(), since.sequence.into(), found.mark.as_str().into()])
    }

    /// Gives the position of the listing a mark that no earlier state of this object knows. The listing is then set to
    /// it.
    pub fn mark_position(&mut self, sql: &impl Sql, mark: String) -> Result<(), SqlError> {
        self.set_position(sql, ListingPosition { sequence: self.position.sequence, mark }, self.listed_users)
    }

    /// The number of end users, those who are being erased included.
    pub fn end_users(&self) -> u64 {
        u64::try_from(self.end_users).unwrap_or_default()
    }

    fn set_position(&mut self, sql: &impl Sql, position: ListingPosition, listed_users: i64) -> Result<(), SqlError> {
        sql.execute(
            "INSERT INTO listing_position (one, sequence, mark, end_users) VALUES (1, ?, ?, ?)
             ON CONFLICT (one) DO UPDATE SET sequence = excluded.sequence, mark = excluded.mark,
               end_users = excluded.end_users",
            &[position.sequence.into(), position.mark.as_str().into(), listed_users.into()],
        )?;
        self.position = position;
        self.listed_users = listed_users;
        Ok(())
    }

    /// Whether the current request made the change of this number, in an earlier execution of the same call.
    pub fn is_own(&self, sql: &impl Sql, version: Version) -> Result<bool, SqlError> {
        let Some(request_id) = self.origin.request_id else { return Ok(false) };
        let select = "SELECT 1 FROM changes WHERE sequence = ? AND request_id = ?";
        sql.exists(select, &[version.sequence().into(), request_id.to_string().into()])
    }

    /// Writes the row of a change, in the transaction of the change. Returns its number as the new version of the
    /// record.
    pub fn append(
        &mut self,
        sql: &impl Sql,
        kind: impl Into<ChangeKind>,
        subject: &Subject,
        affected: Affected,
    ) -> Result<Version, SqlError> {
        let kind = kind.into();
        let Origin { actor, request_id, at } = self.origin;
        let sequence = self.next_sequence();
        let (user, with_relationships) = match affected {
            Affected::Nothing => (None, 0_i64),
            Affected::User(user) => (Some(user), i64::from(self.is_relisting)),
            Affected::UserAndRelationships(user) => (Some(user), 1),
        };
        let (actor, actor_id) = match actor {
            Actor::Key(key_id) => ("key", Some(key_id.to_string())),
            Actor::Operator(named) => ("operator", named.map(|named| named.to_string())),
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
                actor_id.into(),
                request_id.map(|request_id| request_id.to_string()).into(),
                subject.number.into(),
                subject.reference.as_str().into(),
                user.into(),
                with_relationships.into(),
            ],
        )?;
        self.last_sequence = sequence;
        if let ChangeKind::Event(_) = kind {
            self.last_event = sequence;
        }
        self.end_users = self.end_users.saturating_add(kind.growth());
        Ok(Version::of_sequence(sequence))
    }

    /// Writes the row of an event that follows from what a caller does, and that nobody has asked for.
    pub fn append_by_system(&mut self, sql: &impl Sql, kind: EventType, subject: &Subject) -> Result<(), SqlError> {
        let origin = self.origin;
        self.origin.actor = Actor::System;
        let appended = self.append(sql, kind, subject, Affected::Nothing);
        self.origin = origin;
        appended.map(drop)
    }

    /// Moves the acknowledgement of the listing forward, never back. Deletes the rows that only the listing needed.
    pub fn acknowledge(&mut self, sql: &impl Sql, position: ListingPosition) -> Result<(), SqlError> {
        let (before, sequence) = (self.acknowledged(), position.sequence);
        if sequence <= before {
            return Ok(());
        }
        let listed_users = self.listed_users.saturating_add(growth(sql, before, sequence)?);
        self.set_position(sql, position, listed_users)?;
        let newest = if guards::is_on(Guard::NewestChange) { self.last_sequence } else { i64::MAX };
        // The row at the earlier position may have been the newest one then.
        let [turn, repair, copies_changed] = ChangeKind::OF_LISTING.map(ChangeKind::into_str);
        sql.execute(
            "DELETE FROM changes WHERE sequence BETWEEN ? AND ? AND sequence < ? AND kind IN (?, ?, ?)",
            &[before.into(), sequence.into(), newest.into(), turn.into(), repair.into(), copies_changed.into()],
        )
    }
}
