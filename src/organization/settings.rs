//! The stored settings of the organization: a copy of the operator's record in D1.

use super::protocol::Settings;
use super::sql::{Row, Sql, SqlError};
use crate::directory::identifiers::Tenant;
use crate::directory::organization::Limits;
use crate::json;

const COLUMNS: &str = "organization_id, mode, version, requests_per_second, burst, turns_per_period, \
                       active_relationships, anchor, edge_stale_s, end_users, storage_bytes, \
                       turns_per_user, record";

pub fn load(sql: &impl Sql) -> Result<Option<Settings>, SqlError> {
    sql.find(&format!("SELECT {COLUMNS} FROM settings WHERE one = 1"), &[], read)
}

fn read(row: &mut Row) -> Result<Settings, SqlError> {
    let tenant = Tenant { organization: row.parsed("organization id")?, mode: row.parsed("mode")? };
    let version = row.integer()?;
    let limits = Limits {
        requests_per_second: number(row.integer()?)?,
        burst: number(row.integer()?)?,
        turns_per_period: number(row.integer()?)?,
        active_relationships: number(row.integer()?)?,
        ..Limits::default()
    };
    let anchor = row.timestamp()?;
    let limits = Limits {
        edge_stale_s: number(row.integer()?)?,
        end_users: number(row.integer()?)?,
        storage_bytes: number(row.integer()?)?,
        turns_per_user: number(row.integer()?)?,
        ..limits
    };
    let record = row.optional_text()?.map(json::Text::parse).transpose();
    let record = record.map_err(|_| SqlError::corrupt("organization", "not JSON"))?;
    Ok(Settings { tenant, version, limits, anchor, record })
}

pub fn store(sql: &impl Sql, settings: &Settings) -> Result<(), SqlError> {
    let quota = |limit: u64| i64::try_from(limit).unwrap_or(i64::MAX);
    sql.execute(
        &format!("INSERT OR REPLACE INTO settings (one, {COLUMNS}) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
        &[
            settings.tenant.organization.to_string().into(),
            settings.tenant.mode.into_str().into(),
            settings.version.into(),
            i64::from(settings.limits.requests_per_second).into(),
            i64::from(settings.limits.burst).into(),
            quota(settings.limits.turns_per_period).into(),
            quota(settings.limits.active_relationships).into(),
            settings.anchor.into(),
            i64::from(settings.limits.edge_stale_s).into(),
            quota(settings.limits.end_users).into(),
            quota(settings.limits.storage_bytes).into(),
            quota(settings.limits.turns_per_user).into(),
            settings.record.as_ref().map(json::Text::as_str).into(),
        ],
    )
}

fn number<T: TryFrom<i64>>(value: i64) -> Result<T, SqlError> {
    value.try_into().map_err(|_| SqlError::corrupt("limit", "out of range"))
}
