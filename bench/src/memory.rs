//! How much memory an isolate takes: for each operation of the API a search for the request that takes most.
//!
//! Each try begins with a new instance of the module, and so with the memory of a new isolate. Edge and object share one
//! isolate here. In production they have one each, so the sum is a bound of both.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use fastrand::Rng;
use serde_json::Value;
use xtask::session::SigningKey;
use xtask::tools::Tools;
use xtask::{Result, interrupt, root, step, webhooks};

use crate::contender::Artefact;
use crate::host::{Around, Host};
use crate::isolate::{Isolate, Taken, mib};
use crate::largest::{ISSUER, Largest};
use crate::letters::Letters;
use crate::model::{Manner, Model};
use crate::principals;
use crate::probes::Probes;
use crate::raw::Answer;
use crate::seed;
use crate::sizes::{OPERATIONS, Operation, Shape, Sizes};
use crate::worst::{Found, Kept, Worst};

/// What an isolate may take in all, and what the project allows itself, in MiB.
const LIMIT_MIB: f64 = 100.0;
const TOGETHER: [usize; 4] = [1, 2, 4, 6];
/// More requests at once, of the worst operations.
const CROWDS: [usize; 3] = [12, 24, 48];
const CROWDED: usize = 6;
/// Repetitions of the worst request, whose work is waited for.
const CONFIRMATIONS: usize = 3;
/// How often a try may lose the runtime before it is left out.
const LOST_MAX: usize = 3;
/// Rounds of all worst requests in one instance.
const LONG_ROUNDS: usize = 3;
/// So many tries of each operation make the published page.
const TRIES_MIN: usize = 30;
const SEED_DEFAULT: u64 = 1;

struct Search<'a> {
    start: &'a dyn Fn() -> Result<Isolate>,
    /// `None` while it is started again.
    isolate: Option<Isolate>,
    probes: Probes<'a>,
    rng: Rng,
    tries: usize,
    /// Tries that lost the runtime each time.
    left_out: usize,
}

