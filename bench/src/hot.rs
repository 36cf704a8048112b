//! A hot organization: edges in several processes read users of one organization, whose object is in another process.

use std::fmt::Write;
use std::path::Path;
use std::rc::Rc;

use xtask::tools::Tools;
use xtask::{Result, interrupt, step};

use crate::contender::{Artefact, Contender};
use crate::edge;
use crate::host::{Around, Host};
use crate::line::{Line, LineWork, WARM};
use crate::load::{self, Pace};
use crate::measure::{Plan, median};
use crate::seed;
use crate::setup::{self, Directory, Limits};

/// Numbers of edges of the published page.
pub const ISOLATES: [usize; 2] = [1, 4];
const LIMITS: Limits = Limits { requests_per_second: 10_000, burst: 20_000 };
const LINES: [Line; 2] = [Line::Get, Line::Edge];

/// One organization with its edges.
struct Hot {
    home: Host,
    edges: Vec<Host>,
    directories: Vec<Directory>,
}

/// One turn of a line. All but the rate is of one read.
#[derive(Debug, Clone, Copy)]
struct Turn {
    rate: f64,
    calls: f64,
    edge_us: f64,
    object_us: f64,
    from_copies: f64,
}

impl Hot {
    fn start(tools: &Tools, artefact: &Artefact, isolates: usize, folder: &Path) -> Result<Self> {
        step(format!("{isolates} edges of one organization"));
        let place = folder.join(format!("hot-{isolates}"));
        let state = place.join("home");
        // The first start creates D1's file.
        Host::start(tools, artefact, &state)?.stop();
        seed::schema(artefact, &state)?;
        let home = Host::start_around(tools, artefact, &state, Around::Home)?;
        let edge = |number: usize| {
            let state = place.join(format!("edge-{number}"));
            Host::start_around(tools, artefact, &state, Around::Away { home: &home.url })
        };
        let edges = (0..isolates).map(edge).collect::<Result<Vec<_>>>()?;
        let urls: Vec<&str> = edges.iter().map(|edge| edge.url.as_str()).collect();
        ureq::post(format!("{}/__edges", home.url)).send_json(&urls)?;
        let directories = setup::organizations(&home.url, 1, LIMITS)?;
        Ok(Self { home, edges, directories })
    }

    fn authorities(&self) -> Vec<&str> {
        self.edges.iter().map(Host::authority).collect()
    }

    fn work(&self, plan: Plan, line: Line) -> Rc<LineWork> {
        Rc::new(LineWork::new(line, self.directories.clone(), plan.clients))
    }

    fn warm(&self, plan: Plan) -> Result<()> {
        let work = self.work(plan, Line::Edge);
        edge::warm(&Contender::Rollcall, &work, &self.authorities(), plan.clients)?;
        for line in LINES {
            load::run(&self.work(plan, line), &self.authorities(), plan.clients, Pace::Saturated, plan.warm_up)?;
        }
        Ok(())
    }

    fn turn(&self, plan: Plan, line: Line) -> Result<Turn> {
        let (work, authorities) = (self.work(plan, line), self.authorities());
        // An edge that is asked all the time has leases as large as it uses.
        load::run(&work, &authorities, plan.clients, Pace::Saturated, plan.warm_up)?;
        work.take_share();
        self.settle()?;
        let (calls, object_s, edge_s) = (self.calls()?, self.home.cpu_s()?, self.edge_s()?);
        let outcome = load::run(&work, &authorities, plan.clients, Pace::Saturated, plan.duration)?;
        self.settle()?;
        let from_copies = work.take_share();
        if line == Line::Edge {
            edge::check(&Contender::Rollcall, &work, from_copies)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
        let reads = outcome.completed as f64;
        Ok(Turn {
            rate: reads / outcome.elapsed_s,
            calls: (self.calls()? - calls) / reads,
            edge_us: (self.edge_s()? - edge_s) * 1e6 / reads,
            object_us: (self.home.cpu_s()? - object_s) * 1e6 / reads,
            from_copies,
        })
    }

    fn settle(&self) -> Result<()> {
        for host in self.edges.iter().chain([&self.home]) {
            host.settle(false)?;
        }
        Ok(())
    }

    fn edge_s(&self) -> Result<f64> {
        self.edges.iter().map(Host::cpu_s).sum()
    }

    /// Calls to the object so far.
    fn calls(&self) -> Result<f64> {
        Ok(ureq::get(format!("{}/__calls", self.home.url)).call()?.body_mut().read_json()?)
    }
}

/// Measures with each number of edges, and returns the page.
pub fn markdown(tools: &Tools, artefact: &Artefact, plan: Plan, isolates: &[usize], folder: &Path) -> Result<String> {
    let mut out = format!(
        "# A hot organization\n\nMade by `cargo bench-edge --hot {}`: do not edit. \
         [How to read it](../benchmarks.md#a-hot-organization).\n\n\
         {WARM} users of one organization, with {} requests/s and a burst of {}. {} connections over all edges, {} rounds of \
         {} s at saturation, each after {} s that are not counted; medians.\n\n\
         | edges | | reads/s | calls to the object for 1,000 reads | CPU µs of the edges | of the object | from copies |\n\
         |--:|---|--:|--:|--:|--:|--:|\n",
        isolates.iter().map(usize::to_string).collect::<Vec<_>>().join(","),
        LIMITS.requests_per_second,
        LIMITS.burst,
        plan.clients,
        plan.rounds,
        plan.duration.as_secs_f64(),
        plan.warm_up.as_secs_f64(),
    );
    for count in isolates {
        let hot = Hot::start(tools, artefact, *count, folder)?;
        hot.warm(plan)?;
        let mut turns = LINES.map(|_| Vec::new());
        for _ in 0..plan.rounds {
            for (line, turns) in LINES.into_iter().zip(&mut turns) {
                if interrupt::happened() {
                    return Err("interrupted".into());
                }
                turns.push(hot.turn(plan, line)?);
            }
        }
        for (line, turns) in LINES.into_iter().zip(turns) {
            let of = |figure: fn(&Turn) -> f64| median(turns.iter().map(figure).collect());
            let _ = writeln!(
                out,
                "| {count} | {} | {:.0} | **{:.1}** | {:.0} | {:.0} | {:.1} % |",
                line.title(),
                of(|turn| turn.rate),
                of(|turn| turn.calls) * 1_000.0,
                of(|turn| turn.edge_us),
                of(|turn| turn.object_us),
                of(|turn| turn.from_copies) * 100.0,
            );
        }
    }
    Ok(out)
}
