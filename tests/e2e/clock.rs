//! Time: the test's own clock, and the Worker's clock under `tests/runtime/clock.mjs` or an entry that builds on
//! it.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rollcall::directory::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::server::{Options, Server, expect, roomy};
use crate::wait;

pub const ENTRY: &str = "tests/runtime/clock.mjs";

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(now.as_millis()).expect("a clock before the end of time")
}

/// An instant as the API writes it.
pub fn text(at_ms: i64) -> String {
    Timestamp::from_millis(at_ms).to_string()
}

/// Waits until the clock has moved on, so that the next action has a later instant than the last.
pub fn tick() {
    let before_ms = now_ms();
    wait::until("the next millisecond", now_ms, |now_ms| *now_ms > before_ms);
}

/// A Worker's clock that stands still until the test moves it.
pub struct Clock<'a> {
    server: &'a Server,
    at_ms: i64,
}

impl<'a> Clock<'a> {
    /// Stops the clock of a server at this instant.
    pub fn stop(server: &'a Server) -> Self {
        let clock = Self { server, at_ms: now_ms() };
        set(server, &json!({ "at_ms": clock.at_ms }));
        clock
    }

    pub const fn at_ms(&self) -> i64 {
        self.at_ms
    }

    /// Moves the clock forward.
    pub fn advance(&mut self, by: Duration) {
        self.at_ms += i64::try_from(by.as_millis()).expect("not that far");
        set(self.server, &json!({ "at_ms": self.at_ms }));
    }
}

/// Lets a server's clock run, ahead of the machine's by this much.
pub fn set_ahead(server: &Server, by: Duration) {
    set(server, &json!({ "ahead_ms": u64::try_from(by.as_millis()).expect("not that far") }));
}

/// Lets a server's clock and its timers run so many times as fast.
pub fn set_speed(server: &Server, speed: u32) {
    set(server, &json!({ "ahead_ms": 0, "speed": speed }));
}

fn set(server: &Server, setting: &Value) {
    assert_eq!(expect(200, server.anonymous().post("/__clock", setting)), *setting);
}

/// The server for tests in which no time may pass, such as those of a bucket's level.
pub fn stopped() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Server::start(Options { vars: roomy(), entry: Some(ENTRY) });
        Clock::stop(&server);
        server
    })
}
