//! A counting run: how often each request makes a contender do what Cloudflare bills. `counting.mjs` counts.
//!
//! Each line is counted twice. *Alone*, each request waits until the work of the one before it is done, so that they
//! share nothing and the counts are the same each time. *Under load*, all connections ask at once, and the counts
//! are divided by the number of requests.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;
use xtask::{Result, interrupt, step};

use crate::contender::Contender;
use crate::host::PUT_OFF_MAX;
use crate::line::{Line, LineWork, WARM};
use crate::load::{self, Pace};
use crate::measure::{self, Plan, Subject, median};

/// Requests that are counted alone.
const ALONE: usize = 3;
/// Alarms that ring later than this have no work of a request. Rollcall's object sweeps expired rows then.
const ALARM_SOON_MS: f64 = 60_000.0;
/// After this time without a read at the edge no lease lasts. The object is still in memory.
const LEASE_OVER: Duration = Duration::from_millis(5_500);
const REST_LIMIT: Duration = Duration::from_mins(2);

/// Numbers of operations that Cloudflare bills.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub requests: f64,
    /// Calls to objects.
    pub calls: f64,
    pub alarms_run: f64,
    pub alarms_set: f64,
    pub object_rows_read: f64,
    pub object_rows_written: f64,
    pub d1_rows_read: f64,
    pub d1_rows_written: f64,
    pub kv_reads: f64,
    /// Puts, deletions and lists.
    pub kv_writes: f64,
}

impl Counts {
    /// Adds the counts of so many requests, of which each has these.
    pub fn add(&mut self, each: &Self, requests: f64) {
        self.requests += each.requests * requests;
        self.calls += each.calls * requests;
        self.alarms_run += each.alarms_run * requests;
        self.alarms_set += each.alarms_set * requests;
        self.object_rows_read += each.object_rows_read * requests;
        self.object_rows_written += each.object_rows_written * requests;
        self.d1_rows_read += each.d1_rows_read * requests;
        self.d1_rows_written += each.d1_rows_written * requests;
        self.kv_reads += each.kv_reads * requests;
        self.kv_writes += each.kv_writes * requests;
    }

    /// The counts of each request, out of the counts of all.
    fn each(&self) -> Self {
        let mut each = Self::default();
        each.add(self, 1.0 / self.requests);
        each
    }
}

/// What `counting.mjs` has counted since it was set to zero.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tally {
    counts: Counts,
    /// Rows written, by the store and the statement that wrote them.
    written: BTreeMap<String, u64>,
    /// How long objects were in memory and could not hibernate, in milliseconds.
    awake_ms: f64,
    /// Time to the next alarm of an object, in milliseconds.
    alarm_in_ms: Option<f64>,
}

/// One contender on one line. All figures are of one request.
#[derive(Debug)]
pub struct Counted {
    pub line: Line,
    pub contender: Contender,
    pub alone: Counts,
    /// Rows written by a request alone, by the store and the statement that writes them.
    pub written: BTreeMap<String, u64>,
    /// How long a request alone keeps an object in memory without hibernation, in milliseconds.
    pub awake_ms: f64,
    pub under_load: Counts,
    /// What a user costs who is copied to KV, in a contender that copies users.
    pub copy: Option<Counts>,
}

/// Counts a line of one contender.
pub fn line(plan: Plan, line: Line, subject: &Subject) -> Result<Counted> {
    let name = subject.contender.name();
    let counter = Counter { line, subject };
    let copy = counter.warm(plan)?;
    counter.ask(plan.clients, Pace::Saturated, plan.warm_up)?;
    counter.rest()?;
    let under_load = counter.under_load(plan)?;
    let all = counter.alone()?;
    let awake_ms = median(all.iter().map(|tally| tally.awake_ms).collect());
    let [first, others @ ..] = all.as_slice() else { return Err("nothing was counted".into()) };
    if others.iter().any(|other| other.counts != first.counts) {
        return Err(format!("{name}, {}: the counts of requests alone differ: {all:#?}", line.name()).into());
    }
    step(format!("{name}: counted {}", line.name()));
    let (alone, written) = (first.counts.clone(), first.written.clone());
    Ok(Counted { line, contender: subject.contender.clone(), alone, written, awake_ms, under_load, copy })
}

