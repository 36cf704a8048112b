//! The room that the quotas of a billing period leave for one more turn: the organization's, then the person's.
//!
//! Invariants:
//!
//! - At every moment `counted + reserved ≤ limit`: for the turns and the active relationships of an organization, and for
//!   the turns of each person. Only a limit that is lowered may be below what is counted and reserved; then nothing more
//!   is granted.
//! - A stateful turn counts for its person exactly when its answer is given ([`super::turns`]). It counts whether or not
//!   there is a limit, so a limit that is set in the middle of a period knows what was used.
//! - The organization's quotas are asked before the person's. So a turn for which both are used up is refused for the
//!   organization's.

use super::active_relationships;
use super::failure::Failure;
use super::protocol::{ReadUserUsage, Rejection, Resource, Settings, UserUsage};
use super::quotas::Period;
use super::sql::{Row, Sql, SqlError};
use super::user_row::UserRow;
use crate::directory::organization::Limits;
use crate::directory::quota::{Component, Quota};
use crate::directory::timestamp::Timestamp;

/// What the quotas of a period leave.
pub struct TurnQuotas<'a, S> {
    pub sql: &'a S,
    pub limits: Limits,
    pub period: Period,
    /// What is counted of the period.
    pub quota: Quota,
    pub now: Timestamp,
}

/// Which turns in progress take from a quota.
#[derive(Clone, Copy)]
struct Takers {
    /// Only turns that would make a relationship active.
    new_active_only: bool,
    /// Only turns of this user.
    user: Option<i64>,
}

// In a refusal `used` includes turns in progress, which are returned if they fail.
impl<S: Sql> TurnQuotas<'_, S> {
    /// Refuses a turn beyond the organization's.
    pub fn check_turns(&self) -> Result<(), Failure> {
        let turns_used = self.quota.turns_used.saturating_add(turns_reserved(self.sql, self.period, None, self.now)?);
        if turns_used < self.quota.turns_limit {
            return Ok(());
        }
        let shown = Quota { turns_used, ..self.quota };
        Err(self.over_quota(Component::Turns, shown)?.into())
    }

    /// Returns whether a turn would make a relationship active, and refuses it beyond the organization's active
    /// relationships. The user may not be made yet.
    pub fn check_active_relationship(&self, user: Option<i64>, agent: i64) -> Result<bool, Failure> {
        if active_relationships::contains(self.sql, self.period, user, agent)? {
            return Ok(false);
        }
        let reserved = self.relationships_reserved(user, agent)?;
        let relationships_used = self.quota.relationships_used.saturating_add(reserved);
        if relationships_used < self.quota.relationships_limit {
            return Ok(true);
        }
        let shown = Quota { relationships_used, ..self.quota };
        Err(self.over_quota(Component::ActiveRelationships, shown)?.into())
    }

    /// Refuses a turn beyond those of its person.
    pub fn check_turns_of(&self, row: &UserRow) -> Result<(), Failure> {
        let Some(limit) = self.limits.turns_of_user() else { return Ok(()) };
        let counted = row.turns.in_period(self.period.start);
        let used = counted.saturating_add(turns_reserved(self.sql, self.period, Some(row.number), self.now)?);
        if used < limit {
            return Ok(());
        }
        if counted >= limit {
            return Err(Rejection::OverUserQuota { used, limit, quota: self.quota }.into());
        }
        Err(self.reserved_by(Takers { new_active_only: false, user: Some(row.number) }, self.quota)?.into())
    }

    /// The rejection of a turn beyond the organization's quota. `shown` includes turns in progress.
    fn over_quota(&self, component: Component, shown: Quota) -> Result<Rejection, SqlError> {
        let (used, limit) = self.quota.of(component);
        if used >= limit {
            return Ok(Rejection::OverQuota { component, quota: shown });
        }
        let new_active_only = component == Component::ActiveRelationships;
        self.reserved_by(Takers { new_active_only, user: None }, shown)
    }

    /// The rejection of a turn for which turns in progress leave no room. Room comes when the oldest of them ends.
    fn reserved_by(&self, Takers { new_active_only, user }: Takers, shown: Quota) -> Result<Rejection, SqlError> {
        let oldest = self.sql.find(
            "SELECT min(expires_at) FROM ledger WHERE state = 'reserved' AND period_start = ?1 AND expires_at > ?2
             AND is_new_active >= ?3 AND (?4 IS NULL OR user = ?4)",
            &[self.period.start.into(), self.now.into(), i64::from(new_active_only).into(), user.into()],
            Row::optional_integer,
        )?;
        let retry_after_ms = oldest.flatten().map_or(0, |ends_at| ends_at.saturating_sub(self.now.millis()));
        Ok(Rejection::QuotaReserved { quota: shown, retry_after_ms })
    }

    /// How many relationships the turns in progress would make active, without this one.
    fn relationships_reserved(&self, user: Option<i64>, agent: i64) -> Result<u64, SqlError> {
        self.sql.count(
            "SELECT count(DISTINCT l.relationship) FROM ledger l JOIN relationships r ON r.number = l.relationship
             WHERE l.state = 'reserved' AND l.period_start = ?1 AND l.expires_at > ?2 AND l.is_new_active = 1
             AND NOT (r.user IS ?3 AND r.agent = ?4)
             AND NOT EXISTS (SELECT 1 FROM active_relationships a
                             WHERE a.period_start = ?1 AND a.user = r.user AND a.agent = r.agent)",
            &[self.period.start.into(), self.now.into(), user.into(), agent.into()],
        )
    }
}

/// How many turns are in progress: all of a period, or those of one user.
fn turns_reserved(sql: &impl Sql, period: Period, user: Option<i64>, now: Timestamp) -> Result<u64, SqlError> {
    sql.count(
        "SELECT count(*) FROM ledger WHERE state = 'reserved' AND period_start = ?1 AND expires_at > ?2
         AND (?3 IS NULL OR user = ?3)",
        &[period.start.into(), now.into(), user.into()],
    )
}

/// Answers with the turns of one user in the current period.
pub fn usage_of_user(
    sql: &impl Sql,
    settings: Option<&Settings>,
    read: &ReadUserUsage,
    now: Timestamp,
) -> Result<UserUsage, Failure> {
    let settings = settings.ok_or(Rejection::NotFound(Resource::Organization))?;
    let row = UserRow::find(sql, &read.user_id)?.ok_or(Rejection::NotFound(Resource::EndUser))?;
    let period = Period::containing(settings.anchor, now);
    Ok(UserUsage {
        used: row.turns.in_period(period.start),
        reserved: turns_reserved(sql, period, Some(row.number), now)?,
        limit: settings.limits.turns_of_user(),
        period_start: period.start,
        resets_at: period.end,
    })
}
