//! The turns that a person has taken, by billing period, as the row of the user holds them.
//!
//! Invariants:
//!
//! - The row counts the two latest periods in which the person took a turn. So a turn that begins at the end of a period
//!   counts in it, although another one is counted in the next period first. And when the clock is set back by less than
//!   a period, the count is there again.
//! - The turns go with the row. A person who is made again under the same id begins at 0.

use serde::Serialize;

use super::sql::{Row, SqlError, SqlValue};
use crate::directory::timestamp::Timestamp;

/// How many turns a person has taken in one billing period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct PeriodTurns {
    period_start: Timestamp,
    used: u64,
}

/// How many turns a person has taken in the latest period with a turn, and in the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserTurns {
    latest: PeriodTurns,
    earlier: PeriodTurns,
}

impl UserTurns {
    /// Reads two columns for each period: its start, and the turns.
    pub fn read(row: &mut Row) -> Result<Self, SqlError> {
        Ok(Self { latest: PeriodTurns::read(row)?, earlier: PeriodTurns::read(row)? })
    }

    /// The columns that [`Self::read`] reads.
    pub fn columns(&self) -> [SqlValue<'static>; 4] {
        let turns = |period: PeriodTurns| i64::try_from(period.used).unwrap_or(i64::MAX).into();
        let Self { latest, earlier } = *self;
        [latest.period_start.into(), turns(latest), earlier.period_start.into(), turns(earlier)]
    }

    /// The periods in which the person has taken a turn, the latest first.
    pub fn periods(&self) -> impl Iterator<Item = PeriodTurns> + use<> {
        [self.latest, self.earlier].into_iter().filter(|period| period.used > 0)
    }

    /// How many turns the person has taken in a period.
    pub fn in_period(&self, period_start: Timestamp) -> u64 {
        self.periods().find(|period| period.period_start == period_start).map_or(0, |period| period.used)
    }

    /// Counts one more turn in a period. A turn from before the two latest periods is not counted, as no limit looks there.
    pub fn count(&mut self, period_start: Timestamp) {
        let new = PeriodTurns { period_start, used: 0 };
        if period_start > self.latest.period_start {
            self.earlier = std::mem::replace(&mut self.latest, new);
        } else if period_start < self.latest.period_start && period_start > self.earlier.period_start {
            self.earlier = new;
        }
        let mut periods = [&mut self.latest, &mut self.earlier].into_iter();
        if let Some(period) = periods.find(|period| period.period_start == period_start) {
            period.used = period.used.saturating_add(1);
        }
    }
}

impl PeriodTurns {
    fn read(row: &mut Row) -> Result<Self, SqlError> {
        let (period_start, used) = (row.timestamp()?, row.integer()?);
        let used = u64::try_from(used).map_err(|_| SqlError::corrupt("number of turns", "it is negative"))?;
        Ok(Self { period_start, used })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn start(period: i64) -> Timestamp {
        Timestamp::from_millis(period * 1_000)
    }

    fn none() -> UserTurns {
        UserTurns::read(&mut Row::new(vec![SqlValue::Integer(0); 4])).unwrap()
    }

    /// Turns end in any order at the turn of a period, and the clock may be set back: the two latest periods are exact.
    #[test]
    fn the_two_latest_periods_are_counted_exactly() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let (mut turns, mut expected, mut now) = (none(), BTreeMap::<i64, u64>::new(), 10);
            for _ in 0..40 {
                now += i64::from(random.u8(0..6) == 0) * random.i64(1..3);
                // A turn of the period before, which ends late.
                let period = if random.u8(0..3) == 0 { now - 1 } else { now };
                turns.count(start(period));
                *expected.entry(period).or_default() += 1;
                let latest: BTreeMap<i64, u64> = expected.iter().rev().take(2).map(|(at, used)| (*at, *used)).collect();
                for (period, used) in &latest {
                    assert_eq!(turns.in_period(start(*period)), *used, "{expected:?}");
                }
                assert_eq!(turns.in_period(start(now + 1)), 0);
                assert_eq!(turns.periods().count(), latest.len());
                let stored = UserTurns::read(&mut Row::new(turns.columns().to_vec()));
                assert_eq!(stored, Ok(turns), "it reads back");
            }
        }
    }

    #[test]
    fn a_period_that_is_over_for_long_is_not_counted() {
        let mut turns = none();
        for period in [5, 4, 3, 5] {
            turns.count(start(period));
        }
        assert_eq!([3, 4, 5].map(|period| turns.in_period(start(period))), [0, 1, 2]);
    }
}
