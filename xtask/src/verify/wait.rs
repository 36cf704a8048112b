//! Waiting for what the deployment does by itself.

use std::thread;
use std::time::{Duration, Instant};

/// The pause after the first look; each is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Looks until it is there or the time is over. Returns what it saw last.
pub fn until<T>(limit: Duration, mut look: impl FnMut() -> T, is_there: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + limit;
    let mut pause = PAUSE_MIN;
    loop {
        let is_last = Instant::now() >= deadline;
        let seen = look();
        if is_last || is_there(&seen) {
            return seen;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
