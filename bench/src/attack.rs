//! What a hostile tenant sends, and how: many connections, at a rate of its own, whatever the answers.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use xtask::Result;

use crate::letters::Letters;
use crate::raw::Ask;
use crate::setup::Directory;

/// Users with the longest metadata, who fill a page of 2 MB.
pub const LARGE: usize = 130;
/// Answers that are kept about one user, who is exported.
pub const KEPT: usize = 90;
const BODY_BYTES: usize = 64 * 1024;
const BATCH_BYTES: usize = 1024 * 1024;
const METADATA_BYTES: usize = 16 * 1024;
/// A slow upload sends one byte in such a time.
const DRIBBLE: Duration = Duration::from_millis(50);

/// What a hostile tenant does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    Batches,
    Pages,
    Searches,
    Exports,
    Flood,
    Garbage,
    Repetitions,
    Turns,
    SlowUploads,
}

/// How the tenant's requests were answered.
#[derive(Debug, Default)]
pub struct Tally {
    pub admitted: AtomicU64,
    pub refused: AtomicU64,
    /// Broken, or not answered when the round ended.
    pub unanswered: AtomicU64,
}

impl Tally {
    pub fn requests(&self) -> u64 {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        of(&self.admitted) + of(&self.refused) + of(&self.unanswered)
    }
}

impl Attack {
    pub const ALL: [Self; 9] = [
        Self::Batches,
        Self::Pages,
        Self::Searches,
        Self::Exports,
        Self::Flood,
        Self::Garbage,
        Self::Repetitions,
        Self::Turns,
        Self::SlowUploads,
    ];

    pub const fn title(self) -> &'static str {
        match self {
            Self::Batches => "batches of 1 MiB",
            Self::Pages => "pages of 2 MB",
            Self::Searches => "searches: by prefix, from the end, at offset 10,000",
            Self::Exports => "exports of 1.5 MB",
            Self::Flood => "a flood of reads",
            Self::Garbage => "1 MiB of nested arrays",
            Self::Repetitions => "one idempotency key with 64 KiB",
            Self::Turns => "turns of a model that takes 5 s, half with one idempotency key",
            Self::SlowUploads => "uploads of 20 bytes a second",
        }
    }

    /// Requests that begin in a second.
    pub const fn rate(self) -> u32 {
        match self {
            Self::Batches | Self::Garbage => 20,
            Self::Flood => 500,
            Self::Pages | Self::Searches | Self::Exports | Self::Repetitions | Self::Turns | Self::SlowUploads => 100,
        }
    }

    pub const fn connections(self) -> usize {
        match self {
            Self::Turns | Self::SlowUploads => 96,
            _ => 16,
        }
    }

    /// The request with this number.
    pub fn ask(self, directory: &Directory, number: u64) -> Ask {
        let api = |method, path: &str| Ask::new(method, path).with("authorization", &directory.bearer);
        match self {
            Self::Batches => {
                let user = |row: usize| json!({ "user_id": format!("b-{number}-{row}"), "metadata": { "a": "x".repeat(2_000) } });
                api("POST", "/v1/end-users/batch")
                    .json(json!({ "users": (0..500).map(user).collect::<Vec<_>>() }).to_string())
            }
            Self::Pages => api("GET", "/v1/end-users?limit=200&user_id_prefix=large-"),
            Self::Searches => match number % 3 {
                0 => api("GET", "/v1/end-users?limit=200&user_id_prefix=known-"),
                1 => api("GET", "/v1/end-users?limit=200&order=desc&order_by=created_at"),
                _ => Ask::new("GET", "/api/v1/principals?limit=200&offset=10000")
                    .with("x-assistant-service-key", &directory.service_key),
            },
            Self::Exports => api("GET", "/v1/end-users/kept/export"),
            Self::Flood => api("GET", "/v1/end-users/known-0001"),
            Self::Garbage => {
                api("POST", "/v1/end-users/batch").json("[".repeat(BATCH_BYTES / 2) + &"]".repeat(BATCH_BYTES / 2))
            }
            Self::Repetitions => {
                let context = Letters::Quotes.object(BODY_BYTES - 1_000);
                let agent = &directory.agent_id;
                let body = format!("{{\"message\":\"Hi\",\"personality_id\":\"{agent}\",\"context\":{context}}}");
                api("POST", "/v1/respond").with("idempotency-key", "repeated").json(body)
            }
            Self::Turns => {
                let key = if number.is_multiple_of(2) { "waited-for".to_owned() } else { format!("turn-{number}") };
                let body = json!({ "message": "Hi", "personality_id": directory.agent_id }).to_string();
                api("POST", "/v1/respond").with("idempotency-key", &key).json(body)
            }
            Self::SlowUploads => api("POST", "/v1/end-users").json(vec![b' '; BODY_BYTES]),
        }
    }

    /// Sends requests for so long, as `ask` makes them.
    pub fn run(self, authority: &str, duration: Duration, ask: &(dyn Fn(u64) -> Ask + Sync)) -> Tally {
        let (tally, next) = (Tally::default(), AtomicU64::new(0));
        let began = Instant::now();
        let ends = began + duration;
        let client = || loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "requests of a few seconds")]
            let due = began + Duration::from_secs_f64(number as f64 / f64::from(self.rate()));
            // Connections that wait for answers do not catch up.
            if due.max(Instant::now()) >= ends {
                return;
            }
            let ask = ask(number);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if self == Self::SlowUploads {
                // The connection stays until the end.
                tally.unanswered.fetch_add(1, Ordering::Relaxed);
                return drop(dribble(&ask, authority, ends));
            }
            let count = match ask.send_until(authority, ends) {
                Ok(answer) if matches!(answer.status, 429 | 403) => &tally.refused,
                Ok(_) => &tally.admitted,
                Err(_) => &tally.unanswered,
            };
            count.fetch_add(1, Ordering::Relaxed);
        };
        thread::scope(|scope| (0..self.connections()).for_each(|_| drop(scope.spawn(client))));
        tally
    }
}

fn dribble(ask: &Ask, authority: &str, ends: Instant) -> Result<()> {
    let mut stream = TcpStream::connect(authority)?;
    stream.write_all(ask.head("close").as_bytes())?;
    while Instant::now() < ends {
        stream.write_all(b" ")?;
        thread::sleep(DRIBBLE);
    }
    Ok(())
}

/// Makes what the attacks ask for.
pub fn prepare(authority: &str, directory: &Directory) -> Result<()> {
    let user = |id: &str| format!("{{\"user_id\":\"{id}\",\"metadata\":{}}}", Letters::Quotes.object(METADATA_BYTES));
    let create = |id: &str, key: &str| {
        let ask = Ask::new("POST", "/v1/end-users").with("authorization", &directory.bearer);
        ask.with("idempotency-key", key).json(user(id)).expect(authority)
    };
    for number in 0..LARGE {
        create(&format!("large-{number}"), &format!("large-{number}"))?;
    }
    for number in 0..KEPT {
        create("kept", &format!("kept-{number}"))?;
    }
    Ok(())
}
