//! What the object knows of its organization: a copy of the admin's record,
//! which D1 holds.

use serde::{Deserialize, Serialize};

use super::sql::{Sql, SqlError};
use crate::directory::identifiers::Tenant;
use crate::directory::organization::Limits;
use crate::directory::timestamp::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub tenant: Tenant,
    /// The organization record's version: a higher one wins.
    pub version: i64,
    pub limits: Limits,
    /// When the organization was made; billing periods start on this day of the month.
    pub anchor: Timestamp,
}

impl Settings {
    pub fn load<S: Sql>(sql: &S) -> Result<Option<Self>, SqlError> {
        let Some(mut row) = sql.first("SELECT document FROM settings WHERE one = 1", &[])? else { return Ok(None) };
        serde_json::from_str(&row.text()?).map(Some).map_err(|error| SqlError::corrupt("settings", error))
    }

    pub fn store<S: Sql>(&self, sql: &S) -> Result<(), SqlError> {
        let document = serde_json::to_string(self).map_err(|error| SqlError::corrupt("settings", error))?;
        sql.run(
            "INSERT INTO settings (one, document) VALUES (1, ?)
             ON CONFLICT (one) DO UPDATE SET document = excluded.document",
            &[document.as_str().into()],
        )?;
        Ok(())
    }
}
