//! Rounds. Every contender takes a turn in each round, so that a slow phase of the machine slows all of them.

use std::fmt::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xtask::{Result, step};

use crate::contender::Contender;
use crate::edge;
use crate::host::Host;
use crate::line::{Line, LineWork};
use crate::load::{self, Outcome, Pace};
use crate::setup::Directory;

/// The amount and the duration of the load.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub rounds: usize,
    pub clients: usize,
    pub warm_up: Duration,
    pub duration: Duration,
    /// The load for latency, as a part of the slowest contender's rate.
    pub load_for_latency: f64,
}

/// A running contender with its data.
#[derive(Debug)]
pub struct Subject {
    pub contender: Contender,
    pub host: Host,
    pub directories: Vec<Directory>,
    /// Users in all of its organizations.
    pub users: usize,
}

/// One contender in one round.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sample {
    /// Completed requests per second. The time includes the runtime's work after the last answer.
    pub rate: f64,
    /// CPU time of the runtime per request, in µs. It includes the work after the last answer.
    pub cpu_us: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// CPU time of the generator, as a part of one core.
    pub generator: f64,
    /// The part of the answers that came from a copy in KV, as they say themselves.
    #[serde(default)]
    pub from_copies: f64,
}

/// All rounds of one contender on one line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    pub line: String,
    pub contender: String,
    pub users: usize,
    pub organizations: usize,
    pub disk: bool,
    pub resident_mib: f64,
    /// The request rate at which latency was measured.
    pub fixed_rate: f64,
    pub samples: Vec<Sample>,
}

/// Measures a line with every contender, at every number of users.
pub fn line(plan: Plan, line: Line, subjects: &[Subject], disk: bool) -> Result<Vec<Series>> {
    let works: Vec<_> = subjects
        .iter()
        .map(|subject| Rc::new(LineWork::new(line, subject.directories.clone(), plan.clients)))
        .collect();
    let mut slowest = f64::INFINITY;
    for (subject, work) in subjects.iter().zip(&works) {
        warm(plan, subject, work)?;
        let (rate, ..) = saturate(plan, line, subject, work, plan.warm_up)?;
        slowest = slowest.min(rate);
    }
    let fixed_rate = (slowest * plan.load_for_latency).max(20.0);
    let mut samples = vec![Vec::new(); subjects.len()];
    for round in 0..plan.rounds {
        for place in 0..subjects.len() {
            // Each round starts with another contender.
            let place = (place + round) % subjects.len();
            let (subject, work) = (&subjects[place], &works[place]);
            if line == Line::Edge {
                edge::lead_in(work, &[subject.host.authority()], plan.clients)?;
            }
            let (rate, cpu_us, generator) = saturate(plan, line, subject, work, plan.duration)?;
            let paced = ask(plan, subject, work, Pace::Fixed(fixed_rate), plan.duration)?;
            subject.host.settle(line.writes())?;
            let (p50_ms, p99_ms) = (paced.quantile_ms(0.5), paced.quantile_ms(0.99));
            let from_copies = work.take_share();
            if line == Line::Edge {
                edge::check(&subject.contender, work, from_copies)?;
            }
            samples[place].push(Sample { rate, cpu_us, p50_ms, p99_ms, generator, from_copies });
        }
    }
    let series = subjects.iter().zip(samples).map(|(subject, samples)| {
        Ok(Series {
            line: line.name().to_owned(),
            contender: subject.contender.name().to_owned(),
            users: subject.users,
            organizations: subject.directories.len(),
            disk,
            resident_mib: subject.host.resident_mib()?,
            fixed_rate,
            samples,
        })
    });
    let series = series.collect::<Result<Vec<_>>>()?;
    step(summary(line, &series));
    Ok(series)
}

/// Brings a contender to where the line measures it.
pub fn warm(plan: Plan, subject: &Subject, work: &Rc<LineWork>) -> Result<()> {
    if work.line == Line::Edge {
        edge::warm(&subject.contender, work, &[subject.host.authority()], plan.clients)?;
    }
    Ok(())
}

