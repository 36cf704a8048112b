//! `cargo bench-edge`: runs all measurements.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench::contender::{Artefact, Contender};
use bench::host::{Around, Host};
use bench::line::Line;
use bench::measure::{self, Subject};
use bench::options::{CLIENTS, Options};
use bench::report::Results;
use bench::{costs, counts, distance, hostile, hot, memory, plot, profile, seed, setup, start};
use xtask::tools::Tools;
use xtask::{Result, interrupt, root, step};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    interrupt::watch()?;
    let options = Options::parse(std::env::args().skip(1))?;
    if options.only_report {
        return write(&serde_json::from_str(&fs::read_to_string(results_file())?)?);
    }
    let tools = xtask::prepare()?;
    let artefacts = options.contenders.iter().cloned();
    let artefacts = artefacts.map(|contender| Artefact::build(&tools, contender, options.profile));
    let artefacts = artefacts.collect::<Result<Vec<_>>>()?;
    if options.counts {
        // What a request costs does not depend on how many users there are.
        return count_all(&tools, &artefacts, &Options { users: vec![1_000], ..options });
    }
    if let Some(ms) = options.distance {
        let options = Options { users: vec![1_000], ..options };
        let (_states, subjects) = set_up(&tools, &artefacts, &options, 1)?;
        let page = distance::markdown(options.plan(), ms, &subjects)?;
        return publish("distance.md", &page, options.contenders == Contender::OWN);
    }
    if !options.hot.is_empty() {
        let state = State::make(options.disk)?;
        let page = hot::markdown(&tools, rollcall(&artefacts, "--hot")?, options.plan(), &options.hot, &state.folder)?;
        return publish("hot.md", &page, options.hot == hot::ISOLATES);
    }
    if let Some(tries) = options.memory {
        let state = State::make(options.disk)?;
        let page = memory::markdown(&tools, rollcall(&artefacts, "--memory")?, tries, &state.folder)?;
        return publish("memory.md", &page, memory::is_whole(tries));
    }
    if options.hostile {
        let state = State::make(options.disk)?;
        let page = hostile::markdown(&tools, rollcall(&artefacts, "--hostile")?, options.plan(), &state.folder)?;
        return publish("hostile.md", &page, options.seconds >= hostile::SECONDS_MIN);
    }
    if options.profile {
        return profile_all(&tools, &artefacts, &options);
    }
    let mut results =
        Results { circumstances: circumstances(&options)?, is_whole: options.is_whole, ..Results::default() };
    if options.lines == Line::ALL {
        step("Measuring starts");
        results.starts = start::all(&tools, &artefacts)?;
    }
    for organizations in &options.organizations {
        measure_all(&tools, &artefacts, &options, *organizations, &mut results)?;
    }
    if options.is_whole {
        let on_disk = Options { users: vec![1_000], disk: true, ..options };
        measure_all(&tools, &artefacts, &on_disk, 1, &mut results)?;
    }
    write(&results)
}

/// The contender that an option measures alone.
fn rollcall<'a>(artefacts: &'a [Artefact], option: &str) -> Result<&'a Artefact> {
    let rollcall = artefacts.iter().find(|artefact| artefact.contender == Contender::Rollcall);
    rollcall.ok_or_else(|| format!("{option} measures rollcall, which --contenders leaves out").into())
}

/// Counts every line of every contender, in one organization. The counts of all of them go to the published pages.
fn count_all(tools: &Tools, artefacts: &[Artefact], options: &Options) -> Result<()> {
    let (_states, subjects) = set_up(tools, artefacts, options, 1)?;
    let mut counted = Vec::new();
    let is_whole = options.lines == Line::ALL && options.contenders == Contender::OWN;
    let own = Line::OWN.iter().filter(|_| is_whole);
    for line in options.lines.iter().chain(own) {
        for subject in subjects.iter().filter(|subject| line.is_served_by(&subject.contender)) {
            go_on()?;
            counted.push(counts::line(options.plan(), *line, subject)?);
        }
    }
    let tables = costs::markdown(&counted);
    publish("costs.md", &tables, is_whole)
}

