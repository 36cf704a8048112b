//! A well-behaved tenant beside a hostile one, on one Worker with one thread.
//!
//! The control says what one thread allows: instead of the hostile tenant's requests come as many of `/__burn`, with as many
//! bytes. They take as much CPU in all, in one piece for each request that the hostile tenant had admitted. So they share the
//! thread and nothing of Rollcall.

use std::cell::Cell;
use std::fmt::Write;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::http::response::Parts;
use hyper::{Method, Request};
use serde_json::json;
use xtask::admin::Admin;
use xtask::tools::Tools;
use xtask::{Result, interrupt, step};

use crate::attack::{self, Attack, Tally};
use crate::contender::Artefact;
use crate::host::{ADMIN_TOKEN, Around, Host};
use crate::letters::Letters;
use crate::load::{self, Outcome, Pace, Work};
use crate::measure::{Plan, Ratio, median};
use crate::model::{Manner, Model};
use crate::raw::Ask;
use crate::seed;
use crate::setup::{self, Directory, UNREACHED};

/// Requests a second of the well-behaved tenant, of the 50 that its limits allow.
const RATE: f64 = 40.0;
/// One request in four registers a user, the others read one.
const WRITES: u32 = 4;
/// The hostile tenant begins so long before, and has then used up its burst.
const LEAD: Duration = Duration::from_millis(2_500);
/// Rounds of so many seconds make the published page.
pub const SECONDS_MIN: f64 = 3.0;
/// Runs that say what a burned turn costs.
const BURNED_TURNS: u64 = 2_000_000;
const BURNS: u32 = 20;
/// How late the model answers.
const MODEL_DELAY: Duration = Duration::from_secs(5);

/// The well-behaved tenant.
struct Steady {
    directory: Directory,
    number: Cell<u32>,
    refused: Cell<u32>,
}

impl Work for Steady {
    fn request(&self, _: usize) -> Request<Full<Bytes>> {
        let number = self.number.replace(self.number.get() + 1);
        let request = Request::builder().header("host", "bench").header("authorization", &self.directory.bearer);
        let request = if number.is_multiple_of(WRITES) {
            let body = json!({ "user_id": format!("steady-{number}"), "metadata": { "plan": "pro" } }).to_string();
            let request = request.method(Method::POST).uri("/v1/end-users").header("content-type", "application/json");
            request.body(Full::from(body))
        } else {
            let id = fastrand::choice(&self.directory.known).map(String::as_str).unwrap_or_default();
            request.uri(format!("/v1/end-users/{id}")).body(Full::default())
        };
        request.unwrap_or_default()
    }

    fn answered(&self, _: usize, head: &Parts, _: &[u8]) -> std::result::Result<(), String> {
        if !head.status.is_success() {
            self.refused.set(self.refused.get() + 1);
        }
        Ok(())
    }
}

/// One attack in one round.
#[derive(Debug, Clone, Copy)]
struct Sample {
    alone: [f64; 2],
    beside: [f64; 2],
    control: [f64; 2],
    admitted: f64,
    refused: f64,
    unanswered: f64,
    /// CPU of the hostile tenant, and of the control, as a part of the thread.
    load: f64,
    control_load: f64,
    /// Answers to the well-behaved tenant that were no success.
    lost: u32,
}

struct Field {
    host: Host,
    steady: Rc<Steady>,
    hostile: Directory,
    /// Turns that are burned in a second of CPU.
    turns_per_s: f64,
}

impl Field {
    fn steady(&self, duration: Duration, clients: usize) -> Result<Outcome> {
        load::run(&self.steady, &[self.host.authority()], clients, Pace::Fixed(RATE), duration)
    }

