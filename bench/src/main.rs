//! `cargo bench-edge`: everything that is measured, in one go.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bench::contender::{Artefact, Kind};
use bench::host::Host;
use bench::line::Line;
use bench::measure::{self, Plan, Series, Subject};
use bench::report::Results;
use bench::{plot, profile, seed, setup, start};
use xtask::tools::Tools;
use xtask::{Result, interrupt, root, step};

const USAGE: &str = "cargo bench-edge [--lines a,b] [--contenders a,b] [--users 1000,100000] [--organizations 1,64] \
                     [--rounds N] [--seconds N] [--disk] [--profile]";

#[derive(Debug)]
struct Options {
    lines: Vec<Line>,
    contenders: Vec<Kind>,
    users: Vec<usize>,
    organizations: Vec<usize>,
    rounds: usize,
    seconds: f64,
    disk: bool,
    /// Not how fast, but why.
    profile: bool,
    /// Nothing was left out.
    is_whole: bool,
}

fn main() -> Result<()> {
    interrupt::watch()?;
    let options = Options::parse(std::env::args().skip(1))?;
    let tools = xtask::prepare()?;
    let artefacts = options.contenders.iter().map(|kind| Artefact::build(&tools, *kind, options.profile));
    let artefacts = artefacts.collect::<Result<Vec<_>>>()?;
    let mut results = Results { circumstances: circumstances(&options)?, ..Results::default() };
    if options.lines == Line::ALL && !options.profile {
        step("Starting everyone, again and again");
        results.starts = start::all(&tools, &artefacts)?;
    }
    for organizations in &options.organizations {
        results.series.extend(run(&tools, &artefacts, &options, *organizations, options.disk)?);
    }
    if options.is_whole {
        // What a disk changes shows on a few lines.
        let lines = vec![Line::CreateNew, Line::CreateExisting, Line::Get, Line::List100];
        let on_disk = Options { lines, users: vec![1_000], ..options };
        results.series.extend(run(&tools, &artefacts, &on_disk, 1, true)?);
    }
    if options.profile {
        return Ok(());
    }
    results.circumstances.push(format!(
        "The load generator used at most {:.0} % of a core, and of the two cores the runtime used one",
        results.generator_max() * 100.0
    ));
    write(&results)
}

fn write(results: &Results) -> Result<()> {
    let folder = root().join("docs/bench");
    fs::create_dir_all(&folder)?;
    fs::write(root().join("target/bench/results.json"), serde_json::to_string_pretty(results)?)?;
    fs::write(folder.join("results.md"), results.markdown())?;
    let settings = results.settings();
    let shown = settings.iter().find(|setting| setting.users == 100_000).or_else(|| settings.first());
    if let Some(setting) = shown {
        plot::bars(results, *setting, &folder.join("cpu.svg"))?;
    }
    if settings.iter().filter(|setting| !setting.disk && setting.organizations == 1).count() > 1 {
        plot::growth(results, &folder.join("growth.svg"))?;
    }
    step(format!("Wrote {}", folder.display()));
    Ok(())
}

/// What a reader must know to judge the figures.
fn circumstances(options: &Options) -> Result<Vec<String>> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let cores = std::thread::available_parallelism()?;
    let tool = |name: &str| -> Result<String> {
        let package = fs::read_to_string(root().join("node_modules").join(name).join("package.json"))?;
        let package: serde_json::Value = serde_json::from_str(&package)?;
        Ok(format!("{name} {}", package["version"].as_str().unwrap_or_default()))
    };
    Ok(vec![
        format!("{}, {cores} cores, Linux", model.trim_start_matches([' ', '\t', ':'])),
        format!("{}, {}; a process for each contender, reached without a proxy", tool("workerd")?, tool("miniflare")?),
        format!(
            "{CLIENTS} connections; {} rounds of {} s at saturation and as long at half the slowest contender's rate, after \
             {} s to warm up; requests/s and CPU include the work that goes on after the last answer",
            options.rounds,
            options.seconds,
            WARM_UP.as_secs_f64()
        ),
    ])
}

const CLIENTS: usize = 32;
const WARM_UP: Duration = Duration::from_secs(3);

/// All lines at growing numbers of users, or, with many organizations, at few each.
fn run(tools: &Tools, artefacts: &[Artefact], options: &Options, count: usize, disk: bool) -> Result<Vec<Series>> {
    let plan = Plan {
        rounds: options.rounds,
        clients: CLIENTS,
        warm_up: WARM_UP,
        duration: Duration::from_secs_f64(options.seconds),
        load_for_latency: 0.5,
    };
    let states = State::make(disk)?;
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
            let start = if options.profile { Host::start_inspected } else { Host::start };
            let host = start(tools, artefact, &states.of(artefact.kind))?;
            subjects.push(Subject { kind: artefact.kind, host, directories: directories.clone() });
        }
        for line in &options.lines {
            if interrupt::happened() {
                return Err("interrupted".into());
            }
            if options.profile {
                subjects.iter().try_for_each(|subject| profile::line(tools, plan, *line, subject))?;
                continue;
            }
            all.extend(measure::line(plan, *line, &subjects, users, disk)?);
        }
        for subject in subjects {
            subject.host.stop();
        }
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
            profile: false,
            is_whole: true,
        };
        while let Some(name) = arguments.next() {
            options.is_whole = false;
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"));
            match name.as_str() {
                "--lines" => options.lines = each(&value()?, Line::of_name)?,
                "--contenders" => options.contenders = each(&value()?, Kind::of_name)?,
                "--users" => options.users = each(&value()?, |text| text.parse().ok())?,
                "--organizations" => options.organizations = each(&value()?, |text| text.parse().ok())?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--disk" => options.disk = true,
                "--profile" => options.profile = true,
                _ => return Err(format!("{name} is unknown\n{USAGE}").into()),
            }
        }
        Ok(options)
    }
}

fn each<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    text.split(',').map(|name| read(name).ok_or_else(|| format!("{name} is unknown\n{USAGE}").into())).collect()
}
