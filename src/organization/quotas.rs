//! What a tenant has used in its billing period.
//!
//! Invariant: the start of a period identifies its counters. So a new period starts at zero, and no job has to
//! run when it starts.

use chrono::{DateTime, Datelike, Months, NaiveTime, Utc};

use super::failure::Failure;
use super::protocol::{Rejection, Resource, Settings, Usage};
use super::sql::{Sql, SqlError};
use crate::directory::quota::Quota;
use crate::directory::timestamp::Timestamp;

/// A billing period: a month that begins on the organization's anchor day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// First instant of the period.
    pub start: Timestamp,
    /// First instant of the next period.
    pub end: Timestamp,
}

impl Period {
    /// The period that contains `now`.
    ///
    /// A period starts at 00:00 UTC on the anchor's day of the month, or on the last day of a month without such
    /// a day. Every period is counted from the anchor itself: so an anchor on the 31st does not become the 28th
    /// after a February.
    pub fn containing(anchor: Timestamp, now: Timestamp) -> Self {
        let anchor = midnight(anchor.to_utc());
        let today = now.to_utc();
        let months = i64::from(today.year())
            .saturating_sub(i64::from(anchor.year()))
            .saturating_mul(12)
            .saturating_add(i64::from(today.month()))
            .saturating_sub(i64::from(anchor.month()));
        // The period starts at this month's anniversary, or at last month's if this one is to come.
        let index = if start_of(anchor, months) > now { months.saturating_sub(1) } else { months };
        Self { start: start_of(anchor, index), end: start_of(anchor, index.saturating_add(1)) }
    }
}

fn midnight(instant: DateTime<Utc>) -> DateTime<Utc> {
    instant.with_time(NaiveTime::MIN).single().unwrap_or(instant)
}

fn start_of(anchor: DateTime<Utc>, months: i64) -> Timestamp {
    let count = Months::new(u32::try_from(months.unsigned_abs()).unwrap_or(u32::MAX));
    let moved = if months < 0 { anchor.checked_sub_months(count) } else { anchor.checked_add_months(count) };
    moved.map_or(Timestamp::from_millis(i64::MAX), Timestamp::from)
}

/// The metric of turns in `counters`.
pub const TURNS: &str = "turns";
/// The metric of active relationships in `counters`.
pub const ACTIVE_RELATIONSHIPS: &str = "active_relationships";

/// Adds to a counter of a period.
pub fn add(sql: &impl Sql, metric: &str, period_start_ms: i64, amount: i64) -> Result<(), SqlError> {
    sql.execute(
        "INSERT INTO counters (metric, period_start, value) VALUES (?, ?, ?)
         ON CONFLICT (metric, period_start) DO UPDATE SET value = value + excluded.value",
        &[metric.into(), period_start_ms.into(), amount.into()],
    )
}

/// The quota of the current period and what is used of it.
pub fn read(sql: &impl Sql, settings: &Settings, now: Timestamp) -> Result<Quota, SqlError> {
    let period = Period::containing(settings.anchor, now);
    let value = "(SELECT value FROM counters WHERE metric = ? AND period_start = ?)";
    let used = sql.find(
        &format!("SELECT coalesce({value}, 0), coalesce({value}, 0)"),
        &[TURNS.into(), period.start.into(), ACTIVE_RELATIONSHIPS.into(), period.start.into()],
        |row| Ok([row.integer()?, row.integer()?]),
    )?;
    let used = used.ok_or_else(|| SqlError("nothing was counted".to_owned()))?;
    let [turns_used, relationships_used] = used.map(|count| u64::try_from(count).unwrap_or_default());
    Ok(Quota {
        turns_used,
        turns_limit: settings.limits.turns_per_period,
        relationships_used,
        relationships_limit: settings.limits.active_relationships,
        resets_at: period.end,
    })
}

/// Answers with the quota of the current period.
pub fn usage(sql: &impl Sql, settings: Option<&Settings>, now: Timestamp) -> Result<Usage, Failure> {
    let settings = settings.ok_or(Rejection::NotFound(Resource::Organization))?;
    let period_start = Period::containing(settings.anchor, now).start;
    Ok(Usage { quota: read(sql, settings, now)?, period_start })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn period(anchor: &str, now: &str) -> (String, String) {
        let period = Period::containing(at(anchor), at(now));
        (period.start.to_string()[..10].to_owned(), period.end.to_string()[..10].to_owned())
    }

    #[test]
    fn periods_follow_the_anchor_day() {
        for (anchor, now, start, end) in [
            ("2026-01-15T17:00:00Z", "2026-01-15T17:00:00Z", "2026-01-15", "2026-02-15"),
            ("2026-01-15T17:00:00Z", "2026-02-14T23:59:59.999Z", "2026-01-15", "2026-02-15"),
            ("2026-01-15T17:00:00Z", "2026-02-15T00:00:00Z", "2026-02-15", "2026-03-15"),
            ("2026-01-31T00:00:00Z", "2026-02-27T12:00:00Z", "2026-01-31", "2026-02-28"),
            ("2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", "2026-02-28", "2026-03-31"),
            ("2026-01-31T00:00:00Z", "2026-04-30T00:00:00Z", "2026-04-30", "2026-05-31"),
            ("2024-01-30T00:00:00Z", "2024-02-29T00:00:00Z", "2024-02-29", "2024-03-30"),
            ("2024-02-29T00:00:00Z", "2025-02-28T00:00:00Z", "2025-02-28", "2025-03-29"),
            ("2025-12-31T23:00:00Z", "2026-12-31T00:00:00Z", "2026-12-31", "2027-01-31"),
        ] {
            assert_eq!(period(anchor, now), (start.to_owned(), end.to_owned()), "{anchor} {now}");
        }
    }

    #[test]
    fn every_instant_is_in_exactly_one_period() {
        for anchor_day in 0..62 {
            let anchor = Timestamp::from_millis((19_700 + anchor_day) * 86_400_000 + 12_345);
            let mut previous = Period::containing(anchor, anchor);
            assert!(previous.start <= anchor && anchor < previous.end);
            for hour in 0..(24 * 800) {
                let now = Timestamp::from_millis(anchor.millis() + hour * 3_600_000);
                let period = Period::containing(anchor, now);
                assert!(period.start <= now && now < period.end);
                assert!(period == previous || period.start == previous.end);
                previous = period;
            }
        }
    }
}
