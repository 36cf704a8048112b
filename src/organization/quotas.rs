//! What a tenant has used in its billing period.
//!
//! Invariants:
//!
//! - The start of a period identifies its counters. So a new period starts at zero, and no job has to run when it
//!   starts.
//! - What crosses the threshold of a quota writes the event of it in the same transaction. A period has each event once,
//!   also if the limit changes.

use chrono::{DateTime, Datelike, Months, NaiveTime, Utc};
use strum::VariantArray;

use super::change_log::{ChangeLog, Subject};
use super::failure::Failure;
use super::protocol::{Rejection, Resource, Settings, Usage};
use super::sql::{Row, Sql, SqlError};
use crate::directory::event::EventType;
use crate::directory::organization::Limits;
use crate::directory::quota::{Component, Quota};
use crate::directory::timestamp::Timestamp;

/// Who uses so much of a quota is warned, in per cent.
const WARNING_PERCENT: u64 = 80;

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

/// Counts one more of a component in a period, and writes the events of what this reaches.
pub fn count(
    sql: &impl Sql,
    log: &mut ChangeLog,
    limits: &Limits,
    component: Component,
    period_start: Timestamp,
) -> Result<(), SqlError> {
    let used = sql.find(
        "INSERT INTO counters (metric, period_start, value) VALUES (?, ?, 1)
         ON CONFLICT (metric, period_start) DO UPDATE SET value = value + 1 RETURNING value",
        &[component.into_str().into(), period_start.into()],
        Row::integer,
    )?;
    let used = u64::try_from(used.unwrap_or_default()).unwrap_or_default();
    announce(sql, log, component, period_start, used, limits.of(component))
}

/// Writes the events of what the quotas of the current period have reached under new limits.
pub fn announce_all(sql: &impl Sql, log: &mut ChangeLog, settings: &Settings, now: Timestamp) -> Result<(), SqlError> {
    let quota = read(sql, settings, now)?;
    let period_start = Period::containing(settings.anchor, now).start;
    Component::VARIANTS.iter().try_for_each(|component| {
        let (used, limit) = quota.of(*component);
        announce(sql, log, *component, period_start, used, limit)
    })
}

/// Writes the events of a quota of which so much is used, unless the period has had them.
fn announce(
    sql: &impl Sql,
    log: &mut ChangeLog,
    component: Component,
    period_start: Timestamp,
    used: u64,
    limit: u64,
) -> Result<(), SqlError> {
    let reached = [
        (EventType::QuotaWarning, "warning", used.saturating_mul(100) >= limit.saturating_mul(WARNING_PERCENT)),
        (EventType::QuotaExhausted, "exhausted", used >= limit),
    ];
    for (kind, name, is_reached) in reached {
        if used == 0 || !is_reached {
            continue;
        }
        let note =
            "INSERT INTO counters (metric, period_start, value) VALUES (?, ?, 1) ON CONFLICT DO NOTHING RETURNING 1";
        let metric = format!("{}.{name}", component.into_str());
        if sql.exists(note, &[metric.into(), period_start.into()])? {
            let subject = Subject::new(period_start.millis(), component.into_str());
            log.append_by_system(sql, kind, &subject)?;
        }
    }
    Ok(())
}

/// The quota of the current period and what is used of it.
pub fn read(sql: &impl Sql, settings: &Settings, now: Timestamp) -> Result<Quota, SqlError> {
    let period = Period::containing(settings.anchor, now);
    let (turns, relationships) = (Component::Turns.into_str(), Component::ActiveRelationships.into_str());
    let value = "(SELECT value FROM counters WHERE metric = ? AND period_start = ?)";
    let used = sql.find(
        &format!("SELECT coalesce({value}, 0), coalesce({value}, 0)"),
        &[turns.into(), period.start.into(), relationships.into(), period.start.into()],
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
    Ok(of_period(sql, settings, now)?)
}

/// What is used of the period that contains an instant.
pub fn of_period(sql: &impl Sql, settings: &Settings, instant: Timestamp) -> Result<Usage, SqlError> {
    let period_start = Period::containing(settings.anchor, instant).start;
    Ok(Usage { quota: read(sql, settings, instant)?, period_start })
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
