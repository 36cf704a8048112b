//! Requests that wait for the turn of another request with the same `Idempotency-Key`, to get the same answer.
//!
//! Invariants:
//!
//! - At most [`WAITERS_MAX`] requests of an organization wait in an isolate. Any further one is told at once that the
//!   turn is in progress.
//! - A request waits for at most [`WAIT_MAX_MS`]. It pays once: asking again takes no token.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::calls::Request;
use super::exchange::{Exchange, KeyHolder};
use super::runtime::Runtime;
use crate::directory::identifiers::OrganizationId;
use crate::fault::Fault;
use crate::organization::protocol::{NewTurn, ReservedTurn};

/// Each waiter asks the object about once a second.
pub const WAITERS_MAX: u32 = 16;
/// The longest wait, in milliseconds. The platform ends the work for a caller 30 s after the caller has gone.
pub const WAIT_MAX_MS: i64 = 25_000;
/// The first pause, which doubles up to the last one, in milliseconds.
const PAUSE_FIRST_MS: u32 = 200;
const PAUSE_LAST_MS: u32 = 1_000;

/// How many requests of each organization wait in this isolate.
pub type TurnWaiters = RefCell<BTreeMap<OrganizationId, u32>>;

/// A request that waits, until it is dropped.
struct Waiter<'a> {
    waiters: &'a TurnWaiters,
    organization: OrganizationId,
}

impl<'a> Waiter<'a> {
    /// `None` if as many wait as may.
    fn begin(waiters: &'a TurnWaiters, organization: OrganizationId) -> Option<Self> {
        let mut counts = waiters.borrow_mut();
        let count = counts.entry(organization).or_default();
        if *count >= WAITERS_MAX {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Self { waiters, organization })
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut counts = self.waiters.borrow_mut();
        if let Some(count) = counts.get_mut(&self.organization) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.organization);
            }
        }
    }
}

/// Reserves a turn. If another request takes the same turn, waits until that is over: then the object gives the answer
/// that it kept, or reserves the turn for this request.
pub async fn reserve<R: Runtime>(
    exchange: &mut Exchange<'_, R>,
    holder: &KeyHolder,
    request: Request<NewTurn>,
) -> Result<ReservedTurn, Fault> {
    let again = Request { cost: 0, ..request.clone() };
    let reserved = exchange.execute_as(holder, request).await;
    let Err(Fault::IdempotencyInFlight) = reserved else { return reserved };
    let runtime = exchange.runtime;
    let organization = holder.tenant.organization;
    let Some(_waiter) = Waiter::begin(runtime.turn_waiters(), organization) else { return reserved };
    let until_ms = runtime.now().millis().saturating_add(WAIT_MAX_MS);
    let mut pause_ms = PAUSE_FIRST_MS;
    loop {
        runtime.pause(pause_ms).await;
        pause_ms = pause_ms.saturating_mul(2).min(PAUSE_LAST_MS);
        let reserved = exchange.execute_as(holder, again.clone()).await;
        let is_in_flight = matches!(reserved, Err(Fault::IdempotencyInFlight));
        if !is_in_flight || runtime.now().millis() >= until_ms {
            return reserved;
        }
    }
}
