//! The bucket with leases, over random histories: takes of any cost, leases of any length, restarts, and a clock that is
//! set back and forth.
//!
//! - **No window holds more than `burst + rate·t`**, with every token of a lease that might be used in it. An edge may
//!   use the tokens of a lease at any moment until the lease lapses. So the check is about every window and every choice
//!   of those moments.
//! - **A refusal says when the same request succeeds**: not a millisecond earlier, and then for certain.
//!
//! Time is what the object's clock shows beyond the latest instant that the running process has seen.

use rollcall::directory::timestamp::Timestamp;
use rollcall::guards::Guard;
use rollcall::organization::limiter::{Decision, Limiter, OUT_AFTER_START_MS, Rate};

use crate::simulation::guards::is_proven_by;
use crate::simulation::tally::Tally;
use crate::simulation::{Violation, ensure};
use crate::sqlite::Sqlite;

const HISTORIES: u64 = 1_000;
const STEPS: usize = 150;
const START_MS: i64 = 1_700_000_000_000;
/// Events that a run must contain.
const CERTAIN: [&str; 6] = ["leases given", "leases refused", "restarts", "takes granted", "takes refused", "probes"];

/// Tokens that are used at some moment between two, in microseconds.
struct Span {
    begin_us: i64,
    end_us: i64,
    tokens: u32,
}

