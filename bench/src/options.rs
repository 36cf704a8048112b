//! The options of `cargo bench-edge`.

use std::time::Duration;

use xtask::Result;

use crate::contender::Contender;
use crate::line::Line;
use crate::measure::Plan;

const USAGE: &str = "cargo bench-edge [--lines a,b] [--contenders a,b] [--against FOLDER]... [--users 1000,100000] \
                     [--organizations 1,64] [--rounds N] [--seconds N] [--warm-up SECONDS] [--disk] [--counts] \
                     [--distance MS] [--hot 1,4] [--memory TRIES] [--hostile] [--profile] [--report]";

/// Connections of the load generator to each contender.
pub const CLIENTS: usize = 32;
const LOAD_FOR_LATENCY: f64 = 0.5;

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a command")]
pub struct Options {
    pub lines: Vec<Line>,
    pub contenders: Vec<Contender>,
    pub users: Vec<usize>,
    pub organizations: Vec<usize>,
    pub rounds: usize,
    pub seconds: f64,
    /// Seconds of requests to each contender before the rounds of a line. V8 compiles a function that is called
    /// often a second time.
    pub warm_up: f64,
    pub disk: bool,
    /// Counts what Cloudflare bills instead of measuring the contenders.
    pub counts: bool,
    /// Measures latencies with so many milliseconds between the edge and the objects.
    pub distance: Option<u32>,
    /// Measures one hot organization, with each of these numbers of edges.
    pub hot: Vec<usize>,
    /// Searches for the requests that take most memory, with so many tries of each operation besides the first ones.
    pub memory: Option<usize>,
    /// Measures a tenant beside a hostile one.
    pub hostile: bool,
    /// Profiles the contenders instead of measuring them.
    pub profile: bool,
    /// Measures nothing and writes the tables of the last results.
    pub only_report: bool,
    /// True when no part of a run was left out or added.
    pub is_whole: bool,
}

impl Options {
    pub fn plan(&self) -> Plan {
        Plan {
            rounds: self.rounds,
            clients: CLIENTS,
            warm_up: Duration::from_secs_f64(self.warm_up),
            duration: Duration::from_secs_f64(self.seconds),
            load_for_latency: LOAD_FOR_LATENCY,
        }
    }

    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            lines: Line::ALL.to_vec(),
            contenders: Contender::OWN.to_vec(),
            users: vec![1_000, 100_000, 1_000_000],
            organizations: vec![1, 64],
            rounds: 5,
            seconds: 1.5,
            warm_up: 2.0,
            disk: false,
            counts: false,
            distance: None,
            hot: Vec::new(),
            memory: None,
            hostile: false,
            profile: false,
            only_report: false,
            is_whole: true,
        };
        let mut builds = Vec::new();
        while let Some(name) = arguments.next() {
            // A run with more or longer rounds still counts as whole.
            options.is_whole &= matches!(name.as_str(), "--rounds" | "--seconds" | "--warm-up");
            let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"));
            match name.as_str() {
                "--lines" => options.lines = each(&value()?, Line::of_name)?,
                "--contenders" => options.contenders = each(&value()?, Contender::of_name)?,
                "--against" => builds.push(Contender::of_folder(&value()?)?),
                "--users" => options.users = each(&value()?, |text| text.parse().ok())?,
                "--organizations" => options.organizations = each(&value()?, |text| text.parse().ok())?,
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--warm-up" => options.warm_up = value()?.parse()?,
                "--disk" => options.disk = true,
                "--counts" => options.counts = true,
                "--distance" => options.distance = Some(value()?.parse()?),
                "--hot" => options.hot = each(&value()?, |text| text.parse().ok().filter(|isolates| *isolates > 0))?,
                "--memory" => options.memory = Some(value()?.parse()?),
                "--hostile" => options.hostile = true,
                "--profile" => options.profile = true,
                "--report" => options.only_report = true,
                _ => return Err(format!("{name} is unknown\n{USAGE}").into()),
            }
        }
        if !builds.is_empty() && !options.contenders.contains(&Contender::Rollcall) {
            return Err("--against compares with rollcall, which --contenders leaves out".into());
        }
        for build in builds {
            options.add(build)?;
        }
        Ok(options)
    }

    /// The name of a contender names its state, its bundle and its figures.
    fn add(&mut self, build: Contender) -> Result<()> {
        let name = build.name();
        if Contender::of_name(name).is_some() || self.contenders.iter().any(|other| other.name() == name) {
            return Err(format!("--against: two contenders are called {name}; rename the folder").into());
        }
        self.contenders.push(build);
        Ok(())
    }
}

fn each<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>> {
    text.split(',').map(|name| read(name).ok_or_else(|| format!("{name} is unknown\n{USAGE}").into())).collect()
}
