//! Calls: one call is one transaction, and its alarm is set in it.
//!
//! Invariants:
//!
//! - Everything that decides is synchronous and in one transaction. The output gate holds the reply back
//!   until the transaction is durable.
//! - While the listing lacks a change, a copy is due, or a row waits for its expiry, an alarm is set.

use std::rc::Rc;

use super::alarm::{ALARM_FIRST_MS, is_dropped};
use super::clearing::LAST_LOOK_MS;
use super::platform::ObjectPlatform;
use super::state::ObjectState;
use crate::directory::timestamp::Timestamp;
use crate::organization::core::OrganizationCore;
use crate::organization::protocol::{self, Answer, Call, ClosingProgress, Reply};
use crate::organization::sql::SqlError;
use crate::projection::StoreError;

impl<P: ObjectPlatform> ObjectState<P> {
    /// Executes a call in one transaction, which also sets the alarm; a call that only reads runs without
    /// one. Starts the flush of what the call changed.
    pub(super) fn commit(state: &Rc<Self>, call: &[u8]) -> Result<Reply, StoreError> {
        let call: Call = protocol::decode(call).map_err(|error| StoreError(error.to_string()))?;
        let wants_lease = call.edge.as_ref().is_some_and(|edge| edge.used.is_some());
        let now = state.platform.now();
        // A transaction takes longer than everything else that a read does here.
        let needs_transaction = state.core.borrow().needs_transaction(state.platform.sql(), &call)?;
        let reply = if needs_transaction {
            let reply = state.transaction(|core| {
                let reply = core.handle(state.platform.sql(), call, now)?;
                state.set_alarm_for(core, &reply, now)?;
                Ok(reply)
            });
            reply.inspect_err(|_| state.alarm_at_ms.set(None))
        } else {
            let reply = state.core.borrow_mut().handle(state.platform.sql(), call, now);
            // A user may be copied from now on, and an alarm may have been dropped.
            if let Ok(reply) = &reply {
                state.set_alarm_for(&state.core.borrow(), reply, now)?;
            }
            reply
        };
        let reply = reply?;
        if reply.outcome.as_ref().is_ok_and(Answer::is_requested_erasure) {
            drop(Self::purge(state));
        }
        if wants_lease {
            Self::look_at_listing(state, now);
        }
        Self::flush_soon(state, now);
        Self::look_at_alarm(state);
        Ok(reply)
    }

    /// Sets the alarm for the work that a call leaves.
    fn set_alarm_for(&self, core: &OrganizationCore, reply: &Reply, now: Timestamp) -> Result<(), SqlError> {
        match &reply.outcome {
            Ok(Answer::Close(ClosingProgress { completed_at: Some(_), .. })) => {
                self.set_alarm(now.millis().saturating_add(LAST_LOOK_MS))?;
            }
            // After a failure the alarm waits, however often somebody asks how far the removal is.
            Ok(Answer::Close(_) | Answer::CloseAgain(_)) if self.is_waiting_after_failure(now) => {}
            Ok(Answer::Close(_) | Answer::CloseAgain(_)) => self.set_alarm(now.millis())?,
            _ => {}
        }
        // The alarm that is set may be for an expiry a day from now.
        let Some(work_at) = core.work_at() else { return Ok(()) };
        let wanted_ms = work_at.millis().max(now.millis().saturating_add(ALARM_FIRST_MS));
        let is_set = |at_ms| at_ms <= wanted_ms && !is_dropped(at_ms, now);
        if !self.alarm_at_ms.get().is_some_and(is_set) {
            self.set_alarm(wanted_ms)?;
        }
        Ok(())
    }
}
