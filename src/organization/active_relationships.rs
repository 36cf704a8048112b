//! The relationships that were active in a period: a set, so that a relationship counts once, however many turns it has.
//! [`super::quotas`] counts them.

use super::quotas::Period;
use super::sql::{Row, Sql, SqlError};
use crate::directory::timestamp::Timestamp;

/// How long a relationship stays in the set, from the start of the period on, in milliseconds: 100 days. It is longer than
/// a period by more than any clock errs.
pub const KEPT_MS: i64 = 100 * 24 * 60 * 60 * 1_000;

/// Most rows that one sweep removes.
const SWEEP_MAX: i64 = 500;

/// Whether the relationship of a user and an agent was active in a period. The user may not be made yet.
pub fn contains(sql: &impl Sql, period: Period, user: Option<i64>, agent: i64) -> Result<bool, SqlError> {
    let Some(user) = user else { return Ok(false) };
    let select = "SELECT 1 FROM active_relationships WHERE period_start = ? AND user = ? AND agent = ?";
    sql.exists(select, &[period.start.into(), user.into(), agent.into()])
}

/// Adds a relationship. Returns whether it is new in the period.
pub fn add(sql: &impl Sql, period_start: i64, user: i64, agent: i64) -> Result<bool, SqlError> {
    sql.exists(
        "INSERT INTO active_relationships (period_start, user, agent) VALUES (?, ?, ?)
         ON CONFLICT DO NOTHING RETURNING 1",
        &[period_start.into(), user.into(), agent.into()],
    )
}

/// Removes the relationships of periods that began [`KEPT_MS`] ago, at most [`SWEEP_MAX`]. Returns when the next one goes.
pub fn sweep(sql: &impl Sql, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    sql.execute(
        "DELETE FROM active_relationships WHERE (period_start, user, agent) IN
         (SELECT period_start, user, agent FROM active_relationships WHERE period_start <= ? ORDER BY period_start LIMIT ?)",
        &[now.millis().saturating_sub(KEPT_MS).into(), SWEEP_MAX.into()],
    )?;
    let oldest = sql.find("SELECT min(period_start) FROM active_relationships", &[], Row::optional_integer)?.flatten();
    Ok(oldest.map(|period_start| Timestamp::from_millis(period_start.saturating_add(KEPT_MS))))
}

/// Removes some users. `users` is a JSON list of row numbers.
pub fn purge_users(sql: &impl Sql, users: &str) -> Result<(), SqlError> {
    sql.execute("DELETE FROM active_relationships WHERE user IN (SELECT value FROM json_each(?))", &[users.into()])
}
