//! The row of a user, and the record in it.

use super::overwriting;
use super::sql::{Row, Sql, SqlError};
use crate::directory::end_user::{EndUser, Revision, Status};
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};
use crate::json;

/// The columns that [`UserRow::read`] reads, in this order.
pub const COLUMNS: &str = "u.number, u.user_id, u.incarnation, u.version, u.state, u.display_name, u.metadata, \
                           u.created_at, u.updated_at, u.last_interaction_at";

/// A user as the object holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct UserRow {
    /// The number by which other tables name the user. SQLite may use it again after the user is
    /// erased.
    pub number: i64,
    pub revision: Revision,
    pub user: EndUser,
}

impl UserRow {
    /// Reads the columns of [`COLUMNS`].
    pub fn read(row: &mut Row) -> Result<Self, SqlError> {
        let number = row.integer()?;
        let user_id = UserId::new(row.text()?).map_err(|error| SqlError::corrupt("user id", error))?;
        let revision = Revision { incarnation: row.integer()?, version: row.integer()? };
        let state = row.text()?;
        let status = [Status::Active, Status::DeletionPending]
            .into_iter()
            .find(|status| status.as_str() == state)
            .ok_or_else(|| SqlError::corrupt("user state", "no such state"))?;
        let display_name = row
            .optional_text()?
            .map(Name::new)
            .transpose()
            .map_err(|error| SqlError::corrupt("display name", error))?;
        let metadata = Metadata::from_stored(row.text()?).map_err(|error| SqlError::corrupt("metadata", error))?;
        let user = EndUser {
            user_id,
            display_name,
            metadata,
            status,
            version: revision.version,
            created_at: Timestamp::from_millis(row.integer()?),
            updated_at: Timestamp::from_millis(row.integer()?),
            last_interaction_at: row.optional_integer()?.map(Timestamp::from_millis),
        };
        Ok(Self { number, revision, user })
    }

    /// Finds a user by id.
    pub fn find<S: Sql>(sql: &S, user_id: &UserId) -> Result<Option<Self>, SqlError> {
        let select = format!("SELECT {COLUMNS} FROM users u WHERE u.digest = ?");
        let row = sql.first(&select, &[user_id.digest().as_str().into()])?;
        row.map(|mut row| Self::read(&mut row)).transpose()
    }

    /// Replaces the stored record.
    pub fn store<S: Sql>(&self, sql: &S) -> Result<(), SqlError> {
        overwrite(sql, &format!("[{}]", self.number))?;
        let user = &self.user;
        sql.run(
            "UPDATE users SET user_id = ?2, version = ?3, state = ?4, display_name = ?5, metadata = ?6, updated_at = ?7,
             last_interaction_at = ?8 WHERE number = ?1",
            &[
                self.number.into(),
                user.user_id.as_str().into(),
                user.version.into(),
                user.status.as_str().into(),
                user.display_name.as_ref().map(Name::as_str).into(),
                user.metadata.as_str().into(),
                user.updated_at.millis().into(),
                user.last_interaction_at.map(Timestamp::millis).into(),
            ],
        )?;
        Ok(())
    }

    /// Finds a user by row number.
    pub fn of_number<S: Sql>(sql: &S, number: i64) -> Result<Option<Self>, SqlError> {
        let row = sql.first(&format!("SELECT {COLUMNS} FROM users u WHERE u.number = ?"), &[number.into()])?;
        row.map(|mut row| Self::read(&mut row)).transpose()
    }

    /// Whether the user is being erased, and so takes no change.
    pub fn takes_no_write(&self) -> bool {
        self.user.status == Status::DeletionPending && guards::is_on(Guard::ErasureState)
    }

    /// Makes a new version. A change of a relationship makes one too, because readers see it with
    /// the user.
    pub fn renew(&mut self) {
        self.revision.version = self.revision.version.saturating_add(1);
        self.user.version = self.revision.version;
    }

    /// Notes that the user took a turn. The record has a new version, but no caller updated it.
    pub fn interacted(&mut self, now: Timestamp) {
        self.renew();
        self.user.last_interaction_at = Some(self.user.last_interaction_at.map_or(now, |last| last.max(now)));
    }

    /// Makes a new version for a caller's change.
    pub fn touch(&mut self, now: Timestamp) {
        self.renew();
        // After the clock was set back, the record must not change before its creation.
        self.user.updated_at = now.max(self.user.updated_at);
    }

    /// The record as JSON text. The edge passes this text on to the caller.
    pub fn document(&self) -> Result<json::Text, SqlError> {
        document(&self.user)
    }
}

/// A record as JSON text.
pub fn document(user: &EndUser) -> Result<json::Text, SqlError> {
    json::Text::of(user).map_err(|error| SqlError::corrupt("user", error))
}

/// Overwrites the text about persons in rows, before the object replaces or deletes the rows.
/// `numbers` is a JSON list of row numbers.
pub fn overwrite<S: Sql>(sql: &S, numbers: &str) -> Result<(), SqlError> {
    let [user_id, display_name, metadata] = ["user_id", "display_name", "metadata"].map(overwriting::blank);
    sql.run(
        &format!(
            "UPDATE users SET {user_id}, {display_name}, {metadata}
             WHERE number IN (SELECT value FROM json_each(?))"
        ),
        &[numbers.into()],
    )?;
    Ok(())
}
