//! The load generator: a number of connections, each with one request at a time.
//!
//! It runs on one thread. The report gives this thread's share of a core, so that a reader sees that the generator
//! is not the limit.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::http::response::Parts;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use xtask::{Error, Result};

use crate::host::thread_cpu_s;

/// Latencies up to one minute, with three significant digits.
const LATENCY_MAX_US: u64 = 60_000_000;
/// Precision of the timer.
const TIMER_GRAIN: Duration = Duration::from_millis(2);

/// A workload.
pub trait Work {
    /// The next request of a client.
    fn request(&self, client: usize) -> Request<Full<Bytes>>;
    /// Checks an answer. The error describes the fault.
    fn answered(&self, client: usize, head: &Parts, body: &[u8]) -> std::result::Result<(), String>;
}

/// The rate of requests.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// Each client sends its next request as soon as it has an answer.
    Saturated,
    /// This many requests start in each second, even if earlier ones have no answer yet. Latency counts from the
    /// moment a request was due.
    Fixed(f64),
}

/// The measurements of one run of the generator.
#[derive(Debug)]
pub struct Outcome {
    pub completed: u64,
    pub elapsed_s: f64,
    latency_us: Histogram<u64>,
    /// CPU time of the generator, in seconds.
    pub generator_s: f64,
}

impl Outcome {
    /// Counts the requests of another run in.
    pub fn add(&mut self, other: &Self) -> Result<()> {
        self.completed += other.completed;
        self.elapsed_s += other.elapsed_s;
        self.generator_s += other.generator_s;
        Ok(self.latency_us.add(&other.latency_us)?)
    }

    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of a minute")]
        let us = self.latency_us.value_at_quantile(quantile) as f64;
        us / 1_000.0
    }
}

struct Shared<W> {
    work: Rc<W>,
    pace: Pace,
    began: Instant,
    ends: Instant,
    /// Number of started requests, for a fixed pace.
    begun: Cell<u32>,
    completed: Cell<u64>,
    latency_us: RefCell<Histogram<u64>>,
}

/// Sends requests for this long. The connections go to these servers in turn.
pub fn run<W: Work + 'static>(
    work: &Rc<W>,
    authorities: &[&str],
    clients: usize,
    pace: Pace,
    duration: Duration,
) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let own_thread = Path::new("/proc/thread-self");
    let cpu_s = thread_cpu_s(own_thread)?;
    let outcome = LocalSet::new().block_on(&runtime, async {
        let mut connections = Vec::new();
        for authority in authorities.iter().cycle().take(clients) {
            connections.push(connect(authority).await?);
        }
        let began = Instant::now();
        let shared = Rc::new(Shared {
            work: Rc::clone(work),
            pace,
            began,
            ends: began + duration,
            begun: Cell::new(0),
            completed: Cell::new(0),
            latency_us: RefCell::new(Histogram::new_with_max(LATENCY_MAX_US, 3)?),
        });
        let tasks: Vec<_> = connections
            .into_iter()
            .enumerate()
            .map(|(client, connection)| tokio::task::spawn_local(ask(Rc::clone(&shared), client, connection)))
            .collect();
        for task in tasks {
            task.await??;
        }
        Ok::<_, Error>(Outcome {
            completed: shared.completed.get(),
            elapsed_s: began.elapsed().as_secs_f64(),
            latency_us: shared.latency_us.borrow().clone(),
            generator_s: 0.0,
        })
    })?;
    Ok(Outcome { generator_s: thread_cpu_s(own_thread)? - cpu_s, ..outcome })
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}

async fn ask<W: Work>(shared: Rc<Shared<W>>, client: usize, mut connection: SendRequest<Full<Bytes>>) -> Result<()> {
    loop {
        let due = match shared.pace {
            Pace::Saturated => Instant::now(),
            Pace::Fixed(rate) => {
                let number = shared.begun.replace(shared.begun.get() + 1);
                shared.began + Duration::from_secs_f64(f64::from(number) / rate)
            }
        };
        if due >= shared.ends {
            return Ok(());
        }
        wait_until(due).await;
        connection.ready().await?;
        let response = connection.send_request(shared.work.request(client)).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let latency = u64::try_from(due.elapsed().as_micros())?.clamp(1, LATENCY_MAX_US);
        shared.latency_us.borrow_mut().record(latency)?;
        shared.completed.set(shared.completed.get() + 1);
        shared.work.answered(client, &head, &body)?;
    }
}

/// The timer wakes up to a millisecond late, so the last part of the wait is a busy loop.
async fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if let Some(left) = left.checked_sub(TIMER_GRAIN) {
        tokio::time::sleep(left).await;
    }
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}
