//! The memory of a contender's isolate: that of its module, and its JavaScript heap.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xtask::tools::Tools;
use xtask::{Result, process, root};

use crate::host::{Host, PUT_OFF_MAX};
use crate::raw::{Answer, Ask};

/// How long the work takes that was put off. Whoever watches keeps the runtime busy, so its idleness cannot be waited for.
const FLUSH_MAX: Duration = Duration::from_millis(300);

const MIB: f64 = 1_048_576.0;

/// What an isolate took, in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Taken {
    /// The module's memory, which never shrinks.
    pub wasm: u64,
    /// The most of the JavaScript heap that was in use.
    pub heap: u64,
    /// The most of it with its garbage. V8 collects it when the limit is near.
    pub with_garbage: u64,
}

impl Taken {
    /// The most of two.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            wasm: self.wasm.max(other.wasm),
            heap: self.heap.max(other.heap),
            with_garbage: self.with_garbage.max(other.with_garbage),
        }
    }

    pub const fn sum(self) -> u64 {
        self.wasm + self.heap
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of an isolate")]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// A contender behind `memory.mjs`, and its inspector.
#[derive(Debug)]
pub struct Isolate {
    pub host: Host,
    heap: Heap,
}

impl Isolate {
    pub fn new(tools: &Tools, host: Host) -> Result<Self> {
        let port = host.inspector.ok_or("the contender has no inspector")?;
        let heap = Heap::connect(&mut tools.command(tools.binary("node")), &root().join("bench/heap.mjs"), port)?;
        Ok(Self { host, heap })
    }

    /// A new instance of the module, whose memory is that of a new isolate.
    pub fn begin_anew(&mut self) -> Result<()> {
        Ask::new("POST", "/__memory").expect(self.host.authority())?;
        Ok(())
    }

    /// [`Self::take`] in a new instance.
    pub fn take_anew(&mut self, asks: &[Ask], settles: bool) -> Result<(Taken, Vec<Answer>)> {
        self.begin_anew()?;
        self.take(asks, settles)
    }

    /// Sends requests at the same time, and says what the isolate took until they were answered, and with `settles` until
    /// the work was done that follows an answer.
    pub fn take(&mut self, asks: &[Ask], settles: bool) -> Result<(Taken, Vec<Answer>)> {
        self.heap.order("watch")?;
        let answers = all_at_once(asks, self.host.authority());
        if settles {
            thread::sleep(PUT_OFF_MAX + FLUSH_MAX);
        }
        let (heap, with_garbage) = self.heap.peak()?;
        Ok((Taken { wasm: self.wasm_bytes()?, heap, with_garbage }, answers?))
    }

    fn wasm_bytes(&self) -> Result<u64> {
        let bytes = Ask::new("GET", "/__memory").expect(self.host.authority())?;
        Ok(bytes.as_u64().unwrap_or_default())
    }
}

fn all_at_once(asks: &[Ask], authority: &str) -> Result<Vec<Answer>> {
    let barrier = Barrier::new(asks.len());
    let send = |ask: &Ask| {
        barrier.wait();
        ask.send(authority).map_err(|error| error.to_string())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = asks.iter().map(|ask| scope.spawn(move || send(ask))).collect();
        let answers = threads.into_iter().map(|thread| Ok(thread.join().map_err(|_| "a request panicked")??));
        answers.collect()
    })
}

/// `heap.mjs`, which watches.
#[derive(Debug)]
struct Heap {
    child: Child,
    orders: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Heap {
    fn connect(node: &mut Command, script: &Path, port: u16) -> Result<Self> {
        let command = node.arg(script).arg(port.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = process::in_group(command).spawn()?;
        let orders = child.stdin.take().ok_or("heap.mjs has no input")?;
        let replies = child.stdout.take().ok_or("heap.mjs has no output")?;
        Ok(Self { child, orders, replies: BufReader::new(replies) })
    }

    fn peak(&mut self) -> Result<(u64, u64)> {
        let reply = self.order("peak")?;
        let bytes = reply.split_once(' ').and_then(|(live, all)| Some((live.parse().ok()?, all.parse().ok()?)));
        bytes.ok_or_else(|| format!("heap.mjs answered {reply:?}").into())
    }

    fn order(&mut self, order: &str) -> Result<String> {
        writeln!(self.orders, "{order}")?;
        let mut reply = String::new();
        self.replies.read_line(&mut reply)?;
        Ok(reply.trim().to_owned())
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        process::kill_group(&mut self.child);
    }
}
