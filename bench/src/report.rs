//! What was measured, as tables.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::contender::Kind;
use crate::line::Line;
use crate::measure::{Sample, Series, median};
use crate::start::Start;

/// Everything that one run has measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// When, on what, and with what.
    pub circumstances: Vec<String>,
    pub series: Vec<Series>,
    pub starts: Vec<Start>,
}

/// What a table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Setting {
    pub disk: bool,
    pub organizations: usize,
    pub users: usize,
}

impl Setting {
    fn of(series: &Series) -> Self {
        Self { disk: series.disk, organizations: series.organizations, users: series.users }
    }

    pub fn title(self) -> String {
        let organizations = if self.organizations == 1 { "one organization" } else { "64 organizations" };
        let place = if self.disk { "on disk" } else { "in memory" };
        format!("{} users, {organizations}, state {place}", thousands(self.users))
    }
}

impl Results {
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings: Vec<_> = self.series.iter().map(Setting::of).collect();
        settings.sort();
        settings.dedup();
        settings
    }

    pub fn find(&self, setting: Setting, line: Line, kind: Kind) -> Option<&Series> {
        self.series.iter().find(|series| {
            Setting::of(series) == setting && series.line == line.name() && series.contender == kind.name()
        })
    }

    /// All of it, in Markdown.
    pub fn markdown(&self) -> String {
        let mut out = String::from("# What was measured\n\nMade by `cargo bench-edge`: do not edit.\n\n");
        for line in &self.circumstances {
            let _ = writeln!(out, "- {line}");
        }
        let busiest = self.generator_max() * 100.0;
        let _ = writeln!(
            out,
            "- The load generator used at most {busiest:.0} % of a core, and of the two cores the runtime used one"
        );
        out.push_str(
            "\nA figure is the median of the rounds. A ratio is the median of the ratios within a round, in which each \
             contender has its turn; behind it the least and the greatest.\n",
        );
        for setting in self.settings() {
            let _ = write!(out, "\n## {}\n\n{}", capitalized(&setting.title()), self.table(setting));
        }
        out.push_str(&self.growth());
        out.push_str(&self.start());
        out
    }

    /// A setting, line by line.
    pub fn table(&self, setting: Setting) -> String {
        let mut out = String::from(
            "| | requests/s: Rollcall | twin | floor | times the twin's | times the floor's | CPU µs: Rollcall | twin | \
             floor | p50, p99 ms: Rollcall | twin | floor | at requests/s |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for line in Line::ALL {
            let all = Kind::ALL.map(|kind| self.find(setting, line, kind));
            let [Some(rollcall), twin, floor] = all else { continue };
            let rate =
                |series: Option<&Series>| series.map_or(String::new(), |series| whole(series.median(|s| s.rate)));
            let cpu =
                |series: Option<&Series>| series.map_or(String::new(), |series| whole(series.median(|s| s.cpu_us)));
            let latency = |series: Option<&Series>| {
                series.map_or(String::new(), |series| {
                    format!("{:.1}, {:.1}", series.median(|s| s.p50_ms), series.median(|s| s.p99_ms))
                })
            };
            let ratio =
                |other: Option<&Series>| other.map_or(String::new(), |other| ratio(rollcall, other, |s| s.rate));
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                line.title(),
                rate(Some(rollcall)),
                rate(twin),
                rate(floor),
                ratio(twin),
                ratio(floor),
                cpu(Some(rollcall)),
                cpu(twin),
                cpu(floor),
                latency(Some(rollcall)),
                latency(twin),
                latency(floor),
                whole(rollcall.fixed_rate),
            );
        }
        let resident = Kind::ALL.iter().filter_map(|kind| {
            let last = self
                .series
                .iter()
                .rev()
                .find(|series| Setting::of(series) == setting && series.contender == kind.name())?;
            Some(format!("{} {:.0} MiB", kind.name(), last.resident_mib))
        });
        let resident: Vec<_> = resident.collect();
        let _ = write!(out, "\nResident memory at the end: {}.\n", resident.join(", "));
        out
    }

    /// What a request takes in times of what it takes at the fewest users, by CPU. Both are
    /// measured in the same rounds.
    fn growth(&self) -> String {
        let sizes: Vec<_> =
            self.settings().into_iter().filter(|setting| !setting.disk && setting.organizations == 1).collect();
        let [first, further @ ..] = sizes.as_slice() else { return String::new() };
        if further.is_empty() {
            return String::new();
        }
        let mut out = format!(
            "\n## Growth\n\nCPU of a request in times of that at {} users, within a round: Rollcall's; the twin's, the \
             floor's.\n\n|",
            thousands(first.users)
        );
        for size in further {
            let _ = write!(out, " | {} users", thousands(size.users));
        }
        let _ = writeln!(out, " |\n|---{}|", "|---".repeat(further.len()));
        for line in Line::ALL {
            if self.find(*first, line, Kind::Rollcall).is_none() {
                continue;
            }
            let _ = write!(out, "| {}", line.title());
            for size in further {
                let grown = |kind: Kind| {
                    let (large, small) = (self.find(*size, line, kind), self.find(*first, line, kind));
                    large.zip(small).map_or_else(String::new, |(large, small)| ratio(large, small, |s| s.cpu_us))
                };
                let [rollcall, twin, floor] = Kind::ALL.map(grown);
                let _ = write!(out, " | {rollcall}; {twin}, {floor}");
            }
            out.push_str(" |\n");
        }
        out
    }

    fn start(&self) -> String {
        if self.starts.is_empty() {
            return String::new();
        }
        let mut out = String::from(
            "\n## Start and size\n\nFrom the start of the process to the first answer, without stores.\n\n\
             | | ms | modules, bytes | compressed |\n|---|--:|--:|--:|\n",
        );
        for start in &self.starts {
            let _ = writeln!(out, "| {} | {:.0} | {} | {} |", start.contender, start.median(), start.raw, start.gzip);
        }
        out
    }

    /// The highest part of a core that the load generator ever needed.
    fn generator_max(&self) -> f64 {
        let samples = self.series.iter().flat_map(|series| &series.samples);
        samples.map(|sample| sample.generator).fold(0.0, f64::max)
    }
}

fn ratio(mine: &Series, other: &Series, of: impl Fn(&Sample) -> f64) -> String {
    let ratios: Vec<_> = mine.samples.iter().zip(&other.samples).map(|(a, b)| of(a) / of(b)).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = ratios.iter().copied().fold(0.0, f64::max);
    format!("**{:.2}** ({least:.2}–{greatest:.2})", median(ratios))
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}
