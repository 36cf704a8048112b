//! Latencies with a distance between the edge and the objects: `distance.mjs` lets each call to an object wait.

use std::fmt::Write;
use std::rc::Rc;

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::http::response::Parts;
use xtask::{Result, interrupt, step};

use crate::contender::Contender;
use crate::edge;
use crate::line::{Line, LineWork};
use crate::load::{self, Outcome, Pace, Work};
use crate::measure::{self, Plan, Subject};

/// Requests a second. With so few a request does not wait for another one.
const RATE: f64 = 100.0;
const LINES: [Line; 3] = [Line::Get, Line::Edge, Line::CreateNew];
const KV_TITLE: &str = "a bare KV read in the same Worker";

/// A request that only reads KV.
#[derive(Debug)]
struct KvRead;

impl Work for KvRead {
    fn request(&self, _: usize) -> Request<Full<Bytes>> {
        Request::builder().uri("/__kv").header("host", "bench").body(Full::default()).unwrap_or_default()
    }

    fn answered(&self, _: usize, head: &Parts, _: &[u8]) -> std::result::Result<(), String> {
        if head.status == 200 { Ok(()) } else { Err(format!("{KV_TITLE}: {}", head.status)) }
    }
}

/// One contender at the distance. All rounds are counted together.
struct Far<'a> {
    subject: &'a Subject,
    works: Vec<Rc<LineWork>>,
    outcomes: Vec<Option<Outcome>>,
    kv: Option<Outcome>,
    from_copies_min: f64,
}

impl<'a> Far<'a> {
    /// Warms up, as before the rounds of a line.
    fn start(plan: Plan, subject: &'a Subject) -> Result<Self> {
        let work = |line| Rc::new(LineWork::new(line, subject.directories.clone(), plan.clients));
        let far = Self {
            subject,
            works: LINES.map(work).into(),
            outcomes: LINES.map(|_| None).into(),
            kv: None,
            from_copies_min: 1.0,
        };
        for work in &far.works {
            measure::warm(plan, subject, work)?;
            load::run(work, &[subject.host.authority()], plan.clients, Pace::Saturated, plan.warm_up)?;
        }
        Ok(far)
    }

    fn round(&mut self, plan: Plan) -> Result<()> {
        let authority = &[self.subject.host.authority()];
        for (work, outcome) in self.works.iter().zip(&mut self.outcomes) {
            if work.line == Line::Edge {
                edge::lead_in(work, authority, plan.clients)?;
            }
            count(outcome, load::run(work, authority, plan.clients, Pace::Fixed(RATE), plan.duration)?)?;
            if work.line == Line::Edge {
                let from_copies = work.take_share();
                edge::check(&self.subject.contender, work, from_copies)?;
                self.from_copies_min = self.from_copies_min.min(from_copies);
                // Beside the line that it is compared with.
                let kv = load::run(&Rc::new(KvRead), authority, plan.clients, Pace::Fixed(RATE), plan.duration)?;
                count(&mut self.kv, kv)?;
            }
            self.subject.host.settle(work.line.writes())?;
        }
        Ok(())
    }
}

fn count(sum: &mut Option<Outcome>, outcome: Outcome) -> Result<()> {
    if let Some(sum) = sum {
        return sum.add(&outcome);
    }
    *sum = Some(outcome);
    Ok(())
}

/// Measures all contenders, and returns the page.
pub fn markdown(plan: Plan, ms: u32, subjects: &[Subject]) -> Result<String> {
    let mut all = subjects.iter().map(|subject| Far::start(plan, subject)).collect::<Result<Vec<_>>>()?;
    for round in 0..plan.rounds {
        for place in 0..all.len() {
            if interrupt::happened() {
                return Err("interrupted".into());
            }
            // Each round starts with another contender.
            let place = (place + round) % subjects.len();
            all[place].round(plan)?;
        }
        step(format!("Measured round {} of {} at a distance of {ms} ms", round + 1, plan.rounds));
    }
    Ok(page(plan, ms, &all))
}

fn page(plan: Plan, ms: u32, all: &[Far<'_>]) -> String {
    let mut out = format!(
        "# How far away the object may be\n\nMade by `cargo bench-edge --distance {ms}`: do not edit. \
         [How to read it](../benchmarks.md#at-a-distance).\n\n\
         p50 and p99 in ms, with {ms} ms between the edge and the objects, there and back. {RATE:.0} requests/s, {} rounds of \
         {} s, all counted together.\n\n|",
        plan.rounds,
        plan.duration.as_secs_f64(),
    );
    for far in all {
        let _ = write!(out, " | {}", far.subject.contender.name());
    }
    let _ = writeln!(out, " |\n|---{}|", "|--:".repeat(all.len()));
    let mut row = |title: &str, of: &dyn Fn(&Far<'_>) -> String| {
        let cells: Vec<String> = all.iter().map(of).collect();
        let _ = writeln!(out, "| {title} | {} |", cells.join(" | "));
    };
    for (place, line) in LINES.into_iter().enumerate() {
        row(line.title(), &|far| latency(far.outcomes[place].as_ref()));
        if line == Line::Edge {
            row(KV_TITLE, &|far| latency(far.kv.as_ref()));
            row("p50 of the read at the edge above that of the bare KV read", &|far| {
                let p50_ms = |outcome: Option<&Outcome>| outcome.map_or(f64::NAN, |outcome| outcome.quantile_ms(0.5));
                format!("{:.2}", p50_ms(far.outcomes[place].as_ref()) - p50_ms(far.kv.as_ref()))
            });
            row("reads at the edge that came from a copy, in the round with the fewest", &|far| match far
                .subject
                .contender
            {
                Contender::Twin => String::new(),
                _ => format!("{:.1} %", far.from_copies_min * 100.0),
            });
        }
    }
    out
}

fn latency(outcome: Option<&Outcome>) -> String {
    outcome.map_or_else(String::new, |outcome| {
        format!("{:.2}, {:.2}", outcome.quantile_ms(0.5), outcome.quantile_ms(0.99))
    })
}