/// Prints a page and writes it, to the published ones if nothing was left out or added.
fn publish(name: &str, page: &str, is_whole: bool) -> Result<()> {
    println!("{page}");
    let folder = root().join(if is_whole { "docs/bench" } else { "target/bench/report" });
    fs::create_dir_all(&folder)?;
    let file = folder.join(name);
    fs::write(&file, page)?;
    step(format!("Wrote {}", file.display()));
    Ok(())
}

/// Profiles every line of every contender. An overview of all of them, in one setting, goes to the published pages.
fn profile_all(tools: &Tools, artefacts: &[Artefact], options: &Options) -> Result<()> {
    let mut overviews = Vec::new();
    for organizations in &options.organizations {
        let (_states, subjects) = set_up(tools, artefacts, options, *organizations)?;
        for line in &options.lines {
            go_on()?;
            for subject in &subjects {
                overviews.push(profile::line(tools, options.plan(), *line, subject)?);
            }
        }
    }
    if let ([users], [organizations]) = (&*options.users, &*options.organizations)
        && options.lines == Line::ALL
        && options.contenders == Contender::OWN
    {
        let file = root().join("docs/bench/profiles.md");
        fs::write(&file, profile::markdown(*users, *organizations, &overviews))?;
        step(format!("Wrote {}", file.display()));
    }
    Ok(())
}

fn results_file() -> PathBuf {
    root().join("target/bench/results.json")
}

/// Saves the results so far, so that an interrupted run can still be reported.
fn keep(results: &Results) -> Result<()> {
    Ok(fs::write(results_file(), serde_json::to_string_pretty(results)?)?)
}

/// Writes the tables and pictures. A whole run replaces the published ones.
fn write(results: &Results) -> Result<()> {
    let folder = root().join(if results.is_whole { "docs/bench" } else { "target/bench/report" });
    fs::create_dir_all(&folder)?;
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

/// The circumstances that a reader needs to judge the figures.
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
            options.rounds, options.seconds, options.warm_up
        ),
    ])
}

/// Measures all lines, at every number of users.
fn measure_all(
    tools: &Tools,
    artefacts: &[Artefact],
    options: &Options,
    organizations: usize,
    results: &mut Results,
) -> Result<()> {
    let (_states, subjects) = set_up(tools, artefacts, options, organizations)?;
    for line in &options.lines {
        go_on()?;
        results.series.extend(measure::line(options.plan(), *line, &subjects, options.disk)?);
        keep(results)?;
    }
    Ok(())
}

/// Fails once the developer has interrupted the run.
fn go_on() -> Result<()> {
    if interrupt::happened() { Err("interrupted".into()) } else { Ok(()) }
}

/// Starts the contenders, each with every number of users. With many organizations, only with the first number.
fn set_up(
    tools: &Tools,
    artefacts: &[Artefact],
    options: &Options,
    organizations: usize,
) -> Result<(State, Vec<Subject>)> {
    let states = State::make(options.disk)?;
    let sizes = if organizations > 1 { options.users.get(..1).unwrap_or_default() } else { &options.users };
    let mut subjects = Vec::new();
    for users in sizes {
        for artefact in artefacts {
            step(format!("{}: {users} users of {organizations} organizations", artefact.contender.name()));
            let state = states.of(&artefact.contender, *users);
            // The first start creates D1's file, and the tables are created before the second start.
            Host::start(tools, artefact, &state)?.stop();
            seed::schema(artefact, &state)?;
            let host = Host::start(tools, artefact, &state)?;
            let directories = setup::organizations(&host.url, organizations, setup::UNREACHED)?;
            host.settle(true)?;
            host.stop();
            for directory in &directories {
                seed::users(&artefact.contender, &state, directory, *users / organizations)?;
            }
            let host = if options.counts {
                Host::start_around(tools, artefact, &state, Around::Counting)?
            } else if let Some(ms) = options.distance {
                Host::start_around(tools, artefact, &state, Around::Distance { ms })?
            } else if options.profile {
                Host::start_inspected(tools, artefact, &state)?
            } else {
                Host::start(tools, artefact, &state)?
            };
            subjects.push(Subject { contender: artefact.contender.clone(), host, directories, users: *users });
        }
    }
    Ok((states, subjects))
}

/// The folder of the contenders' states, until it is dropped.
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

    fn of(&self, contender: &Contender, users: usize) -> PathBuf {
        self.folder.join(format!("{}-{users}", contender.name()))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
