//! The token bucket, as the generic cell rate algorithm (GCRA, ITU-T I.371).
//!
//! Invariants:
//!
//! - In **every** interval of length `t` the bucket grants at most `burst + rate·t` tokens, whatever crashes,
//!   restarts and backward steps of the clock the interval contains. (`t` is the time that passed by the object's
//!   clock. Suppose that the clock steps back, the object restarts, and the clock steps forth: then the clock
//!   shows more time than has passed, and the object has no other clock.)
//! - **Leases are included.** A lease hands tokens to an edge, which may admit a request with each until the lease
//!   lapses. So until then its tokens count as out: the bucket's debt and what is out are together at most the burst.
//!   When the lapse comes the tokens become debt, as if all had been used at that instant. What an interval admits at
//!   most is what was charged in it, and what is out at its end; the debt at its end is at least what was charged, less
//!   `rate·t`.
//! - `high_water ≥ tat`, and the mark is durable before the reply leaves. A bucket that starts from `tat =
//!   high_water` grants at most [`Rate::chunk`] tokens less than it could, and never more.
//! - A refusal takes no token.
//!
//! - An object that starts while leases may be out, or lapsed a moment ago, counts as many tokens as out for
//!   [`OUT_AFTER_START_MS`] as the mark says. The mark is at least what is out, and durable before a lease leaves.
//!
//! A bucket that is only in memory forgets its grants on every eviction. A bucket that is written on every
//! request is as slow as the disk. So the object writes the high-water mark once per chunk.
//!
//! The arithmetic is exact. Its unit of time is 1/rate of a microsecond: a token lasts exactly 1,000,000 units at
//! any rate.

use super::protocol::Admission;
use super::schema;
use super::sql::{Sql, SqlError};
use crate::directory::organization::Limits;
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};

/// The number of units that one token lasts.
const TOKEN: u128 = 1_000_000;
const HIGH_WATER: &str = "limiter_high_water_us";
/// Until when an object that starts must expect that leases are out, in microseconds.
const LEASED_UNTIL: &str = "limiter_leased_until_us";
/// How many tokens an object that starts must expect to be out.
const LEASED_TOKENS: &str = "limiter_leased_tokens";
/// How far ahead the object writes that mark, in microseconds, so that it writes it once a minute.
const LEASED_AHEAD_US: i64 = 60_000_000;
/// The longest lease, in milliseconds, and so how long an object that starts waits for leases that it does not know.
pub const OUT_AFTER_START_MS: i64 = 5_000;
/// A lease has at most this part of the bucket.
const LEASE_PARTS: u32 = 20;
/// Most leases that are out. With more, an edge asks for each token.
const LEASES_MAX: usize = 64;

/// The size of a bucket and the rate at which it refills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

impl Rate {
    /// Both are at least 1: a 0 becomes a 1.
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

    /// Tokens between two writes of the high-water mark: a tenth of the bucket. So a restart costs at most a
    /// tenth, and one request of a chunk writes.
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
        self.take_beside(tat, now_us, cost, 0)
    }

    /// The same while so many tokens are out.
    fn take_beside(self, tat: &mut Tat, now_us: i64, cost: u32, out: u32) -> Decision {
        let now = self.units_at(now_us);
        let capacity = self.capacity().saturating_sub(u128::from(out).saturating_mul(TOKEN));
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

    /// The bucket after tokens have lapsed at an instant, as if all had been used then.
    fn lapse(self, tat: Tat, lapses_us: i64, tokens: u32) -> Tat {
        Tat(tat.0.max(self.units_at(lapses_us)).saturating_add(u128::from(tokens).saturating_mul(TOKEN)))
    }
}

impl From<Limits> for Rate {
    fn from(limits: Limits) -> Self {
        Self::new(limits.requests_per_second, limits.burst)
    }
}

/// Theoretical arrival time: when the bucket is full again, in units of its rate.
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
    /// When the bucket is full again if no request takes a token until then, in microseconds since the epoch,
    /// rounded up.
    pub full_at_us: i64,
    /// Microseconds until the bucket grants the same request, rounded up; 0 when it did.
    pub retry_after_us: i64,
}

impl Decision {
    /// [`Decision::retry_after_us`] in milliseconds, the unit of the clock, rounded up.
    pub const fn retry_after_ms(&self) -> i64 {
        Timestamp::from_micros_ceil(self.retry_after_us).millis()
    }
}

