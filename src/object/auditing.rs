//! Takes the steps of an audit, for a caller that waits or for the alarm.
//!
//! Invariant: one audit at a time. Two at once would count twice.

use std::rc::Rc;

use super::platform::ObjectPlatform;
use super::state::{ObjectState, begun_again};
use crate::directory::epoch::Epoch;
use crate::directory::timestamp::Timestamp;
use crate::json;
use crate::organization::audit::{AuditFinding, AuditStep, PendingUsers};
use crate::organization::change_log::ListingPosition;
use crate::projection::{StoreError, audit};

/// How long the last step of an audit may take, in milliseconds. Then another audit may run.
const AUDIT_GRACE_MS: i64 = 60_000;

impl<P: ObjectPlatform> ObjectState<P> {
    /// Whether somebody takes steps of an audit now.
    pub(super) fn is_being_audited(&self, now: Timestamp) -> bool {
        now.millis() < self.audited_until_ms.get()
    }

    /// Takes steps of the audit that is under way, if there is one.
    pub(super) async fn audit(self: &Rc<Self>) -> Result<(), StoreError> {
        let now = self.platform.now();
        if self.is_being_audited(now) || !self.core.borrow().is_audited() {
            return Ok(());
        }
        self.audited_until_ms.set(now.millis().saturating_add(audit::RUN_MS).saturating_add(AUDIT_GRACE_MS));
        let result = self.run_audit().await;
        self.audited_until_ms.set(0);
        result
    }

    async fn run_audit(self: &Rc<Self>) -> Result<(), StoreError> {
        let (database, cache) = (self.platform.database()?, self.platform.cache()?);
        // A fence that is lost makes flushes fail until the audit has mended it.
        let flush = async || {
            Self::flush_listing(self).await;
        };
        audit::run(&**self, &database, &cache, flush).await
    }
}

impl<P: ObjectPlatform> audit::AuditSource for ObjectState<P> {
    fn organization_record(&self) -> Result<Option<json::Text>, StoreError> {
        Ok(self.core.borrow().organization_record())
    }

    fn listing_position(&self) -> Result<ListingPosition, StoreError> {
        self.core.borrow().listing_position().ok_or_else(begun_again)
    }

    fn diverge(&self) -> Result<ListingPosition, StoreError> {
        let epoch = Epoch::draw(self.platform.random().map_err(|refusal| StoreError(refusal.0))?);
        let position = self.transaction(|core| core.diverge(self.platform.sql(), epoch, self.platform.now()))?;
        position.ok_or_else(begun_again)
    }

    fn next_step(&self) -> Result<Option<(AuditStep, PendingUsers)>, StoreError> {
        Ok(self.transaction(|core| core.next_audit_step(self.platform.sql(), self.platform.now()))?)
    }

    fn foreign_digests(&self, digests: &[String]) -> Result<(Vec<String>, i64), StoreError> {
        Ok(self.transaction(|core| core.foreign_digests(self.platform.sql(), digests, self.platform.now()))?)
    }

    fn foreign_copies(&self, places: &[(Epoch, String)]) -> Result<Vec<(Epoch, String)>, StoreError> {
        Ok(self.transaction(|core| core.foreign_copies(self.platform.sql(), places, self.platform.now()))?)
    }

    fn record(&self, before: &PendingUsers, finding: AuditFinding) -> Result<(), StoreError> {
        Ok(self.transaction(|core| core.record_audit(self.platform.sql(), before, finding, self.platform.now()))?)
    }
}
