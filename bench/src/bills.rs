//! What three deployments cost, by the counts of each request: examples for an operator.

use std::fmt::Write;

use crate::counts::{Counted, Counts};
use crate::line::Line;
use crate::prices;

/// Days of a month.
const DAYS: f64 = 30.0;
/// CPU of a request in ms, edge and object together: a round figure above what the benchmark measures.
const CPU_MS: f64 = 1.0;
/// What the Workers Paid plan includes, in millions of ms.
const CPU_INCLUDED: f64 = 30.0;

/// Requests of one kind, in thousands a day.
type Traffic = (Line, f64);

struct Deployment {
    title: &'static str,
    who: &'static str,
    traffic: &'static [Traffic],
}

/// A hobby, which the free plan carries.
const HOBBY: Deployment = Deployment {
    title: "A hobby, on the free plan",
    who: "One organization. Each day 50 people come for the first time and 500 come again; there are 2,000 turns and 2,000 reads.",
    traffic: &[
        (Line::CreateNew, 0.05),
        (Line::CreateExisting, 0.5),
        (Line::Get, 2.0),
        (Line::Turn, 2.0),
        (Line::List100, 0.05),
    ],
};

const COMPANY: Deployment = Deployment {
    title: "100,000 people",
    who: "20 organizations. Each day 500 people come for the first time and 10,000 come again; there are 50,000 turns and 100,000 \
          reads.",
    traffic: &[
        (Line::CreateNew, 0.5),
        (Line::CreateExisting, 10.0),
        (Line::Get, 100.0),
        (Line::Update, 2.0),
        (Line::Turn, 50.0),
        (Line::List100, 1.0),
    ],
};

const LARGE: Deployment = Deployment {
    title: "10 million people",
    who: "500 organizations. Each day 50,000 people come for the first time and a million come again; there are 5 million turns \
          and 10 million reads.",
    traffic: &[
        (Line::CreateNew, 50.0),
        (Line::CreateExisting, 1_000.0),
        (Line::Get, 10_000.0),
        (Line::Update, 200.0),
        (Line::Turn, 5_000.0),
        (Line::List100, 100.0),
    ],
};

/// The examples in Markdown. None if a line that they need was not counted.
pub fn markdown(all: &[Counted]) -> Option<String> {
    let hobby = HOBBY.of_free_plan(all)?;
    let mut out = format!(
        "\n## What three deployments cost\n\n*At most*: each request is alone, as in the first table. *At least*: as under load. The \
         Workers Paid plan costs ${:.0} a month and includes a part of everything, which is subtracted here. Each request is \
         taken to need {CPU_MS:.0} ms of CPU. Storage, and the model that answers turns, come on top.\n\n{hobby}",
        prices::PLAN
    );
    for deployment in [COMPANY, LARGE] {
        out.push_str(&deployment.of_paid_plan(all)?);
    }
    Some(out)
}

impl Deployment {
    /// The operations of a day, in thousands, and the thousands of ms that objects are awake.
    fn of_day(&self, all: &[Counted], counts: fn(&Counted) -> &Counts) -> Option<(Counts, f64)> {
        let mut sum = Counts::default();
        let mut awake_ms = 0.0;
        for (line, thousands) in self.traffic {
            let counted = all.iter().find(|counted| counted.line == *line && counted.contender.is_rollcall())?;
            sum.add(counts(counted), *thousands);
            awake_ms += counted.awake_ms * thousands;
        }
        Some((sum, awake_ms))
    }

    fn of_free_plan(&self, all: &[Counted]) -> Option<String> {
        let (most, awake_ms) = self.of_day(all, |counted| &counted.alone)?;
        let (least, _) = self.of_day(all, |counted| &counted.under_load)?;
        let mut out = self.head("of a day's allowance | at most | at least |");
        for item in &prices::ITEMS {
            let [most, least] = [&most, &least].map(|counts| (item.amount)(counts) / item.free * 100.0);
            let _ = writeln!(out, "| {} | {most:.1} % | {least:.1} % |", item.name);
        }
        let _ = writeln!(
            out,
            "| objects: awake | {:.1} % | |\n\nBeyond an allowance the free plan refuses until 00:00 UTC.",
            prices::awake_of_free_day(awake_ms * 1_000.0) * 100.0
        );
        Some(out)
    }

    fn of_paid_plan(&self, all: &[Counted]) -> Option<String> {
        let (most, awake_ms) = self.of_day(all, |counted| &counted.alone)?;
        let (least, _) = self.of_day(all, |counted| &counted.under_load)?;
        let mut out = self.head("of a month, in $ | at most | at least |");
        let mut sums = [prices::PLAN; 2];
        let mut row = |name: &str, [most, least]: [f64; 2]| {
            sums = [sums[0] + most, sums[1] + least];
            let _ = writeln!(out, "| {name} | {most:.2} | {least:.2} |");
        };
        for item in &prices::ITEMS {
            let bill = |counts| item.price * (of_month((item.amount)(counts)) - item.included).max(0.0);
            row(item.name, [bill(&most), bill(&least)]);
        }
        row("objects: awake", [prices::awake_of_month(of_month(awake_ms)), 0.0]);
        let cpu = prices::CPU_MS * (of_month(most.requests) * CPU_MS - CPU_INCLUDED).max(0.0);
        row("CPU", [cpu; 2]);
        let [most, least] = sums;
        let _ = writeln!(out, "| **with the plan** | **{most:.2}** | **{least:.2}** |");
        Some(out)
    }

    fn head(&self, columns: &str) -> String {
        format!("\n### {}\n\n{}\n\n| {columns}\n|---|--:|--:|\n", self.title, self.who)
    }
}

/// Millions in a month, of thousands in a day.
fn of_month(thousands: f64) -> f64 {
    thousands * DAYS / 1_000.0
}
