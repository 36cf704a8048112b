//! Takes the steps of an audit, for a caller that waits or for the alarm.
//!
//! Invariant: one audit at a time. Two at once would count twice.

use std::rc::Rc;

use super::state::{ObjectState, begun_again, succeeded};
use crate::platform::{self, D1, Kv};
use rollcall::directory::epoch::Epoch;
use rollcall::json;
use rollcall::organization::audit::{AuditFinding, AuditStep, PendingUsers};
use rollcall::organization::change_log::ListingPosition;
use rollcall::projection::{StoreError, audit};

/// How long a step may take beyond the limit of the audit, in milliseconds.
const AUDIT_GRACE_MS: i64 = 60_000;

impl ObjectState {
    /// Takes steps of the audit that is under way, for `limit_ms`. Before each step it flushes, so that as
    /// few changes as possible are on their way to the stores.
    pub(super) async fn audit(self: &Rc<Self>, limit_ms: i64) -> Result<(), StoreError> {
        if platform::now().millis() < self.audited_until_ms.get() {
            return Ok(());
        }
        let until_ms = platform::now().millis().saturating_add(limit_ms);
        self.audited_until_ms.set(until_ms.saturating_add(AUDIT_GRACE_MS));
        let result = self.audit_until(until_ms).await;
        self.audited_until_ms.set(0);
        result
    }

    async fn audit_until(self: &Rc<Self>, until_ms: i64) -> Result<(), StoreError> {
        while self.core.borrow().is_audited() && platform::now().millis() < until_ms {
            // A fence that is lost makes flushes fail until the audit has mended it.
            succeeded(Self::flush_listing(self)).await;
            let database = D1::of(&self.env)?;
            let cache = Kv::of(&self.env)?;
            if !audit::step(&**self, &database, &cache).await? {
                break;
            }
        }
        Ok(())
    }
}

impl audit::AuditSource for ObjectState {
    fn organization_record(&self) -> Result<Option<json::Text>, StoreError> {
        Ok(self.core.borrow().organization_record())
    }

    fn listing_position(&self) -> Result<ListingPosition, StoreError> {
        self.core.borrow().listing_position().ok_or_else(begun_again)
    }

    fn diverge(&self) -> Result<ListingPosition, StoreError> {
        let epoch = Epoch::draw(platform::random().map_err(|refusal| StoreError(refusal.0))?);
        let position = self.transaction(|core| core.diverge(&self.sql, epoch, platform::now()))?;
        position.ok_or_else(begun_again)
    }

    fn next_step(&self) -> Result<Option<(AuditStep, PendingUsers)>, StoreError> {
        Ok(self.transaction(|core| core.next_audit_step(&self.sql, platform::now()))?)
    }

    fn foreign_digests(&self, digests: &[String]) -> Result<(Vec<String>, i64), StoreError> {
        Ok(self.transaction(|core| core.foreign_digests(&self.sql, digests, platform::now()))?)
    }

    fn foreign_copies(&self, digests: &[String]) -> Result<Vec<String>, StoreError> {
        Ok(self.transaction(|core| core.foreign_copies(&self.sql, digests, platform::now()))?)
    }

    fn record(&self, before: &PendingUsers, finding: AuditFinding) -> Result<(), StoreError> {
        Ok(self.transaction(|core| core.record_audit(&self.sql, before, finding, platform::now()))?)
    }
}