impl Search<'_> {
    /// One try in a new instance.
    fn attempt(&mut self, operation: &'static Operation, sizes: Sizes, settles: bool) -> Result<Worst> {
        if interrupt::happened() {
            return Err("interrupted".into());
        }
        let mut lost = 0;
        let (taken, answers) = loop {
            let asks = self.probes.asks(operation, sizes)?;
            self.tries += 1;
            match self.isolate()?.take_anew(&asks, settles) {
                // The local runtime now and then loses a connection to the model.
                Ok((_, answers)) if lost < LOST_MAX && answers.iter().any(|answer| answer.status == 502) => lost += 1,
                Ok(found) => break found,
                Err(error) if lost == LOST_MAX => {
                    step(format!("{} {sizes:?}: {error}; left out", operation.name));
                    self.left_out += 1;
                    return Ok(Worst { sizes, taken: Taken::default(), status: 0 });
                }
                Err(error) => {
                    lost += 1;
                    self.start_again(operation, sizes, &error)?;
                }
            }
        };
        let status = answers.iter().map(|answer| answer.status).max().unwrap_or_default();
        check(operation, sizes, &answers)?;
        Ok(Worst { sizes, taken, status })
    }

    /// Starts the runtime again on the same state: now and then its inspector stops to answer.
    fn start_again(&mut self, operation: &Operation, sizes: Sizes, error: &xtask::Error) -> Result<()> {
        step(format!("{} {sizes:?}: {error}; starting the runtime again", operation.name));
        // Two runtimes cannot have one state.
        self.isolate = None;
        let isolate = (self.start)()?;
        isolate.host.authority().clone_into(&mut self.probes.largest.authority);
        self.isolate = Some(isolate);
        Ok(())
    }

    fn isolate(&mut self) -> Result<&mut Isolate> {
        self.isolate.as_mut().ok_or_else(|| "the runtime is not running".into())
    }

    /// Tries everything at its largest in each shape and kind of letters, then varies the worst.
    fn search(&mut self, operation: &'static Operation, seed: u64, tries: usize) -> Result<Found> {
        // Each operation has numbers of its own, so that it does not matter which were searched before.
        self.rng =
            Rng::with_seed(operation.name.bytes().fold(seed, |seed, byte| seed.wrapping_mul(31) ^ u64::from(byte)));
        (self.tries, self.left_out) = (0, 0);
        let largest = |shape, letters| Sizes {
            shape,
            letters,
            bytes: operation.bytes_max,
            rows: operation.rows_max,
            together: TOGETHER[TOGETHER.len() - 1],
        };
        let mut firsts: Vec<Sizes> =
            operation.shapes().into_iter().map(|shape| largest(shape, Letters::Quotes)).collect();
        firsts.extend(Letters::ALL.into_iter().skip(1).map(|letters| largest(Shape::Legal, letters)));
        let mut worst: Option<Worst> = None;
        for sizes in firsts {
            let found = self.attempt(operation, sizes, false)?;
            worst = Some(worst.map_or(found, |worst: Worst| worst.or(found)));
        }
        for _ in 0..tries {
            let Some(from) = worst else { break };
            let sizes = self.varied(operation, from.sizes);
            worst = Some(from.or(self.attempt(operation, sizes, false)?));
        }
        let mut worst = worst.filter(|worst| worst.status != 0).ok_or("no try was answered")?;
        for _ in 0..CONFIRMATIONS {
            worst = worst.or(self.attempt(operation, worst.sizes, operation.writes)?);
        }
        step(format!(
            "{}: wasm {:.1} MiB, heap {:.1} MiB, {}",
            operation.name,
            mib(worst.taken.wasm),
            mib(worst.taken.heap),
            described(operation, worst.sizes)
        ));
        let (tries, left_out) = (self.tries, self.left_out);
        Ok(Found { operation: operation.name.to_owned(), worst, tries, left_out })
    }

    /// The sizes with one or two of them changed.
    fn varied(&mut self, operation: &Operation, from: Sizes) -> Sizes {
        let mut sizes = from;
        for _ in 0..self.rng.usize(1..=2) {
            match self.rng.usize(0..5) {
                0 => sizes.shape = self.rng.choice(operation.shapes()).unwrap_or(Shape::Legal),
                1 => sizes.letters = self.rng.choice(Letters::ALL).unwrap_or(Letters::Quotes),
                2 => sizes.bytes = near(&mut self.rng, sizes.bytes, operation.bytes_max),
                3 => sizes.rows = near(&mut self.rng, sizes.rows, operation.rows_max),
                _ => sizes.together = self.rng.choice(TOGETHER).unwrap_or(1),
            }
        }
        sizes
    }

    /// All worst requests in any order, again and again, in one instance.
    fn long(&mut self, worst: &[(&'static Operation, Worst)]) -> Result<Taken> {
        self.isolate()?.begin_anew()?;
        let mut most = Taken::default();
        for _ in 0..LONG_ROUNDS {
            let mut order: Vec<_> = worst.iter().collect();
            self.rng.shuffle(&mut order);
            for (operation, Worst { sizes, .. }) in order {
                let asks = self.probes.asks(operation, *sizes)?;
                match self.isolate()?.take(&asks, false) {
                    Ok((taken, _)) => most = most.most(taken),
                    Err(error) => self.start_again(operation, *sizes, &error)?,
                }
            }
        }
        Ok(most)
    }
}

/// A size near another one, or any.
fn near(rng: &mut Rng, size: usize, max: usize) -> usize {
    match rng.usize(0..4) {
        0 => size / 2,
        1 => size.saturating_mul(2).min(max),
        2 => max,
        _ => rng.usize(0..=max),
    }
}

/// A legal request that is refused would not show what it is to show.
fn check(operation: &Operation, sizes: Sizes, answers: &[Answer]) -> Result<()> {
    let is_legal = matches!(sizes.shape, Shape::Legal | Shape::Repeated | Shape::Streamed);
    // The demo key is not set; organizations are not deleted; races for one record are lost.
    let may = |status: u16| {
        (200..300).contains(&status)
            || matches!(operation.name, "GET /demo.json" | "GET /admin/v1/deletions/{deletion_id}") && status == 404
            || status == 409
    };
    match answers.iter().find(|answer| is_legal && !may(answer.status) || answer.status >= 500) {
        Some(answer) => {
            let body = String::from_utf8_lossy(&answer.body);
            Err(format!("{} {sizes:?}: {}: {body:.500}", operation.name, answer.status).into())
        }
        None => Ok(()),
    }
}

/// Whether a search with so many tries is of all operations, and long enough for the published page.
pub fn is_whole(tries: usize) -> bool {
    tries >= TRIES_MIN && std::env::var_os("ROLLCALL_OPERATIONS").is_none()
}

/// Searches every operation, and returns the page.
pub fn markdown(tools: &Tools, artefact: &Artefact, tries: usize, folder: &Path) -> Result<String> {
    let seed = std::env::var("ROLLCALL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED_DEFAULT);
    check_operations()?;
    let model = Model::start(Manner { letters: Letters::Plain, bytes: 10, delay: std::time::Duration::ZERO })?;
    let (secret, key) = (webhooks::random_secret()?, SigningKey::generate()?);
    let state = folder.join("memory");
    // The first start creates D1's file.
    Host::start(tools, artefact, &state)?.stop();
    seed::schema(artefact, &state)?;
    let settings = [
        ("RESPONDER_URL", model.url.as_str()),
        ("CLERK_WEBHOOK_SECRET", &secret),
        ("CLERK_ISSUER", ISSUER),
        ("CLERK_JWT_KEY", &key.public_pem()?),
        ("CLERK_AUTHORIZED_PARTIES", "*"),
    ];
    let start = || Host::start_observed(tools, artefact, &state, Around::Memory { settings: &settings });
    let host = start()?;
    let mut largest = Largest::make(host.authority(), secret.clone(), key.clone())?;
    largest.principals_from = principals::places(&largest)?;
    host.settle(true)?;
    let start = || Isolate::new(tools, start()?);
    let probes = Probes { largest, model: &model, number: 0 };
    let isolate = Some(Isolate::new(tools, host)?);
    let mut search = Search { start: &start, isolate, probes, rng: Rng::with_seed(seed), tries: 0, left_out: 0 };
    let chosen = std::env::var("ROLLCALL_OPERATIONS").unwrap_or_default();
    let chosen = OPERATIONS.iter().filter(|operation| chosen.split(',').any(|part| operation.name.ends_with(part)));
    let (kept, mut all, mut in_all, mut left_out) = (Kept::read(artefact, seed, tries)?, Vec::new(), 0, 0);
    for operation in chosen {
        let found = if let Some(found) = kept.of(operation.name) {
            found.clone()
        } else {
            let found = search.search(operation, seed, tries)?;
            kept.keep(&found)?;
            found
        };
        (in_all, left_out) = (in_all + found.tries, left_out + found.left_out);
        all.push((operation, found.worst));
    }
    let long = search.long(&all)?;
    all.sort_by_key(|(_, worst)| std::cmp::Reverse(worst.taken.sum()));
    let mut crowds = Vec::new();
    for (operation, worst) in all.iter().take(CROWDED) {
        let crowd = |together| Sizes { together, ..worst.sizes };
        let of = CROWDS.map(|together| search.attempt(operation, crowd(together), operation.writes));
        crowds.push((*operation, of.into_iter().collect::<Result<Vec<_>>>()?));
    }
    let tries = format!("{in_all} tries in all, of which {left_out} lost the runtime's inspector and are left out");
    Ok(page(seed, &tries, &all, long, &crowds))
}

/// Every operation that is published is searched, and no other one.
fn check_operations() -> Result<()> {
    let document: Value = serde_json::from_str(&fs::read_to_string(root().join("www/openapi.json"))?)?;
    let paths = document["paths"].as_object().ok_or("the OpenAPI document has no paths")?;
    let methods = ["get", "post", "patch", "delete", "put"];
    let published: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, operations)| {
            let found = methods.iter().filter(|method| !operations[**method].is_null());
            found.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let searched: BTreeSet<String> = OPERATIONS.iter().map(|operation| operation.name.to_owned()).collect();
    let differ: Vec<_> = published.symmetric_difference(&searched).collect();
    if differ.is_empty() { Ok(()) } else { Err(format!("src/sizes.rs and www/openapi.json differ: {differ:?}").into()) }
}

fn page(
    seed: u64,
    tries: &str,
    all: &[(&Operation, Worst)],
    long: Taken,
    crowds: &[(&Operation, Vec<Worst>)],
) -> String {
    let mut out = format!(
        "# How much memory a request takes\n\nMade by `cargo bench-edge --memory`: do not edit. \
         [How to read it](../benchmarks.md#memory).\n\n\
         The worst of {tries}, of at most {} requests at once, seed {seed}. An isolate has 128 MiB; the bound of \
         this table is {LIMIT_MIB:.0}. Edge and object share the isolate. The heap is the most \
         that was in use between two turns of the event loop; V8 collects garbage when the limit is near.\n\n\
         | operation | worst request found | status | wasm, MiB | heap, MiB | together | garbage besides |\n|---|---|--:|--:|--:|--:|--:|\n",
        TOGETHER[TOGETHER.len() - 1],
    );
    for (operation, worst) in all {
        let Taken { wasm, heap, with_garbage } = worst.taken;
        let sum = mib(worst.taken.sum());
        let mark = if sum > LIMIT_MIB { " **too much**" } else { "" };
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {:.1} | {:.1} | {sum:.1}{mark} | {:.1} |",
            operation.name,
            described(operation, worst.sizes),
            worst.status,
            mib(wasm),
            mib(heap),
            mib(with_garbage.saturating_sub(heap)),
        );
    }
    let _ = write!(
        out,
        "\nAll of these in one isolate, in any order, {LONG_ROUNDS} times: wasm {:.1} MiB, heap {:.1} MiB, together \
         **{:.1} MiB**.\n\n## More at once\n\nMiB together, with so many of the worst requests at the same time.\n\n\
         | operation |",
        mib(long.wasm),
        mib(long.heap),
        mib(long.sum()),
    );
    for together in CROWDS {
        let _ = write!(out, " {together} |");
    }
    let _ = writeln!(out, "\n|---|{}", "--:|".repeat(CROWDS.len()));
    for (operation, crowd) in crowds {
        let cells: Vec<String> = crowd.iter().map(|worst| format!("{:.1}", mib(worst.taken.sum()))).collect();
        let _ = writeln!(out, "| `{}` | {} |", operation.name, cells.join(" | "));
    }
    out
}

/// The sizes of a request in words.
fn described(operation: &Operation, sizes: Sizes) -> String {
    let shape = match sizes.shape {
        Shape::Legal => "legal",
        Shape::Repeated => "with one idempotency key",
        Shape::Streamed => "streamed",
        Shape::Unknown => "unknown fields",
        Shape::Nested => "nested arrays",
        Shape::Numbers => "an array of digits",
        Shape::Members => "short members",
        Shape::Broken => "JSON that ends early",
        Shape::TooLong => "8 MiB beyond the limit",
        Shape::TooLongInChunks => "8 MiB beyond the limit, in chunks",
        Shape::Head => "long headers and query",
    };
    let mut text = format!("{} at once, {shape}, {}", sizes.together, sizes.letters.name());
    if operation.bytes_max > 0 {
        let _ = write!(text, ", {} bytes", sizes.bytes);
    }
    if operation.rows_max > 0 {
        let _ = write!(text, ", {} rows", sizes.rows);
    }
    text
}
