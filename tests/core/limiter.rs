//! The bucket against an oracle that counts tokens instead of arrival times.

use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::limiter::{Decision, Limiter, Rate, Tat};
use rollcall::organization::sql::Sql;

use crate::sqlite::Sqlite;

const STEPS: usize = 1_000_000;
const START_US: i64 = 1_700_000_000_000_000;

/// A textbook token bucket: it holds tokens and refills. It counts millionths of a token, so that any whole rate
/// refills a whole number per microsecond.
struct Oracle {
    rate: i128,
    capacity: i128,
    tokens: i128,
    at_us: i64,
}

impl Oracle {
    fn full(rate: Rate, at_us: i64) -> Self {
        let capacity = i128::from(rate.burst()) * 1_000_000;
        Self { rate: i128::from(rate.per_second()), capacity, tokens: capacity, at_us }
    }

    fn take(&mut self, now_us: i64, cost: u32) -> Decision {
        self.tokens = (self.tokens + i128::from(now_us - self.at_us) * self.rate).min(self.capacity);
        self.at_us = now_us;
        let price = i128::from(cost) * 1_000_000;
        let allowed = self.tokens >= price;
        if allowed {
            self.tokens -= price;
        }
        let wait = |missing: i128| i64::try_from((missing + self.rate - 1) / self.rate).expect("a short wait");
        Decision {
            allowed,
            remaining: u32::try_from(self.tokens / 1_000_000).expect("no more than the burst"),
            full_at_us: now_us + wait(self.capacity - self.tokens),
            retry_after_us: if allowed { 0 } else { wait(price - self.tokens) },
        }
    }
}

/// Reports after each grant whether some interval that ends there holds more than `burst + rate·t`. A leaky bucket
/// that overflows is the same statement about all those intervals at once.
pub struct Bound {
    rate: i128,
    capacity: i128,
    level: i128,
    at_us: i64,
}

impl Bound {
    pub fn new(rate: Rate, at_us: i64) -> Self {
        let capacity = i128::from(rate.burst()) * 1_000_000;
        Self { rate: i128::from(rate.per_second()), capacity, level: 0, at_us }
    }

    pub fn grant(&mut self, now_us: i64, cost: u32) -> bool {
        self.level = (self.level - i128::from(now_us - self.at_us) * self.rate).max(0) + i128::from(cost) * 1_000_000;
        self.at_us = now_us;
        self.level <= self.capacity
    }
}

fn random_rate(random: &mut fastrand::Rng) -> Rate {
    // Rounding errors show with rates that do not divide a million.
    let per_second = *random.choice(&[1, 2, 3, 7, 50, 60, 99, 100, 1_000, 9_999]).expect("a rate");
    Rate::new(per_second, random.u32(1..=300))
}

#[test]
fn every_answer_is_the_oracles() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut refused = 0;
    let mut steps = 0;
    while steps < STEPS {
        let rate = random_rate(&mut random);
        let (mut tat, mut oracle, mut bound) =
            (Tat::default(), Oracle::full(rate, START_US), Bound::new(rate, START_US));
        let mut now_us = START_US;
        let token_us = i64::from(1_000_000 / rate.per_second());
        for _ in 0..10_000 {
            now_us += match random.u8(0..10) {
                0..5 => 0,
                5..9 => random.i64(0..=2 * token_us),
                _ => random.i64(0..=token_us * i64::from(rate.burst())),
            };
            let cost = if random.u8(0..10) == 0 { random.u32(0..=rate.burst()) } else { 1 };
            let before = tat;
            let decision = rate.take(&mut tat, now_us, cost);
            assert_eq!(decision, oracle.take(now_us, cost), "seed {seed}, {rate:?}, step {steps}");
            if decision.allowed {
                assert!(bound.grant(now_us, cost), "seed {seed}, {rate:?}, step {steps}");
            } else {
                refused += 1;
                assert_eq!(tat, before, "a refusal consumes nothing");
                let at = |us: i64| rate.take(&mut tat.clone(), now_us + us, cost).allowed;
                assert!(at(decision.retry_after_us), "seed {seed}: a retry succeeds then");
                assert!(!at(decision.retry_after_us - 1), "seed {seed}: and no microsecond before");
                assert!(at(decision.retry_after_ms() * 1_000));
                assert!(!at((decision.retry_after_ms() - 1) * 1_000), "nor a millisecond");
            }
            steps += 1;
        }
    }
    println!("{steps} steps, {refused} refused, every answer the oracle's");
}

/// With restarts at any moment and a clock that is set back and forth, grants never exceed the bound. Time passes
/// only while the clock moves beyond the latest instant that the running process has seen. A clock that goes back
/// and returns adds no time, unless a restart in between has forgotten that instant.
#[test]
fn the_bound_holds_through_restarts_and_clock_steps() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut restarts, mut granted, mut writes) = (0_u32, 0_u32, 0_u32);
    for _ in 0..50 {
        let rate = random_rate(&mut random);
        let sql = Sqlite::new();
        sql.run("CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID", &[])
            .expect("a table");
        let start_ms = START_US / 1_000;
        let (mut now_ms, mut behind_ms) = (start_ms, 0);
        let mut bound = Bound::new(rate, 0);
        let (mut seen_ms, mut elapsed_ms) = (now_ms, 0);
        let mut limiter = Limiter::load(&sql, rate, Timestamp::from_millis(now_ms)).expect("a limiter");
        for step in 0..20_000 {
            now_ms += if random.bool() { 0 } else { random.i64(0..=3_000 / i64::from(rate.per_second()) + 1) };
            match random.u16(0..1_000) {
                0..3 => behind_ms = random.i64(0..=120_000),
                3..20 => behind_ms = 0,
                _ => {}
            }
            let clock_ms = now_ms - behind_ms;
            elapsed_ms += (clock_ms - seen_ms).max(0);
            seen_ms = seen_ms.max(clock_ms);
            let clock = Timestamp::from_millis(clock_ms);
            if random.u8(0..50) == 0 {
                limiter = Limiter::load(&sql, rate, clock).expect("a limiter");
                seen_ms = clock_ms;
                restarts += 1;
            }
            let mark = high_water(&sql);
            if limiter.take(&sql, clock, 1).expect("an answer").allowed {
                assert!(bound.grant(elapsed_ms * 1_000, 1), "seed {seed}, {rate:?}, step {step}");
                granted += 1;
            }
            writes += u32::from(high_water(&sql) != mark);
        }
    }
    println!("{restarts} restarts, {granted} granted, {writes} writes of the high-water mark, never above the bound");
    assert!(writes < granted / 2);
}

#[test]
fn a_restart_takes_at_most_a_chunk() {
    let rate = Rate::new(50, 100);
    let sql = Sqlite::new();
    sql.run("CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID", &[]).expect("a table");
    let now = Timestamp::from_millis(START_US / 1_000);
    let mut limiter = Limiter::load(&sql, rate, now).expect("a limiter");
    let before = limiter.take(&sql, now, 1).expect("an answer").remaining;
    for _ in 0..10 {
        limiter = Limiter::load(&sql, rate, now).expect("a limiter");
    }
    let after = limiter.take(&sql, now, 0).expect("an answer").remaining;
    assert!(before - after <= rate.chunk(), "{before} {after}");
}

fn high_water(sql: &Sqlite) -> i64 {
    let row = sql.first("SELECT coalesce(max(value), 0) FROM state", &[]).expect("a mark");
    row.expect("a row").integer().expect("a number")
}