    /// The well-behaved tenant beside requests that `ask` makes. Also says how much CPU the runtime took in a second.
    fn beside(&self, plan: Plan, attack: Attack, ask: &(dyn Fn(u64) -> Ask + Sync)) -> Result<(Outcome, Tally, f64)> {
        let authority = self.host.authority();
        let (outcome, tally, cpu_s) = thread::scope(|scope| {
            let attacker = scope.spawn(|| attack.run(authority, LEAD + plan.duration, ask));
            thread::sleep(LEAD);
            let before = self.host.cpu_s()?;
            let outcome = self.steady(plan.duration, plan.clients)?;
            let cpu_s = (self.host.cpu_s()? - before) / outcome.elapsed_s;
            let tally = attacker.join().map_err(|_| "the attack panicked")?;
            Ok::<_, xtask::Error>((outcome, tally, cpu_s))
        })?;
        self.host.settle(true)?;
        Ok((outcome, tally, cpu_s))
    }

    fn sample(&self, plan: Plan, attack: Attack) -> Result<Sample> {
        let quantiles = |outcome: &Outcome| [outcome.quantile_ms(0.5), outcome.quantile_ms(0.99)];
        let before = self.host.cpu_s()?;
        let alone = self.steady(plan.duration, plan.clients)?;
        let alone_load = (self.host.cpu_s()? - before) / alone.elapsed_s;
        self.host.settle(true)?;
        let lost = self.steady.refused.get();
        let hostile = &self.hostile;
        let (beside, tally, load) = self.beside(plan, attack, &|number| attack.ask(hostile, number))?;
        let lost = self.steady.refused.get() - lost;
        let load = (load - alone_load).max(0.0);
        let count = |count: &std::sync::atomic::AtomicU64| {
            #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
            let count = count.load(Ordering::Relaxed) as f64;
            count / (LEAD + plan.duration).as_secs_f64()
        };
        let (admitted, refused) = (count(&tally.admitted), count(&tally.refused));
        let unanswered = count(&tally.unanswered);
        let burn = self.burn(attack, admitted, admitted + refused + unanswered, load);
        let (control, _, control_load) = self.beside(plan, attack, &*burn)?;
        Ok(Sample {
            alone: quantiles(&alone),
            beside: quantiles(&beside),
            control: quantiles(&control),
            admitted,
            refused,
            unanswered,
            load,
            control_load: (control_load - alone_load).max(0.0),
            lost,
        })
    }

    /// Requests of the control: as many bytes, and the CPU in as many pieces as requests were admitted.
    fn burn(&self, attack: Attack, admitted: f64, rate: f64, load: f64) -> Box<dyn Fn(u64) -> Ask + Sync> {
        let pieces = if admitted > 0.0 { admitted } else { rate }.max(0.1);
        let share = (pieces / rate.max(0.1)).min(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "turns of a second at most")]
        let turns = (load / pieces * self.turns_per_s) as u64;
        let body = attack.ask(&self.hostile, 0).body;
        Box::new(move |number| {
            #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
            let number = number as f64;
            let burns = ((number + 1.0) * share).floor() > (number * share).floor();
            let ask = Ask::new("POST", format!("/__burn?turns={}", if burns { turns } else { 0 }));
            Ask { body: body.clone(), ..ask }
        })
    }
}

fn turns_per_s(host: &Host) -> Result<f64> {
    let burn = |turns| {
        let before = host.cpu_s()?;
        for _ in 0..BURNS {
            Ask::new("POST", format!("/__burn?turns={turns}")).expect(host.authority())?;
        }
        Ok::<_, xtask::Error>(host.cpu_s()? - before)
    };
    // V8 compiles the loop.
    burn(BURNED_TURNS)?;
    let (nothing, all) = (burn(0)?, burn(BURNED_TURNS)?);
    #[expect(clippy::cast_precision_loss, reason = "a few million")]
    let turns = (BURNED_TURNS * u64::from(BURNS)) as f64;
    Ok(turns / (all - nothing).max(1e-6))
}

