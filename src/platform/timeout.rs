use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use worker::Delay;

/// Waits for a future, but not longer than this. What it stood for may still
/// happen: a time-out says only that nobody waits for it any more.
pub async fn within<F: Future>(limit_ms: u64, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(Delay::from(Duration::from_millis(limit_ms)))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(((), _)) => None,
    }
}