struct Counter<'a> {
    line: Line,
    subject: &'a Subject,
}

impl Counter<'_> {
    /// Has users copied to KV, for a line that reads copies. Counts what that writes, for each of them.
    fn warm(&self, plan: Plan) -> Result<Option<Counts>> {
        if self.line != Line::Edge {
            return Ok(None);
        }
        self.reset()?;
        let work = Rc::new(LineWork::new(self.line, self.subject.directories.clone(), plan.clients));
        measure::warm(plan, self.subject, &work)?;
        let tally = self.rest()?;
        #[expect(clippy::cast_precision_loss, reason = "rows of some users")]
        let each = |sum: f64| sum / WARM as f64;
        // Reads write too, above all the high-water mark of the bucket.
        let of_copies = tally.written.iter().filter(|(statement, _)| statement.contains(" copies "));
        #[expect(clippy::cast_precision_loss, reason = "rows of some users")]
        let rows = of_copies.map(|(_, rows)| *rows as f64).sum();
        Ok(self.has_leases().then(|| Counts {
            kv_writes: each(tally.counts.kv_writes),
            object_rows_written: each(rows),
            alarms_set: each(tally.counts.alarms_set),
            alarms_run: each(tally.counts.alarms_run),
            ..Counts::default()
        }))
    }

    fn has_leases(&self) -> bool {
        self.subject.contender.is_rollcall()
    }

    fn under_load(&self, plan: Plan) -> Result<Counts> {
        self.reset()?;
        self.ask(plan.clients, Pace::Saturated, plan.duration)?;
        Ok(self.rest()?.counts.each())
    }

    fn alone(&self) -> Result<Vec<Tally>> {
        let one = |_| {
            // The bucket has a token again. This request takes it, so the counted one is refused.
            if self.line == Line::RateLimited {
                self.ask_once()?;
            }
            if self.line == Line::Edge && self.has_leases() {
                sleep(LEASE_OVER);
            }
            self.reset()?;
            self.ask_once()?;
            self.rest()
        };
        if self.line == Line::Edge {
            // Once a minute a lease writes until when leases may be out. This one does, and those that are counted do not.
            self.ask_once()?;
        }
        (0..ALONE).map(one).collect()
    }

    /// A list begins with its first page each time.
    fn ask_once(&self) -> Result<()> {
        // The second request of this pace would be due after the end.
        self.ask(1, Pace::Fixed(1.0), Duration::from_millis(500))
    }

    fn ask(&self, clients: usize, pace: Pace, duration: Duration) -> Result<()> {
        let work = Rc::new(LineWork::new(self.line, self.subject.directories.clone(), clients));
        load::run(&work, &[self.subject.host.authority()], clients, pace, duration).map(drop)
    }

    /// Waits until the contender has done all work of the requests so far, that of its alarms too.
    fn rest(&self) -> Result<Tally> {
        let deadline = Instant::now() + REST_LIMIT;
        let (mut last, mut since) = (self.read()?, Instant::now());
        loop {
            sleep(Duration::from_millis(100));
            let tally = self.read()?;
            if tally.counts != last.counts {
                since = Instant::now();
            }
            let is_alarm_soon = tally.alarm_in_ms.is_some_and(|ms| ms < ALARM_SOON_MS);
            if !is_alarm_soon && since.elapsed() > PUT_OFF_MAX {
                return Ok(tally);
            }
            if interrupt::happened() {
                return Err("interrupted".into());
            }
            if Instant::now() > deadline {
                return Err(format!("{} does not come to rest", self.subject.contender.name()).into());
            }
            last = tally;
        }
    }

    fn read(&self) -> Result<Tally> {
        Ok(ureq::get(self.url()).call()?.body_mut().read_json()?)
    }

    fn reset(&self) -> Result<()> {
        ureq::post(self.url()).send_empty().map(drop).map_err(Into::into)
    }

    fn url(&self) -> String {
        format!("{}/__counts", self.subject.host.url)
    }
}