/// Measures every attack, and returns the page.
pub fn markdown(tools: &Tools, artefact: &Artefact, plan: Plan, folder: &Path) -> Result<String> {
    let state = folder.join("hostile");
    // The first start creates D1's file.
    Host::start(tools, artefact, &state)?.stop();
    seed::schema(artefact, &state)?;
    let model = Model::start(Manner { letters: Letters::Plain, bytes: 100, delay: Duration::ZERO })?;
    let settings = [("RESPONDER_URL", model.url.as_str())];
    let host = Host::start_around(tools, artefact, &state, Around::Hostile { settings: &settings })?;
    let mut directories = setup::organizations(&host.url, 2, UNREACHED)?.into_iter();
    let (Some(steady), Some(hostile)) = (directories.next(), directories.next()) else {
        return Err("there are no two organizations".into());
    };
    attack::prepare(host.authority(), &hostile)?;
    // The answer that is repeated.
    Attack::Repetitions.ask(&hostile, 0).expect(host.authority())?;
    host.settle(true)?;
    let admin = Admin::new(&host.url, ADMIN_TOKEN);
    for directory in [&steady, &hostile] {
        let defaults = json!({ "limits": { "requests_per_second": 50, "burst": 100 } });
        admin.change_organization(&directory.organization_id, &defaults)?;
    }
    model.set(Manner { letters: Letters::Plain, bytes: 100, delay: MODEL_DELAY });
    let turns_per_s = turns_per_s(&host)?;
    let steady = Rc::new(Steady { directory: steady, number: Cell::new(0), refused: Cell::new(0) });
    let field = Field { host, steady, hostile, turns_per_s };
    field.steady(plan.warm_up, plan.clients)?;
    let mut samples = Attack::ALL.map(|_| Vec::new());
    for round in 0..plan.rounds {
        for (attack, samples) in Attack::ALL.into_iter().zip(&mut samples) {
            if interrupt::happened() {
                return Err("interrupted".into());
            }
            let sample = field.sample(plan, attack)?;
            step(format!("Round {}: {}: {sample:?}", round + 1, attack.title()));
            samples.push(sample);
        }
    }
    Ok(page(plan, &samples))
}

fn page(plan: Plan, samples: &[Vec<Sample>]) -> String {
    let mut out = format!(
        "# Beside a hostile tenant\n\nMade by `cargo bench-edge --hostile`: do not edit. \
         [How to read it](../benchmarks.md#beside-a-hostile-tenant).\n\n\
         p50 and p99 in ms of a well-behaved tenant with {RATE:.0} requests/s, one in {WRITES} a write: alone, beside a hostile \
         tenant, and beside a control that takes as much of the thread with a trivial route. Both tenants have the default \
         limits, 50 requests/s and a burst of 100. {} rounds of {} s each; medians, and in parentheses the least and the \
         greatest of the ratios within a round.\n\n\
         | the hostile tenant sends | a second | admitted | refused | no answer yet | of the thread | p50, p99 alone | \
         beside | beside the control | p99 in times of the control's | not served |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        plan.rounds,
        plan.duration.as_secs_f64(),
    );
    for (attack, samples) in Attack::ALL.into_iter().zip(samples) {
        let of = |figure: &dyn Fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
        let pair = |pair: &dyn Fn(&Sample) -> [f64; 2]| {
            format!("{:.1}, {:.1}", of(&|sample| pair(sample)[0]), of(&|sample| pair(sample)[1]))
        };
        let ratio = Ratio::of(samples.iter().map(|sample| sample.beside[1] / sample.control[1]).collect());
        let lost: u32 = samples.iter().map(|sample| sample.lost).sum();
        let _ = writeln!(
            out,
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.0} %; control {:.0} % | {} | {} | {} | {ratio} | {lost} |",
            attack.title(),
            attack.rate(),
            of(&|sample| sample.admitted),
            of(&|sample| sample.refused),
            of(&|sample| sample.unanswered),
            of(&|sample| sample.load) * 100.0,
            of(&|sample| sample.control_load) * 100.0,
            pair(&|sample| sample.alone),
            pair(&|sample| sample.beside),
            pair(&|sample| sample.control),
        );
    }
    out
}
