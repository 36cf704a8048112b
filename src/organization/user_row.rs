//! The row of a user, and the record in it.

use super::change_log::{Affected, ChangeKind, Subject};
use super::failure::Failure;
use super::overwriting;
use super::protocol::Rejection;
use super::sql::{Row, Sql, SqlError, json_list};
use super::user_turns::UserTurns;
use super::writer::Writer;
use crate::directory::end_user::{EndUser, Status, Version};
use crate::directory::identifiers::DeletionId;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::principal::PrincipalId;
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};

/// The columns that [`UserRow::read`] reads, in this order.
pub const COLUMNS: &str = "u.number, u.principal_id, u.user_id, u.version, u.state, u.display_name, u.metadata, \
                           u.created_at, u.updated_at, u.last_interaction_at, u.turns_period, u.turns, \
                           u.earlier_period, u.earlier_turns";

/// The condition that a digest is one of some users'. Its first parameter is a JSON list of row numbers.
pub const DIGESTS: &str = "IN (SELECT digest FROM users WHERE number IN (SELECT value FROM json_each(?1)))";

/// A user as the object holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct UserRow {
    /// The number by which other tables name the user: that of the change that made the user.
    pub number: i64,
    pub principal_id: PrincipalId,
    pub user: EndUser,
    /// How many turns the person has taken. Records do not show them.
    pub turns: UserTurns,
}

impl UserRow {
    /// Reads the columns of [`COLUMNS`].
    pub fn read(row: &mut Row) -> Result<Self, SqlError> {
        Self::read_joined(row)?.ok_or_else(|| SqlError::corrupt("user", "it has no number"))
    }

    /// Reads the columns of [`COLUMNS`] after a left join; `None` when no user is joined.
    pub fn read_joined(row: &mut Row) -> Result<Option<Self>, SqlError> {
        let Some(number) = row.optional_integer()? else { return Ok(None) };
        let principal_id = row.parsed("principal id")?;
        let user_id = row.parsed("user id")?;
        let version = Version::of_sequence(row.integer()?);
        let status = row.parsed("user state")?;
        let display_name = row.optional_parsed("display name")?;
        let metadata = Metadata::from_stored(row.text()?).map_err(|error| SqlError::corrupt("metadata", error))?;
        let user = EndUser {
            user_id,
            display_name,
            metadata,
            status,
            version,
            created_at: row.timestamp()?,
            updated_at: row.timestamp()?,
            last_interaction_at: row.optional_timestamp()?,
        };
        Ok(Some(Self { number, principal_id, user, turns: UserTurns::read(row)? }))
    }

    /// Finds a user by id.
    pub fn find(sql: &impl Sql, user_id: &UserId) -> Result<Option<Self>, SqlError> {
        Self::of_digest(sql, &user_id.digest())
    }

    /// Finds a user by the digest of the id.
    pub fn of_digest(sql: &impl Sql, digest: &str) -> Result<Option<Self>, SqlError> {
        sql.find(&format!("SELECT {COLUMNS} FROM users u WHERE u.digest = ?"), &[digest.into()], Self::read)
    }

    /// Replaces the stored row in place, under the version that it has.
    pub fn store(&self, sql: &impl Sql) -> Result<(), SqlError> {
        overwrite(sql, &format!("[{}]", self.number))?;
        let user = &self.user;
        let [turns_period, turns, earlier_period, earlier_turns] = self.turns.columns();
        sql.execute(
            "UPDATE users SET user_id = ?2, version = ?3, state = ?4, display_name = ?5, metadata = ?6, updated_at = ?7,
             last_interaction_at = ?8, turns_period = ?9, turns = ?10, earlier_period = ?11, earlier_turns = ?12
             WHERE number = ?1",
            &[
                self.number.into(),
                user.user_id.as_str().into(),
                user.version.sequence().into(),
                user.status.into_str().into(),
                user.display_name.as_ref().map(Name::as_str).into(),
                user.metadata.as_str().into(),
                user.updated_at.into(),
                user.last_interaction_at.into(),
                turns_period,
                turns,
                earlier_period,
                earlier_turns,
            ],
        )
    }

    /// Finds a user by row number.
    pub fn of_number(sql: &impl Sql, number: i64) -> Result<Option<Self>, SqlError> {
        sql.find(&format!("SELECT {COLUMNS} FROM users u WHERE u.number = ?"), &[number.into()], Self::read)
    }

    /// Finds the users with these row numbers.
    pub fn of_numbers(sql: &impl Sql, numbers: &[i64]) -> Result<Vec<Self>, SqlError> {
        let select = format!("SELECT {COLUMNS} FROM users u WHERE u.number IN (SELECT value FROM json_each(?))");
        sql.list(&select, &[json_list(numbers)?.as_str().into()], Self::read)
    }

    /// Refuses a change of a user who is being erased, and names the receipt.
    pub fn check_takes_writes(&self, sql: &impl Sql) -> Result<(), Failure> {
        if !self.takes_no_write() {
            return Ok(());
        }
        Err(Rejection::DeletionPending { deletion_id: self.erased_by(sql)? }.into())
    }

    /// The erasure of a user who is being erased.
    pub fn erased_by(&self, sql: &impl Sql) -> Result<DeletionId, SqlError> {
        let select = "SELECT deletion_id FROM deletions WHERE user = ? AND cascade = 'all'";
        let deletion_id = sql.find(select, &[self.number.into()], |row| row.parsed("deletion id"))?;
        deletion_id.ok_or_else(|| SqlError("a user is being erased without a receipt".to_owned()))
    }

    /// Whether the user is being erased, and so takes no change.
    pub fn takes_no_write(&self) -> bool {
        self.user.status == Status::DeletionPending && guards::is_on(Guard::ErasureState)
    }

    /// Whether the change that made the user is their last one.
    pub fn is_untouched(&self) -> bool {
        self.user.version == Version::of_sequence(self.number)
    }

    /// The user as the subject of a change.
    pub fn subject(&self) -> Subject {
        Subject::new(self.number, self.principal_id)
    }

    /// Notes that the user took a turn. The record has a new version, but no caller updated it.
    pub fn interacted(&mut self, now: Timestamp) {
        self.user.last_interaction_at = Some(self.user.last_interaction_at.map_or(now, |last| last.max(now)));
    }

    /// Notes a caller's change.
    pub fn touch(&mut self, now: Timestamp) {
        // After the clock was set back, the record must not change before its creation.
        self.user.updated_at = now.max(self.user.updated_at);
    }

    /// Stores the changed record under a new version. A change of a relationship makes a version too, because
    /// readers see it with the user.
    pub fn store_changed(
        &mut self,
        writer: &mut Writer<'_, impl Sql>,
        kind: impl Into<ChangeKind>,
        affected: Affected,
    ) -> Result<(), SqlError> {
        let version = writer.append(kind, &self.subject(), affected)?;
        self.store_version(writer, version)
    }

    /// Stores the record under the version of a change that is in the log already.
    pub fn store_version(&mut self, writer: &mut Writer<'_, impl Sql>, version: Version) -> Result<(), SqlError> {
        self.user.version = version;
        self.store(writer.sql)?;
        writer.copies.change(writer.sql, self.number, version, writer.now)
    }
}

/// Overwrites the text about persons in rows, before the object replaces or deletes the rows. `numbers` is a JSON
/// list of row numbers.
pub fn overwrite(sql: &impl Sql, numbers: &str) -> Result<(), SqlError> {
    let columns = ["user_id", "display_name", "metadata"];
    let condition = "number IN (SELECT value FROM json_each(?))";
    overwriting::overwrite(sql, "users", &columns, condition, &[numbers.into()])
}
