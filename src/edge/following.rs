//! Follows the events of a tenant, for a request that waits for them.
//!
//! Invariants:
//!
//! - Listening begins before the look at the log. So no event comes unheard between the two.
//! - The object checks the key at each look. The revocation of a key is an event, so whoever waits with it looks, and is
//!   refused.
//! - A reader whose filter leaves out what happens looks about once a second, however much happens.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::calls::ask_further;
use super::exchange::KeyHolder;
use super::runtime::{EventListener, Runtime};
use crate::directory::identifiers::RequestId;
use crate::fault::Fault;
use crate::organization::protocol::{EventsRead, ReadEvents};

/// How long a reader pauses who was woken in vain, or who cannot listen, in milliseconds.
const PAUSE_MS: u32 = 1_000;

/// A reader of events on their way.
pub struct Follower<R> {
    pub runtime: R,
    holder: KeyHolder,
    pub request_id: RequestId,
    /// What is read next.
    read: ReadEvents,
}

impl<R: Runtime> Follower<R> {
    /// Follows what comes after a page that was read.
    pub fn new(runtime: R, holder: KeyHolder, request_id: RequestId, read: ReadEvents, found: &EventsRead) -> Self {
        let mut follower = Self { runtime, holder, request_id, read };
        follower.pass(found);
        follower
    }

    fn pass(&mut self, found: &EventsRead) {
        if let EventsRead::Page(page) = found {
            self.read.after = Some(page.next);
        }
    }

    /// Waits for a page that has something, until an instant or until the caller is gone. Then the page is empty.
    pub async fn next(&mut self, until_ms: i64) -> Result<EventsRead, Fault> {
        let mut was_woken = false;
        loop {
            let listener = self.runtime.listen(self.holder.tenant).await.ok();
            let found = ask_further(&self.runtime, self.request_id, &self.holder, self.read.clone()).await?;
            self.pass(&found);
            let runtime = &self.runtime;
            let left_ms = u32::try_from(until_ms.saturating_sub(runtime.now().millis())).unwrap_or_default();
            if found.has_something() || left_ms == 0 {
                return Ok(found);
            }
            let woken = async {
                if was_woken || listener.is_none() {
                    runtime.pause(PAUSE_MS).await;
                }
                if let Some(listener) = &listener {
                    listener.heard().await;
                }
            };
            let over = async {
                let (time, gone) = (pin!(runtime.pause(left_ms)), pin!(runtime.caller_gone()));
                select(time, gone).await;
            };
            if let Either::Right(_) = select(pin!(woken), pin!(over)).await {
                return Ok(found);
            }
            was_woken = true;
        }
    }
}
