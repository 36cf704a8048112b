//! The results as tables.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::contender::Contender;
use crate::line::Line;
use crate::measure::{Sample, Series};
use crate::start::Start;

/// All measurements of one run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The date, the machine and the versions.
    pub circumstances: Vec<String>,
    /// True when no part was left out or added, so that the tables are the published ones.
    pub is_whole: bool,
    pub series: Vec<Series>,
    pub starts: Vec<Start>,
}

/// The subject of a table.
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
        let organizations = match self.organizations {
            1 => "one organization".to_owned(),
            number => format!("{number} organizations"),
        };
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

    pub fn find(&self, setting: Setting, line: Line, contender: &Contender) -> Option<&Series> {
        self.named(setting, line, contender.name())
    }

    fn named(&self, setting: Setting, line: Line, name: &str) -> Option<&Series> {
        self.of(setting).find(|series| series.line == line.name() && series.contender == name)
    }

    fn of(&self, setting: Setting) -> impl DoubleEndedIterator<Item = &Series> {
        self.series.iter().filter(move |series| Setting::of(series) == setting)
    }

    /// Names of the measured contenders, in the order of their turns.
    fn contenders(&self, setting: Setting) -> Vec<&str> {
        let mut names = Vec::new();
        for series in self.of(setting) {
            if !names.contains(&series.contender.as_str()) {
                names.push(series.contender.as_str());
            }
        }
        names
    }

    /// The whole report in Markdown.
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
            let _ = write!(out, "\n## {}\n\n{}", capitalized(&setting.title()), self.setting(setting));
        }
        out.push_str(&self.growth());
        out.push_str(&self.start());
        out
    }

    fn setting(&self, setting: Setting) -> String {
        let names = self.contenders(setting);
        let (own, builds): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| Contender::of_name(name).is_some());
        let mut out = String::new();
        if builds.is_empty() || own.len() > 1 {
            out.push_str(&self.table(setting));
        }
        for name in builds {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&self.against(setting, name));
        }
        out.push_str(&self.answers_from_copies(setting));
        let mut resident = Vec::new();
        for name in names {
            let last = self.of(setting).rfind(|series| series.contender == name);
            resident.extend(last.map(|series| format!("{name} {:.0} MiB", series.resident_mib)));
        }
        let _ = write!(out, "\nResident memory at the end: {}.\n", resident.join(", "));
        out
    }

    /// How many of the reads at the edge were answered from KV.
    fn answers_from_copies(&self, setting: Setting) -> String {
        let reads = self.of(setting).filter(|series| series.line == Line::Edge.name());
        let shares: Vec<String> = reads
            .filter(|series| series.contender != Contender::Twin.name())
            .map(|series| format!("{} {:.1} %", series.contender, series.least_from_copies() * 100.0))
            .collect();
        if shares.is_empty() {
            return String::new();
        }
        format!(
            "\nReads at the edge that came from a copy in KV, in the round with the fewest: {}.\n",
            shares.join(", ")
        )
    }

    /// The three contenders of this repository, line by line.
    fn table(&self, setting: Setting) -> String {
        let mut out = String::from(
            "| | requests/s: Rollcall | twin | floor | times the twin's | times the floor's | CPU µs: Rollcall | twin | \
             floor | p50, p99 ms: Rollcall | twin | floor | at requests/s |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for line in Line::ALL {
            let all = Contender::OWN.map(|contender| self.find(setting, line, &contender));
            let [Some(rollcall), twin, floor] = all else { continue };
            let cell = |series: Option<&Series>, of: fn(&Series) -> String| series.map_or_else(String::new, of);
            let ratio = |other: Option<&Series>| {
                other.map_or_else(String::new, |other| ratio(rollcall, other, |sample| sample.rate))
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                line.title(),
                rate(rollcall),
                cell(twin, rate),
                cell(floor, rate),
                ratio(twin),
                ratio(floor),
                cpu(rollcall),
                cell(twin, cpu),
                cell(floor, cpu),
                latency(rollcall),
                cell(twin, latency),
                cell(floor, latency),
                whole(rollcall.fixed_rate),
            );
        }
        out
    }

    /// Rollcall next to another build of it, line by line.
    fn against(&self, setting: Setting, name: &str) -> String {
        let mut out = format!(
            "### Rollcall against {name}\n\n\
             | | requests/s: Rollcall | {name} | times {name}'s | CPU µs: Rollcall | {name} | times {name}'s | \
             least CPU µs: Rollcall | {name} | times {name}'s | p50, p99 ms: Rollcall | {name} | at requests/s |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        );
        for line in Line::ALL {
            let own = self.find(setting, line, &Contender::Rollcall);
            let (Some(own), Some(other)) = (own, self.named(setting, line, name)) else { continue };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.2} | {} | {} | {} |",
                line.title(),
                rate(own),
                rate(other),
                ratio(own, other, |sample| sample.rate),
                cpu(own),
                cpu(other),
                ratio(own, other, |sample| sample.cpu_us),
                whole(own.least_cpu_us()),
                whole(other.least_cpu_us()),
                own.least_cpu_us() / other.least_cpu_us(),
                latency(own),
                latency(other),
                whole(own.fixed_rate),
            );
        }
        out
    }

    /// CPU time per request, as a multiple of the time with the fewest users. Both are measured in the same rounds.
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
            if self.find(*first, line, &Contender::Rollcall).is_none() {
                continue;
            }
            let _ = write!(out, "| {}", line.title());
            for size in further {
                let grown = |contender: Contender| {
                    let (large, small) = (self.find(*size, line, &contender), self.find(*first, line, &contender));
                    large.zip(small).map_or_else(String::new, |(large, small)| ratio(large, small, |s| s.cpu_us))
                };
                let [rollcall, twin, floor] = Contender::OWN.map(grown);
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

    /// The largest share of a core that the load generator needed.
    fn generator_max(&self) -> f64 {
        let samples = self.series.iter().flat_map(|series| &series.samples);
        samples.map(|sample| sample.generator).fold(0.0, f64::max)
    }
}

fn rate(series: &Series) -> String {
    whole(series.median(|sample| sample.rate))
}

fn cpu(series: &Series) -> String {
    whole(series.median(|sample| sample.cpu_us))
}

fn latency(series: &Series) -> String {
    format!("{:.1}, {:.1}", series.median(|sample| sample.p50_ms), series.median(|sample| sample.p99_ms))
}

fn ratio(mine: &Series, other: &Series, of: impl Fn(&Sample) -> f64) -> String {
    let ratio = mine.ratio(other, of);
    format!("**{:.2}** ({:.2}–{:.2})", ratio.median, ratio.least, ratio.greatest)
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