impl Admission {
    /// The state of a bucket after a decision.
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

/// Tokens that an edge has, and when they lapse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Out {
    lapses_us: i64,
    tokens: u32,
}

/// The bucket of one tenant, with its durable high-water mark.
#[derive(Debug)]
pub struct Limiter {
    rate: Rate,
    tat: Tat,
    high_water_us: i64,
    /// In the order in which they lapse.
    out: Vec<Out>,
    leased_until_us: i64,
    leased_tokens: u32,
    /// The latest instant that the clock showed. While the clock is behind it, the bucket uses this instant, so
    /// that a clock that steps forth again refills no token twice.
    last_us: i64,
}

impl Limiter {
    /// Starts from the high-water mark. After the clock was set back, the bucket is empty until the clock reaches
    /// the mark again.
    pub fn load<S: Sql>(sql: &S, rate: Rate, now: Timestamp) -> Result<Self, SqlError> {
        let high_water_us = if guards::is_on(Guard::HighWaterMark) { schema::read(sql, HIGH_WATER)? } else { 0 };
        let leased_until_us = if guards::is_on(Guard::LeasesAfterStart) { schema::read(sql, LEASED_UNTIL)? } else { 0 };
        let leased_tokens = u32::try_from(schema::read(sql, LEASED_TOKENS)?).unwrap_or(u32::MAX);
        let lapses_us = now.micros().saturating_add(OUT_AFTER_START_MS.saturating_mul(1_000));
        let is_out = now.micros() < leased_until_us;
        let out = is_out.then_some(Out { lapses_us, tokens: leased_tokens }).into_iter().collect();
        let tat = Tat(rate.units_at(high_water_us));
        Ok(Self { rate, tat, high_water_us, out, leased_until_us, leased_tokens, last_us: now.micros() })
    }

    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Asks for `cost` tokens, or for a whole bucket when it holds fewer: a request that costs more would wait
    /// for ever.
    pub fn take<S: Sql>(&mut self, sql: &S, now: Timestamp, cost: u32) -> Result<Decision, SqlError> {
        let cost = cost.min(self.rate.burst);
        self.advance(now);
        let out = self.out_tokens();
        let mut decision = self.rate.take_beside(&mut self.tat, self.last_us, cost, out);
        if !self.out.is_empty() {
            self.foresee(&mut decision, cost);
        }
        if !decision.allowed {
            // A clock that was set back first has to reach its latest instant again.
            let held_us = self.last_us.saturating_sub(now.micros());
            decision.retry_after_us = decision.retry_after_us.saturating_add(held_us);
        }
        self.keep_high_water(sql)?;
        Ok(decision)
    }

    /// Hands out tokens for a lease that lasts so long: as many as are wanted, at most a twentieth of the bucket, and
    /// none that would leave less than half of the bucket. Returns how many.
    pub fn lease<S: Sql>(&mut self, sql: &S, now: Timestamp, wanted: u32, lasts_ms: i64) -> Result<u32, SqlError> {
        self.advance(now);
        let debt = self.tat.0.saturating_sub(self.rate.units_at(self.last_us)).div_ceil(TOKEN);
        let half = u128::from(self.rate.burst / 2);
        let room = half.saturating_sub(debt).saturating_sub(u128::from(self.out_tokens()));
        let tokens = wanted.min(self.rate.burst / LEASE_PARTS).min(u32::try_from(room).unwrap_or(u32::MAX));
        if tokens == 0 || self.out.len() >= LEASES_MAX {
            return Ok(0);
        }
        let lapses_us = self.last_us.saturating_add(lasts_ms.min(OUT_AFTER_START_MS).saturating_mul(1_000));
        if guards::is_on(Guard::LeasedTokens) {
            let place = self.out.partition_point(|out| out.lapses_us <= lapses_us);
            self.out.insert(place, Out { lapses_us, tokens });
        }
        self.keep_leased(sql)?;
        self.keep_high_water(sql)?;
        Ok(tokens)
    }

    /// Moves to an instant. What has lapsed until then becomes debt.
    fn advance(&mut self, now: Timestamp) {
        self.last_us = self.last_us.max(now.micros());
        let lapsed = self.out.partition_point(|out| out.lapses_us <= self.last_us);
        for Out { lapses_us, tokens } in self.out.drain(..lapsed) {
            self.tat = self.rate.lapse(self.tat, lapses_us, tokens);
        }
    }

