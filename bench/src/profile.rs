//! Where the time of a line goes: V8's profiler on the contender's isolate, while it is
//! saturated. Other isolates, the simulators of KV and D1, are not in it but as time in which
//! this one had nothing to do.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use xtask::tools::Tools;
use xtask::{Result, process, root, step};

use crate::line::{Line, LineWork};
use crate::load::{self, Pace};
use crate::measure::{Plan, Subject};

/// Functions that are listed, by what they take with all that they call.
const SHOWN: usize = 70;
/// The generator goes on for so long before and after the profiler.
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
    fn name(&self) -> String {
        let name = if self.function_name.is_empty() { "(anonymous)" } else { &self.function_name };
        // A function of the module is named in full; another needs its place, as bundles name poorly.
        match self.url.rsplit('/').next() {
            Some(file) if !file.is_empty() && !self.url.starts_with("wasm:") => {
                format!("{name} {file}:{}:{}", self.line_number + 1, self.column_number + 1)
            }
            _ => name.to_owned(),
        }
    }
}

/// Profiles a line of one contender, and writes the profile and a table to `target/bench/profiles`.
pub fn line(tools: &Tools, plan: Plan, line: Line, subject: &Subject) -> Result<()> {
    let port = subject.host.inspector.ok_or("the contender has no inspector")?;
    let folder = root().join("target/bench/profiles");
    fs::create_dir_all(&folder)?;
    let name = format!("{}-{}", subject.kind.name(), line.name());
    let file = folder.join(&name).with_extension("cpuprofile");
    let work = Rc::new(LineWork::new(line, subject.directories.clone(), plan.clients));
    let authority = subject.host.url.trim_start_matches("http://");
    // What is compiled again and again at first is not what is looked for.
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
    let table = table(&file, rate)?;
    fs::write(folder.join(&name).with_extension("txt"), &table)?;
    step(format!("{name}: {rate:.0} requests/s under the profiler\n{table}"));
    Ok(())
}

/// What each function takes of a request, in µs.
fn table(file: &Path, rate: f64) -> Result<String> {
    let profile: Profile = serde_json::from_str(&fs::read_to_string(file)?)?;
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
            // One that calls itself is counted once.
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
    Ok(table)
}
