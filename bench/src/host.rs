//! A running contender, and the resources that its runtime uses.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use xtask::runtime::Runtime;
use xtask::tools::Tools;
use xtask::{Result, root};

use crate::contender::Artefact;

const READY_LIMIT: Duration = Duration::from_mins(1);
/// Longer than any contender delays work after an answer: Rollcall's object gathers changes for up to a second
/// (`GATHER_MS`).
pub const PUT_OFF_MAX: Duration = Duration::from_millis(1_200);

pub const ADMIN_TOKEN: &str = "the-operator-of-the-benchmark-and-nobody-else";
pub const KEY_SECRET: &str = "a-secret-that-protects-nothing-but-a-benchmark";

/// An entry module of the benchmark around a contender's own.
#[derive(Debug, Clone, Copy)]
pub enum Around<'a> {
    /// Counts what Cloudflare bills.
    Counting,
    /// Puts so many milliseconds between the edge and the objects.
    Distance { ms: u32 },
    /// Has the objects of the edges in other processes.
    Home,
    /// Has an edge whose objects are in the process with this URL.
    Away { home: &'a str },
    /// Says how much memory the module has, with these settings of the contender.
    Memory { settings: &'a [(&'a str, &'a str)] },
    /// Takes CPU as it is asked to, with these settings of the contender.
    Hostile { settings: &'a [(&'a str, &'a str)] },
}

impl Around<'_> {
    const fn module(self) -> &'static str {
        match self {
            Self::Counting => "bench/counting.mjs",
            Self::Distance { .. } => "bench/distance.mjs",
            Self::Home => "bench/home.mjs",
            Self::Away { .. } => "bench/away.mjs",
            Self::Memory { .. } => "bench/memory.mjs",
            Self::Hostile { .. } => "bench/hostile.mjs",
        }
    }
}

/// A runtime for one contender, until it is dropped or stopped.
#[derive(Debug)]
pub struct Host {
    runtime: Runtime,
    pub url: String,
    /// The port of V8's inspector, if it listens.
    pub inspector: Option<u16>,
    /// The process id of workerd.
    pid: u32,
}

impl Host {
    pub fn start(tools: &Tools, artefact: &Artefact, state: &Path) -> Result<Self> {
        Self::start_with(tools, artefact, state, None, None)
    }

    /// Starts a runtime with an entry module of the benchmark.
    pub fn start_around(tools: &Tools, artefact: &Artefact, state: &Path, around: Around<'_>) -> Result<Self> {
        Self::start_with(tools, artefact, state, None, Some(around))
    }

    /// Starts a runtime with an inspector for profiles.
    pub fn start_inspected(tools: &Tools, artefact: &Artefact, state: &Path) -> Result<Self> {
        Self::start_with(tools, artefact, state, Some(free_port()?), None)
    }

    /// Starts a runtime with an entry module of the benchmark and an inspector.
    pub fn start_observed(tools: &Tools, artefact: &Artefact, state: &Path, around: Around<'_>) -> Result<Self> {
        Self::start_with(tools, artefact, state, Some(free_port()?), Some(around))
    }

    fn start_with(
        tools: &Tools,
        artefact: &Artefact,
        state: &Path,
        inspector: Option<u16>,
        around: Option<Around<'_>>,
    ) -> Result<Self> {
        let mut variables = json!({
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "KEY_SECRET": KEY_SECRET,
            // All forged keys come from one address here, and the benchmark measures the check of the key.
            "PUBLIC_REQUESTS_PER_SECOND": "100000",
            "PUBLIC_BURST": "1000000",
        });
        match around {
            Some(Around::Distance { ms }) => variables["DISTANCE_MS"] = ms.into(),
            Some(Around::Away { home }) => variables["HOME"] = home.into(),
            Some(Around::Memory { settings } | Around::Hostile { settings }) => {
                for (name, value) in settings {
                    variables[*name] = (*value).into();
                }
            }
            Some(Around::Counting | Around::Home) | None => {}
        }
        fs::create_dir_all(state)?;
        let options = json!({
            "main": artefact.main,
            "wasm": artefact.wasm,
            "state": state,
            "flags": artefact.contender.flags(),
            "inspector": inspector,
            "around": around.map(|around| root().join(around.module())),
            "variables": variables,
        });
        let mut command = tools.command(tools.binary("node"));
        command
            .arg(root().join("xtask/src/guard.mjs"))
            .arg(tools.binary("node"))
            .arg(root().join("bench/host.mjs"))
            .arg(options.to_string());
        command
            .env("MINIFLARE_WORKERD_PATH", root().join("bench/workerd"))
            .env("BENCH_WORKERD", tools.package("@cloudflare/workerd-linux-64").join("bin/workerd"));
        let runtime = Runtime::start(&mut command)?;
        let ready = |line: &str| serde_json::from_str::<Value>(line).ok()?["url"].as_str().map(str::to_owned);
        let url = runtime.wait_for(READY_LIMIT, ready)?;
        let pid = workerd_under(std::process::id(), state).ok_or("no workerd is running")?;
        Ok(Self { runtime, url, inspector, pid })
    }

    /// Host and port, for the load generator.
    pub fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// CPU time of the runtime so far, in seconds. All measured work runs on one thread, so this is also its busy
    /// time.
    pub fn cpu_s(&self) -> Result<f64> {
        // The process's counter has steps of 10 ms, its threads' counters have nanoseconds. The threads live as
        // long as the process.
        let mut sum_s = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            sum_s += thread_cpu_s(&thread?.path())?;
        }
        Ok(sum_s)
    }

    /// Resident memory in MiB.
    pub fn resident_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// Waits until the runtime is idle, and returns the CPU time that it used meanwhile. After writes it waits
    /// longer, because the runtime may delay the work that follows a write.
    pub fn settle(&self, wrote: bool) -> Result<f64> {
        let before = self.cpu_s()?;
        if wrote {
            std::thread::sleep(PUT_OFF_MAX);
        }
        let (mut last, mut quiet) = (before, 0);
        while quiet < 3 {
            std::thread::sleep(Duration::from_millis(60));
            let now = self.cpu_s()?;
            quiet = if now - last < 0.015 { quiet + 1 } else { 0 };
            last = now;
        }
        Ok(last - before)
    }

    pub fn stop(mut self) {
        self.runtime.stop();
    }
}

/// A port that was free a moment ago, because the inspector cannot choose one.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// CPU time of a thread, in seconds. The argument is its folder in `/proc`.
pub fn thread_cpu_s(thread: &Path) -> Result<f64> {
    let schedstat = fs::read_to_string(thread.join("schedstat"))?;
    // The first field is nanoseconds on the CPU.
    let ns = schedstat.split_whitespace().next().unwrap_or_default().parse::<f64>()?;
    Ok(ns / 1e9)
}

/// The runtime that is a descendant of this process and serves this state.
fn workerd_under(ancestor: u32, state: &Path) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let found = pids.filter(|pid| is_below(*pid, ancestor) && name(*pid).as_deref() == Some("workerd"));
    found.into_iter().find(|pid| is_of(*pid, state))
}

fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

fn is_below(pid: u32, ancestor: u32) -> bool {
    let mut pid = pid;
    while pid > 1 {
        if pid == ancestor {
            return true;
        }
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        let Some(parent) = parent else { return false };
        pid = parent;
    }
    false
}

/// Whether a process has a file of this state open.
fn is_of(pid: u32, state: &Path) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let state = state.canonicalize().unwrap_or_else(|_| PathBuf::from(state));
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target.starts_with(&state)))
}
