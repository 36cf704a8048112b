//! What the object knows of its organization: a copy of the admin's record,
//! which D1 holds.

use serde::{Deserialize, Serialize};

use super::sql::{Sql, SqlError};
use crate::directory::identifiers::{Mode, Tenant};
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

const COLUMNS: &str = "organization_id, mode, version, requests_per_second, burst, turns_per_period, \
                       active_relationships, anchor";

impl Settings {
    pub fn load<S: Sql>(sql: &S) -> Result<Option<Self>, SqlError> {
        let found = sql.first(&format!("SELECT {COLUMNS} FROM settings WHERE one = 1"), &[])?;
        let Some(mut row) = found else { return Ok(None) };
        let tenant = Tenant {
            organization: row.text()?.parse().map_err(|error| SqlError::corrupt("organization id", error))?,
            mode: row.text()?.parse().map_err(|error| SqlError::corrupt("mode", error))?,
        };
        let version = row.integer()?;
        let limits = Limits {
            requests_per_second: number(row.integer()?)?,
            burst: number(row.integer()?)?,
            turns_per_period: number(row.integer()?)?,
            active_relationships: number(row.integer()?)?,
        };
        Ok(Some(Self { tenant, version, limits, anchor: Timestamp::from_millis(row.integer()?) }))
    }

    pub fn store<S: Sql>(&self, sql: &S) -> Result<(), SqlError> {
        let quota = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
        sql.run(
            &format!("INSERT OR REPLACE INTO settings (one, {COLUMNS}) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)"),
            &[
                self.tenant.organization.to_string().as_str().into(),
                Mode::as_str(self.tenant.mode).into(),
                self.version.into(),
                i64::from(self.limits.requests_per_second).into(),
                i64::from(self.limits.burst).into(),
                quota(self.limits.turns_per_period).into(),
                quota(self.limits.active_relationships).into(),
                self.anchor.millis().into(),
            ],
        )?;
        Ok(())
    }
}

fn number<T: TryFrom<i64>>(value: i64) -> Result<T, SqlError> {
    value.try_into().map_err(|_| SqlError::corrupt("limit", "out of range"))
}