    fn out_tokens(&self) -> u32 {
        self.out.iter().fold(0, |sum, out| sum.saturating_add(out.tokens))
    }

    /// Keeps the mark at least as high as what is out, until a bucket of debt has drained after the last lapse: if the
    /// object ends before it has noted the lapse, only the mark knows of it. The mark is set some way ahead, so that a
    /// lease seldom writes it.
    fn keep_leased<S: Sql>(&mut self, sql: &S) -> Result<(), SqlError> {
        let Some(last) = self.out.last() else { return Ok(()) };
        let tokens = self.out_tokens();
        let debt = self.rate.capacity().saturating_add(u128::from(tokens).saturating_mul(TOKEN));
        let until_us = last.lapses_us.saturating_add(self.rate.us_at_ceil(debt));
        if tokens <= self.leased_tokens && until_us <= self.leased_until_us {
            return Ok(());
        }
        self.leased_tokens = tokens.saturating_mul(2).min(self.rate.burst / 2).max(tokens);
        self.leased_until_us = until_us.saturating_add(LEASED_AHEAD_US);
        schema::write(sql, LEASED_TOKENS, i64::from(self.leased_tokens))?;
        schema::write(sql, LEASED_UNTIL, self.leased_until_us)
    }

    /// Corrects what a decision says of the time to come: what is out becomes debt when it lapses.
    fn foresee(&self, decision: &mut Decision, cost: u32) {
        let capacity = self.rate.capacity();
        let wanted = u128::from(cost).saturating_mul(TOKEN);
        let (mut tat, mut out_tokens) = (self.tat, self.out_tokens());
        let mut granted_us = None;
        let mut begin_us = self.last_us;
        for out in self.out.iter().map(Some).chain([None]) {
            let room = capacity.saturating_sub(u128::from(out_tokens).saturating_mul(TOKEN));
            if let (None, Some(room)) = (granted_us, room.checked_sub(wanted)) {
                let at_us = self.rate.us_at_ceil(tat.0.saturating_sub(room)).max(begin_us);
                granted_us = out.is_none_or(|out| at_us < out.lapses_us).then_some(at_us);
            }
            if let Some(Out { lapses_us, tokens }) = out {
                tat = self.rate.lapse(tat, *lapses_us, *tokens);
                out_tokens = out_tokens.saturating_sub(*tokens);
                begin_us = *lapses_us;
            }
        }
        decision.full_at_us = self.rate.us_at_ceil(tat.0).max(self.last_us);
        if let (false, Some(granted_us)) = (decision.allowed, granted_us) {
            decision.retry_after_us = granted_us.saturating_sub(self.last_us);
        }
    }

    /// Changes the limits. The debt lasts as long as before, but is at most a whole bucket of the new size. So
    /// the operator can set the limits again when a clock that ran ahead has left a mark far in the future.
    pub fn set_rate<S: Sql>(&mut self, sql: &S, rate: Rate, now: Timestamp) -> Result<(), SqlError> {
        // What is out stays out.
        self.advance(now);
        self.last_us = now.micros();
        let last_us = self.last_us.saturating_add(OUT_AFTER_START_MS.saturating_mul(1_000));
        for out in &mut self.out {
            out.lapses_us = out.lapses_us.min(last_us);
        }
        let tat_us = self.rate.us_at_ceil(self.tat.0);
        let empty = rate.units_at(self.last_us).saturating_add(rate.capacity());
        self.tat = Tat(rate.units_at(tat_us).min(empty));
        self.rate = rate;
        self.keep_leased(sql)?;
        self.raise_high_water(sql)
    }

    fn keep_high_water<S: Sql>(&mut self, sql: &S) -> Result<(), SqlError> {
        if self.tat > Tat(self.rate.units_at(self.high_water_us)) { self.raise_high_water(sql) } else { Ok(()) }
    }

    /// Sets the mark one chunk ahead of the bucket.
    fn raise_high_water<S: Sql>(&mut self, sql: &S) -> Result<(), SqlError> {
        let ahead = u128::from(self.rate.chunk()).saturating_mul(TOKEN);
        self.high_water_us = self.rate.us_at_ceil(self.tat.0.saturating_add(ahead));
        schema::write(sql, HIGH_WATER, self.high_water_us)
    }
}
