//! A user's row, and the record that it is.

use serde_json::value::RawValue;

use super::sql::{Row, Sql, SqlError};
use crate::directory::end_user::{EndUser, Revision, Status};
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;

/// The columns that [`read`] expects, in its order.
pub const COLUMNS: &str = "u.user_id, u.incarnation, u.version, u.state, u.display_name, u.metadata, \
                           u.created_at, u.updated_at, u.last_interaction_at";

/// Reads the columns named by [`COLUMNS`].
pub fn read(row: &mut Row) -> Result<(EndUser, Revision), SqlError> {
    let user_id = UserId::new(row.text()?).map_err(|error| SqlError::corrupt("user id", error))?;
    let revision = Revision { incarnation: row.integer()?, version: row.integer()? };
    let state = row.text()?;
    let status = [Status::Active, Status::DeletionPending]
        .into_iter()
        .find(|status| status.as_str() == state)
        .ok_or_else(|| SqlError::corrupt("user state", "no such state"))?;
    let display_name =
        row.optional_text()?.map(Name::new).transpose().map_err(|error| SqlError::corrupt("display name", error))?;
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
    Ok((user, revision))
}

/// The record as JSON, built once and passed on as text from here to the caller.
pub fn document(user: &EndUser) -> Result<Box<RawValue>, SqlError> {
    serde_json::value::to_raw_value(user).map_err(|error| SqlError::corrupt("user", error))
}

/// Looks a user up.
pub fn find<S: Sql>(sql: &S, user_id: &UserId) -> Result<Option<(EndUser, Revision)>, SqlError> {
    let row = sql.first(&format!("SELECT {COLUMNS} FROM users u WHERE u.user_id = ?"), &[user_id.as_str().into()])?;
    row.map(|mut row| read(&mut row)).transpose()
}
