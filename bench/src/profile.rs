//! The profile of a line: V8's profiler on the contender's isolate under full load. The simulators of KV and D1 run
//! in other isolates, and their time appears only as idle time of this one.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::fs;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use xtask::tools::Tools;
use xtask::{Result, process, root, step};

use crate::line::{Line, LineWork};
use crate::load::{self, Pace};
use crate::measure::{self, Plan, Subject};

/// Number of functions in the table, by their time with callees.
const SHOWN: usize = 70;
/// Number of functions in an overview, by their own time.
const LARGEST: usize = 5;
/// The load starts this long before the profiler and ends this long after it.
const MARGIN: Duration = Duration::from_millis(700);

/// A profile as the protocol gives it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    nodes: Vec<Node>,
    samples: Vec<u32>,
    /// In µs, before each sample.
    time_deltas: Vec<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: u32,
    call_frame: CallFrame,
    #[serde(default)]
    children: Vec<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallFrame {
    function_name: String,
    url: String,
    line_number: i64,
    column_number: i64,
}

impl CallFrame {
    /// The name without the compiler's hash. A place is added only if there is no name.
    fn short_name(&self) -> String {
        let name = self.function_name.as_str();
        let name = name.strip_prefix("__wbg_").and_then(|name| name.rsplit_once('_')).map_or(name, |(name, _)| name);
        match name.rsplit_once("::h") {
            Some((path, hash)) if hash.len() == 16 => path.to_owned(),
            _ if name.is_empty() => self.name(),
            _ => name.to_owned(),
        }
    }

    fn name(&self) -> String {
        let name = if self.function_name.is_empty() { "(anonymous)" } else { &self.function_name };
        // A function of the module has a full name. Other functions need their place, because bundles shorten
        // names.
        match self.url.rsplit('/').next() {
            Some(file) if !file.is_empty() && !self.url.starts_with("wasm:") => {
                format!("{name} {file}:{}:{}", self.line_number + 1, self.column_number + 1)
            }
            _ => name.to_owned(),
        }
    }
}

/// The parts of a request's time, in µs.
#[derive(Debug)]
pub struct Overview {
    line: Line,
    contender: String,
    total: f64,
    shares: [f64; Share::COUNT],
    /// Functions by their own time.
    largest: Vec<(String, f64)>,
}

/// The parts of the time, in the order of the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Elsewhere,
    Native,
    Garbage,
    Module,
    JavaScript,
}

impl Share {
    const COUNT: usize = Self::JavaScript as usize + 1;

    fn of(frame: &CallFrame) -> Self {
        match frame.function_name.as_str() {
            "(idle)" => Self::Elsewhere,
            "(garbage collector)" => Self::Garbage,
            _ if frame.url.is_empty() => Self::Native,
            _ if frame.url.starts_with("wasm:") => Self::Module,
            _ => Self::JavaScript,
        }
    }
}

/// The overviews as one page, with a row for each line.
pub fn markdown(users: usize, organizations: usize, overviews: &[Overview]) -> String {
    let mut text = format!(
        "# Where the time of a request goes\n\n\
         `cargo bench-edge --profile --users {users} --organizations {organizations}`: V8's profiler on each contender's isolate \
         while it is saturated. µs for each request, one contender after the other: shares can be compared, totals only roughly.\n\n\
         - *elsewhere*: this isolate had nothing to do; the simulators of KV and D1 were at work\n\
         - *native*: the platform's functions\n\
         - *JavaScript*: a function's own time, with what it calls of the platform that is not listed by itself; in Rollcall \
         the bindings of the module\n\
         - the last column names the functions that took most by themselves\n\
         - what is put off until after the answer is in it only as far as it was done meanwhile: of a registration in Rollcall \
         a part, so that for creates the benchmark's totals count, and not these\n"
    );
    for line in Line::ALL {
        let mut rows = overviews.iter().filter(|overview| overview.line == line).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let _ = write!(
            text,
            "\n## {}\n\n| | in all | elsewhere | native | garbage | wasm | JavaScript | most by itself |\n\
             |---|--:|--:|--:|--:|--:|--:|---|\n",
            line.title()
        );
        for overview in rows {
            let shares: Vec<String> = overview.shares.iter().map(|us| format!("{us:.0}")).collect();
            let shares = shares.join(" | ");
            let largest: Vec<String> = overview.largest.iter().map(|(name, us)| format!("`{name}` {us:.0}")).collect();
            let _ = writeln!(
                text,
                "| {} | {:.0} | {shares} | {} |",
                overview.contender,
                overview.total,
                largest.join(", ")
            );
        }
    }
    text
}