/// Returns completed requests per second, CPU time per request in µs, and the generator's share of a core.
fn saturate(
    plan: Plan,
    line: Line,
    subject: &Subject,
    work: &Rc<LineWork>,
    duration: Duration,
) -> Result<(f64, f64, f64)> {
    let before = subject.host.cpu_s()?;
    let outcome = ask(plan, subject, work, Pace::Saturated, duration)?;
    let after = subject.host.settle(line.writes())?;
    let cpu_s = subject.host.cpu_s()? - before;
    #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
    let completed = outcome.completed as f64;
    let generator = outcome.generator_s / outcome.elapsed_s;
    Ok((completed / (outcome.elapsed_s + after), cpu_s * 1e6 / completed, generator))
}

fn ask(plan: Plan, subject: &Subject, work: &Rc<LineWork>, pace: Pace, duration: Duration) -> Result<Outcome> {
    load::run(work, &[subject.host.authority()], plan.clients, pace, duration)
}

/// The middle value, or the mean of the two middle values.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(below), Some(above)) if values.len().is_multiple_of(2) => f64::midpoint(*below, *above),
        (_, Some(value)) => *value,
        _ => f64::NAN,
    }
}

impl Series {
    pub fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }

    /// The least part of the answers of a round that came from a copy in KV.
    pub fn least_from_copies(&self) -> f64 {
        self.samples.iter().map(|sample| sample.from_copies).fold(1.0, f64::min)
    }

    /// CPU time per request in the fastest round, in µs. Other work on the machine only adds to it, so on a busy
    /// machine the least of many rounds tells more than their median.
    pub fn least_cpu_us(&self) -> f64 {
        self.samples.iter().map(|sample| sample.cpu_us).fold(f64::INFINITY, f64::min)
    }

    /// The ratio of this to another in the same round, over all rounds.
    pub fn ratio(&self, other: &Self, of: impl Fn(&Sample) -> f64) -> Ratio {
        let rounds = self.samples.iter().zip(&other.samples);
        Ratio::of(rounds.map(|(mine, theirs)| of(mine) / of(theirs)).collect())
    }
}

/// A ratio over several rounds.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Ratio {
    pub fn of(ratios: Vec<f64>) -> Self {
        Self {
            least: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            greatest: ratios.iter().copied().fold(0.0, f64::max),
            median: median(ratios),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2} ({:.2}–{:.2})", self.median, self.least, self.greatest)
    }
}

/// One line's results, with Rollcall's figures as multiples of each other contender's.
fn summary(line: Line, all: &[Series]) -> String {
    let mut text = line.name().to_owned();
    for series in all {
        let name = format!("{}-{}", series.contender, series.users);
        let rate = series.median(|sample| sample.rate);
        let (cpu_us, p99_ms) = (series.median(|sample| sample.cpu_us), series.median(|sample| sample.p99_ms));
        let least_us = series.least_cpu_us();
        let _ = write!(
            text,
            "\n    {name:<18} {rate:>6.0}/s {cpu_us:>6.0} µs, least {least_us:>6.0}, p99 {p99_ms:>6.1} ms"
        );
        if line == Line::Edge {
            let _ = write!(text, ", from copies {:.1} %", series.least_from_copies() * 100.0);
        }
        let own = Contender::Rollcall.name();
        let rollcall = all.iter().find(|other| other.contender == own && other.users == series.users);
        if let Some(rollcall) = rollcall.filter(|_| series.contender != own) {
            let rates = rollcall.ratio(series, |sample| sample.rate);
            let cpu = rollcall.ratio(series, |sample| sample.cpu_us);
            let least = rollcall.least_cpu_us() / least_us;
            let _ = write!(text, "\n        rollcall: times its requests/s {rates}, CPU {cpu}, least CPU {least:.2}");
        }
    }
    text
}
