//! The token bucket, as the generic cell rate algorithm (GCRA, ITU-T I.371).
//!
//! Invariants:
//!
//! - In **every** interval of length `t` at most `burst + rate·t` tokens are
//!   granted, whatever crashes, restarts and backward steps of the clock lie in
//!   it. (`t` is what the clock says has passed. A clock that is set back, then
//!   seen by a restart, then set forth again says more than really has: no one
//!   who has only that clock can know better.)
//! - `high_water ≥ tat`, and it is durable before the answer leaves. A bucket
//!   that starts from `tat = high_water` may grant less than it could, by at
//!   most [`Rate::chunk`] tokens, and never more.
//! - A refusal consumes nothing.
//!
//! A bucket kept only in memory forgets on every eviction what it granted; one
//! written on every request is bound by the disk. The high-water mark is written
//! once per chunk.
//!
//! Arithmetic is exact: time is counted in units of 1/rate of a microsecond, in
//! which a token lasts exactly 1,000,000 units at any rate.

use super::protocol::Admission;
use super::schema;
use super::sql::{Sql, SqlError};
use crate::directory::organization::Limits;
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};

/// Units that one token lasts.
const TOKEN: u128 = 1_000_000;
const HIGH_WATER: &str = "limiter_high_water_us";

/// What a bucket holds and how fast it refills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

impl Rate {
    /// Both are at least 1; a smaller number is read as 1.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: if per_second == 0 { 1 } else { per_second }, burst: if burst == 0 { 1 } else { burst } }
    }

    pub const fn per_second(self) -> u32 {
        self.per_second
    }

    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// Seconds in which an empty bucket fills, rounded up.
    pub const fn window_s(self) -> u32 {
        self.burst.div_ceil(self.per_second)
    }

    /// Tokens between two writes of the high-water mark: a tenth of the bucket,
    /// so that a restart is hardly felt and nine of ten requests write nothing.
    pub const fn chunk(self) -> u32 {
        self.burst.div_ceil(10)
    }

    const fn units_per_us(self) -> u128 {
        self.per_second as u128
    }

    const fn capacity(self) -> u128 {
        (self.burst as u128).saturating_mul(TOKEN)
    }

    fn units_at(self, us: i64) -> u128 {
        u128::try_from(us).unwrap_or_default().saturating_mul(self.units_per_us())
    }

    fn us_at_ceil(self, units: u128) -> i64 {
        i64::try_from(units.div_ceil(self.units_per_us())).unwrap_or(i64::MAX)
    }

    /// One step of GCRA: asks for `cost` tokens at `now_us`.
    pub fn take(self, tat: &mut Tat, now_us: i64, cost: u32) -> Decision {
        let now = self.units_at(now_us);
        let capacity = self.capacity();
        let start = tat.0.max(now);
        let end = start.saturating_add(u128::from(cost).saturating_mul(TOKEN));
        let needed = end.saturating_sub(now);
        let allowed = needed <= capacity;
        if allowed {
            tat.0 = end;
        }
        let debt = tat.0.saturating_sub(now);
        Decision {
            allowed,
            remaining: u32::try_from(capacity.saturating_sub(debt) / TOKEN).unwrap_or(u32::MAX),
            full_at_us: self.us_at_ceil(tat.0.max(now)),
            retry_after_us: if allowed { 0 } else { self.us_at_ceil(needed.saturating_sub(capacity)) },
        }
    }
}

impl From<Limits> for Rate {
    fn from(limits: Limits) -> Self {
        Self::new(limits.requests_per_second, limits.burst)
    }
}

/// Theoretical arrival time: when the bucket will be full again, in units of the
/// rate it belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tat(u128);

impl Tat {
    /// A bucket that is full at this instant.
    pub fn full_at(rate: Rate, us: i64) -> Self {
        Self(rate.units_at(us))
    }
}

/// The answer of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Whole tokens left after this request.
    pub remaining: u32,
    /// When the bucket is full again if nothing more is taken, microseconds since the epoch, rounded up.
    pub full_at_us: i64,
    /// How long until the same request is granted, in microseconds, rounded up; 0 when it was.
    pub retry_after_us: i64,
}

impl Decision {
    /// [`Decision::retry_after_us`] in the clock's own grain, rounded up.
    pub const fn retry_after_ms(&self) -> i64 {
        Timestamp::from_micros_ceil(self.retry_after_us).millis()
    }
}

impl Admission {
    pub fn new(rate: Rate, decision: &Decision, now: Timestamp) -> Self {
        let full_at = Timestamp::from_micros_ceil(decision.full_at_us);
        Self {
            per_second: rate.per_second(),
            burst: rate.burst(),
            window_s: rate.window_s(),
            remaining: decision.remaining,
            full_at,
            full_in_ms: full_at.millis().saturating_sub(now.millis()).max(0),
        }
    }
}

/// The bucket of one tenant, with its durable high-water mark.
#[derive(Debug)]
pub struct Limiter {
    rate: Rate,
    tat: Tat,
    high_water_us: i64,
    /// The latest instant seen: a clock that steps back is held here, so that
    /// stepping forth again refills nothing twice.
    last_us: i64,
}

impl Limiter {
    /// Starts from the high-water mark, wherever the clock stands: one that was
    /// set back finds an empty bucket until it is where it was.
    pub fn load<S: Sql>(sql: &S, rate: Rate, now: Timestamp) -> Result<Self, SqlError> {
        let high_water_us = if guards::is_on(Guard::HighWaterMark) { schema::read(sql, HIGH_WATER)? } else { 0 };
        Ok(Self { rate, tat: Tat(rate.units_at(high_water_us)), high_water_us, last_us: now.micros() })
    }

    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Asks for `cost` tokens, or for a whole bucket when it holds fewer: a request
    /// that no bucket could ever admit would be told to retry for ever.
    pub fn take<S: Sql>(&mut self, sql: &S, now: Timestamp, cost: u32) -> Result<Decision, SqlError> {
        let cost = cost.min(self.rate.burst);
        self.last_us = self.last_us.max(now.micros());
        let mut decision = self.rate.take(&mut self.tat, self.last_us, cost);
        if !decision.allowed {
            // A clock that was set back has to come up again first.
            let held_us = self.last_us.saturating_sub(now.micros());
            decision.retry_after_us = decision.retry_after_us.saturating_add(held_us);
        }
        if self.tat > Tat(self.rate.units_at(self.high_water_us)) {
            self.raise_high_water(sql)?;
        }
        Ok(decision)
    }

    /// Changes the limits. The debt stays as long as it was in time, but is at
    /// most a whole bucket of the new size. That is also the way out when a clock
    /// that ran ahead has left a mark far in the future: set the limits again.
    pub fn set_rate<S: Sql>(&mut self, sql: &S, rate: Rate, now: Timestamp) -> Result<(), SqlError> {
        self.last_us = now.micros();
        let tat_us = self.rate.us_at_ceil(self.tat.0);
        let empty = rate.units_at(self.last_us).saturating_add(rate.capacity());
        self.tat = Tat(rate.units_at(tat_us).min(empty));
        self.rate = rate;
        self.raise_high_water(sql)
    }

    /// Puts the mark one chunk ahead of the bucket.
    fn raise_high_water<S: Sql>(&mut self, sql: &S) -> Result<(), SqlError> {
        let ahead = u128::from(self.rate.chunk()).saturating_mul(TOKEN);
        self.high_water_us = self.rate.us_at_ceil(self.tat.0.saturating_add(ahead));
        schema::write(sql, HIGH_WATER, self.high_water_us)
    }
}