struct Life {
    random: fastrand::Rng,
    rate: Rate,
    sql: Sqlite,
    limiter: Limiter,
    /// The true time, and how far the object's clock is behind it.
    true_ms: i64,
    behind_ms: i64,
    /// The latest instant that the running process has seen, and the time that has passed by that measure.
    seen_ms: i64,
    elapsed_ms: i64,
    spans: Vec<Span>,
    tally: Tally,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let per_second = *random.choice(&[1, 3, 7, 50, 99, 1_000]).expect("a rate");
        // With fewer than 20 tokens there is no lease.
        let rate = Rate::new(per_second, random.u32(20..=600));
        let sql = Sqlite::new();
        sql.execute("CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID");
        let limiter = Limiter::load(&sql, rate, Timestamp::from_millis(START_MS)).expect("a limiter");
        Self {
            random,
            rate,
            sql,
            limiter,
            true_ms: START_MS,
            behind_ms: 0,
            seen_ms: START_MS,
            elapsed_ms: 0,
            spans: Vec::new(),
            tally: Tally::default(),
        }
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_millis(self.true_ms - self.behind_ms)
    }

    fn pass(&mut self, millis: i64) {
        self.true_ms += millis;
        let clock_ms = self.clock().millis();
        self.elapsed_ms += (clock_ms - self.seen_ms).max(0);
        self.seen_ms = self.seen_ms.max(clock_ms);
    }

    fn step(&mut self) -> Result<(), Violation> {
        let token_ms = 1_000 / i64::from(self.rate.per_second()) + 1;
        let millis = match self.random.u8(0..20) {
            0..8 => 0,
            8..14 => self.random.i64(0..=2 * token_ms),
            14..18 => self.random.i64(0..=1_500),
            18 => self.random.i64(0..=6_000),
            _ => self.random.i64(0..=token_ms * i64::from(self.rate.burst())),
        };
        match self.random.u8(0..100) {
            0..2 => self.behind_ms = self.random.i64(0..=20_000),
            2..10 => self.behind_ms = 0,
            _ => {}
        }
        self.pass(millis);
        match self.random.u8(0..100) {
            0..4 => self.restart(),
            4..30 => self.lease(),
            _ => {
                let cost = if self.random.u8(0..6) == 0 { self.random.u32(1..=self.rate.burst()) } else { 1 };
                // Many at once empty the bucket.
                for _ in 0..if self.random.u8(0..6) == 0 { self.rate.burst() } else { 1 } {
                    let decision = self.take(cost);
                    if !decision.allowed {
                        return self.probe(cost, &decision);
                    }
                }
            }
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.tally.count("restarts");
        self.limiter = Limiter::load(&self.sql, self.rate, self.clock()).expect("a limiter");
        self.seen_ms = self.clock().millis();
    }

    fn lease(&mut self) {
        let (wanted, lasts_ms) = (self.random.u32(1..=self.rate.burst()), self.random.i64(1..=OUT_AFTER_START_MS));
        let tokens = self.limiter.lease(&self.sql, self.clock(), wanted, lasts_ms).expect("an answer");
        self.tally.count(if tokens > 0 { "leases given" } else { "leases refused" });
        if tokens > 0 {
            let begin_us = self.elapsed_ms * 1_000;
            self.spans.push(Span { begin_us, end_us: begin_us + lasts_ms * 1_000, tokens });
        }
    }

    fn take(&mut self, cost: u32) -> Decision {
        let decision = self.limiter.take(&self.sql, self.clock(), cost).expect("an answer");
        self.tally.count(if decision.allowed { "takes granted" } else { "takes refused" });
        if decision.allowed {
            let now_us = self.elapsed_ms * 1_000;
            self.spans.push(Span { begin_us: now_us, end_us: now_us, tokens: cost });
        }
        decision
    }

    /// Asks again for what was refused, until it is granted. Only a clock that runs says something about the time to come.
    fn probe(&mut self, cost: u32, refused: &Decision) -> Result<(), Violation> {
        if self.seen_ms != self.clock().millis() || self.random.bool() {
            return Ok(());
        }
        self.tally.count("probes");
        let wait_ms = refused.retry_after_ms();
        let mut waited_ms = 0;
        while waited_ms < wait_ms {
            let probe_ms = if self.random.bool() { wait_ms - 1 } else { self.random.i64(waited_ms..wait_ms) };
            self.pass(probe_ms - waited_ms);
            waited_ms = probe_ms;
            let again = self.take(cost);
            ensure!(!again.allowed, "{cost} tokens are granted after {waited_ms} ms and not after {wait_ms} ms");
            let (first_us, then_us) = (refused.retry_after_us, again.retry_after_us + waited_ms * 1_000);
            ensure!(first_us == then_us, "after {waited_ms} ms the answer is {then_us} us and not {first_us} us");
            if probe_ms == wait_ms - 1 {
                break;
            }
        }
        self.pass(wait_ms - waited_ms);
        ensure!(self.take(cost).allowed, "{cost} tokens are not granted after {wait_ms} ms");
        Ok(())
    }

    /// Holds every window against the bound: from the last moment of some tokens, to the first moment of others.
    fn check(&mut self) -> Result<(), Violation> {
        self.spans.sort_by_key(|span| std::cmp::Reverse(span.end_us));
        let (rate, burst) = (i128::from(self.rate.per_second()), i128::from(self.rate.burst()) * 1_000_000);
        for last in &self.spans {
            let to_us = last.begin_us;
            let mut used = 0;
            for span in self.spans.iter().filter(|span| span.begin_us <= to_us) {
                used += i128::from(span.tokens) * 1_000_000;
                let length_us = i128::from((to_us - span.end_us).max(0));
                let is_within = used <= burst + rate * length_us;
                ensure!(is_within, "{} tokens in {length_us} us until {to_us} us of {:?}", used / 1_000_000, self.rate);
            }
        }
        Ok(())
    }
}

fn live(seed: u64) -> Result<Tally, Violation> {
    let mut life = Life::new(seed);
    for _ in 0..STEPS {
        life.step()?;
    }
    life.check()?;
    Ok(life.tally)
}

#[test]
fn no_window_holds_more_than_the_bound_and_a_refusal_says_when() {
    let base = fastrand::u64(..) >> 16;
    let mut total = Tally::default();
    for seed in base..base + HISTORIES {
        total.add(&live(seed).unwrap_or_else(|violation| panic!("seed {seed}: {violation}")));
    }
    println!("{HISTORIES} histories from {base}\n{total}");
    for what in CERTAIN {
        assert!(total.of(what) > 1_000, "{what}: hardly ever");
    }
}

#[test]
fn what_a_lease_has_out_is_proven() {
    is_proven_by(Guard::LeasedTokens, live);
}

#[test]
fn what_may_be_out_after_a_start_is_proven() {
    is_proven_by(Guard::LeasesAfterStart, live);
}
