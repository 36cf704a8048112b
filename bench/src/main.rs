//! `cargo bench-edge`: everything that is measured, in one go.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bench::contender::{Artefact, Kind};
use bench::host::Host;
use bench::line::Line;
use bench::measure::{self, Plan, Series, Subject};
use bench::{seed, setup};
use xtask::tools::Tools;
use xtask::{Result, interrupt, root, step};

const USAGE: &str = "cargo bench-edge [--lines a,b] [--contenders a,b] [--users 1000,100000] [--organizations 1,64] \
                     [--rounds N] [--seconds N] [--disk]";

#[derive(Debug)]
struct Options {
    lines: Vec<Line>,
    contenders: Vec<Kind>,
    users: Vec<usize>,
    organizations: Vec<usize>,
    rounds: usize,
    seconds: f64,
    disk: bool,
}

fn main() -> Result<()> {
    interrupt::watch()?;
    let options = Options::parse(std::env::args().skip(1))?;
    let tools = xtask::prepare()?;
    let artefacts = options.contenders.iter().map(|kind| Artefact::build(&tools, *kind)).collect::<Result<Vec<_>>>()?;
    let mut series = Vec::new();
    for organizations in &options.organizations {
        series.extend(organization_run(&tools, &artefacts, &options, *organizations)?);
    }
    let results = root().join("target/bench/results.json");
    fs::write(&results, serde_json::to_string_pretty(&series)?)?;
    step(format!("Wrote {}", results.display()));
    Ok(())
}

/// All lines at growing numbers of users, or, with many organizations, at few each.
fn organization_run(tools: &Tools, artefacts: &[Artefact], options: &Options, count: usize) -> Result<Vec<Series>> {
    let plan = Plan {
        rounds: options.rounds,
        clients: 32,
        warm_up: Duration::from_millis(700),
        duration: Duration::from_secs_f64(options.seconds),
        load_for_latency: 0.5,
    };
    let states = State::make(options.disk)?;
    let mut all = Vec::new();
    let mut directories = Vec::new();
    for artefact in artefacts {
        step(format!("{}: {count} organizations", artefact.kind.name()));
        let state = states.of(artefact.kind);
        // D1's file is made by the first start, its tables before the second.
        Host::start(tools, artefact, &state)?.stop();
        seed::schema(artefact, &state)?;
        let host = Host::start(tools, artefact, &state)?;
        directories.push(setup::organizations(&host.url, count)?);
        host.settle()?;
        host.stop();
    }
    let mut users = 0;
    for target in &options.users {
        if count > 1 && users > 0 {
            break;
        }
        for (artefact, directories) in artefacts.iter().zip(&directories) {
            step(format!("{}: {target} users", artefact.kind.name()));
            let each = if count > 1 { *target / count } else { *target };
            for directory in directories {
                seed::users(artefact.kind, &states.of(artefact.kind), directory, users, each)?;
            }
        }
        users = *target;
        let mut subjects = Vec::new();
        for (artefact, directories) in artefacts.iter().zip(&directories) {
            let host = Host::start(tools, artefact, &states.of(artefact.kind))?;
            subjects.push(Subject { kind: artefact.kind, host, directories: directories.clone() });
        }
        for line in &options.lines {
            if interrupt::happened() {
                return Err("interrupted".into());
            }
            all.extend(measure::line(plan, *line, &subjects, users, options.disk)?);
        }
        subjects.into_iter().for_each(|subject| subject.host.stop());
    }
    Ok(all)
}

/// Where the contenders keep what they have, until it is dropped.
struct State {
    folder: PathBuf,
}

impl State {
    fn make(disk: bool) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if disk || !memory.is_dir() { root().join("target/bench") } else { memory.to_owned() };
        let folder = parent.join(format!("rollcall-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    fn of(&self, kind: Kind) -> PathBuf {
        self.folder.join(kind.name())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            lines: Line::ALL.to_vec(),
            contenders: Kind::ALL.to_vec(),
            users: vec![1_000, 100_000, 1_000_000],
            organizations: vec![1, 64],
            rounds: 5,
            seconds: 1.5,
            disk: false,
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"));
            match name.as_str() {
                "--lines" => options.lines = each(&value()?, Line::of_name)?,
                "--contenders" => options.contenders = each(&value()?, Kind::of_name)?,
                "--users" => options.users = each(&value()?, |text| text.parse().ok())?,
                "--organizations" => options.organizations = each(&value()?, |text| text.parse().ok())?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--disk" => options.disk = true,
                _ => return Err(format!("{name} is unknown\n{USAGE}").into()),
            }
        }
        Ok(options)
    }
}

fn each<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    text.split(',').map(|name| read(name).ok_or_else(|| format!("{name} is unknown\n{USAGE}").into())).collect()
}