/// Profiles a line of one contender, and writes the profile and a table to `target/bench/profiles`.
pub fn line(tools: &Tools, plan: Plan, line: Line, subject: &Subject) -> Result<Overview> {
    let port = subject.host.inspector.ok_or("the contender has no inspector")?;
    let folder = root().join("target/bench/profiles");
    fs::create_dir_all(&folder)?;
    let name = format!("{}-{}", subject.contender.name(), line.name());
    let file = folder.join(format!("{name}.cpuprofile"));
    let work = Rc::new(LineWork::new(line, subject.directories.clone(), plan.clients));
    let authority = &[subject.host.authority()];
    measure::warm(plan, subject, &work)?;
    // V8 compiles functions again at first, and the profile leaves that phase out.
    load::run(&work, authority, plan.clients, Pace::Saturated, plan.warm_up)?;
    let mut profiler = tools.command(tools.binary("node"));
    profiler.arg(root().join("bench/profile.mjs")).arg(port.to_string()).arg(plan.duration.as_secs_f64().to_string());
    let mut profiler = process::in_group(profiler.arg(&file).stdin(Stdio::null())).spawn()?;
    let outcome = load::run(&work, authority, plan.clients, Pace::Saturated, plan.duration + 2 * MARGIN);
    let status = profiler.wait()?;
    let outcome = outcome?;
    if !status.success() {
        return Err(format!("the profiler failed: {status}").into());
    }
    subject.host.settle(line.writes())?;
    #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
    let rate = outcome.completed as f64 / outcome.elapsed_s;
    let profile: Profile = serde_json::from_str(&fs::read_to_string(file)?)?;
    let table = table(&profile, rate);
    fs::write(folder.join(format!("{name}.txt")), &table)?;
    step(format!("{name}: {rate:.0} requests/s under the profiler\n{table}"));
    Ok(overview(&profile, rate, line, subject.contender.name()))
}

fn overview(profile: &Profile, rate: f64, line: Line, contender: &str) -> Overview {
    let frames: HashMap<u32, &CallFrame> = profile.nodes.iter().map(|node| (node.id, &node.call_frame)).collect();
    let total_us: f64 = profile.time_deltas.iter().sum();
    let requests = rate * total_us / 1e6;
    let mut shares = [0.0; Share::COUNT];
    let mut own: HashMap<String, f64> = HashMap::new();
    for (sample, us) in profile.samples.iter().zip(&profile.time_deltas) {
        let Some(frame) = frames.get(sample) else { continue };
        let share = Share::of(frame);
        if let Some(sum) = shares.get_mut(share as usize) {
            *sum += us / requests;
        }
        // Entries that are not functions have columns of their own.
        if share != Share::Elsewhere && share != Share::Garbage && frame.function_name != "(program)" {
            *own.entry(frame.short_name()).or_default() += us / requests;
        }
    }
    let mut largest: Vec<(String, f64)> = own.into_iter().collect();
    largest.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    largest.truncate(LARGEST);
    Overview { line, contender: contender.to_owned(), total: 1e6 / rate, shares, largest }
}

/// The time of each function per request, in µs.
fn table(profile: &Profile, rate: f64) -> String {
    let names: HashMap<u32, String> = profile.nodes.iter().map(|node| (node.id, node.call_frame.name())).collect();
    let callers = profile.nodes.iter().flat_map(|node| node.children.iter().map(|child| (*child, node.id)));
    let callers: HashMap<u32, u32> = callers.collect();
    let mut own: HashMap<&str, f64> = HashMap::new();
    let mut with_callees: HashMap<&str, f64> = HashMap::new();
    let mut total_us = 0.0;
    for (sample, us) in profile.samples.iter().zip(&profile.time_deltas) {
        total_us += us;
        let mut at = Some(*sample);
        let mut seen = HashSet::new();
        while let Some(node) = at {
            let name = names.get(&node).map_or("?", String::as_str);
            if at == Some(*sample) {
                *own.entry(name).or_default() += us;
            }
            // A recursive function counts once.
            if seen.insert(name) {
                *with_callees.entry(name).or_default() += us;
            }
            at = callers.get(&node).copied();
        }
    }
    let requests = rate * total_us / 1e6;
    let mut rows: Vec<(&str, f64)> = with_callees.into_iter().collect();
    rows.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let mut table = "  µs with callees     µs own  of a request\n".to_owned();
    for (name, us) in rows.into_iter().take(SHOWN) {
        let own = own.get(name).copied().unwrap_or_default();
        let _ = writeln!(table, "{:>17.1} {:>10.1}  {name:.150}", us / requests, own / requests);
    }
    table
}
