//! What a command needs in order to change something.

use super::change_log::{Affected, ChangeKind, ChangeLog, Subject};
use super::copies::Copies;
use super::failure::Failure;
use super::protocol::{Precondition, Rejection};
use super::sql::{Sql, SqlError};
use crate::directory::end_user::Version;
use crate::directory::organization::{Capacity, Limits};
use crate::directory::timestamp::Timestamp;

/// The storage, the change log, the copies, what the tenant may hold, and the instant at which the transaction changes
/// them.
pub struct Writer<'a, S> {
    pub sql: &'a S,
    pub log: &'a mut ChangeLog,
    pub copies: &'a mut Copies,
    pub limits: Limits,
    pub now: Timestamp,
}

impl<S: Sql> Writer<'_, S> {
    /// Writes the row of a change. Returns the new version of the record.
    pub fn append(
        &mut self,
        kind: impl Into<ChangeKind>,
        subject: &Subject,
        affected: Affected,
    ) -> Result<Version, SqlError> {
        self.log.append(self.sql, kind, subject, affected)
    }

    /// Rejects a version on which the request may not act. The request may act again on what it has made itself: the
    /// platform repeats a call whose reply it has lost, and the second reply is the one that arrives.
    pub fn check_version(&self, condition: Option<&Precondition>, version: Version) -> Result<(), Failure> {
        if Precondition::permits(condition, version) || self.log.is_own(self.sql, version)? {
            Ok(())
        } else {
            Err(Rejection::PreconditionFailed.into())
        }
    }

    /// Refuses a further end user beyond the limits.
    pub fn check_room_for_user(&self) -> Result<(), Failure> {
        if self.log.end_users() >= self.limits.end_users {
            return Err(Rejection::OverCapacity(Capacity::EndUsers).into());
        }
        self.check_storage()
    }

    /// Refuses what makes a record, or makes one longer, once the storage has its size. The erasure of a person or an agent
    /// goes on, and so does a turn.
    pub fn check_storage(&self) -> Result<(), Failure> {
        self.check_storage_within(self.limits.storage_bytes)
    }

    /// Refuses a change that makes nothing longer, once the storage has twice its size: its row in the log and its receipt
    /// take room too.
    pub fn check_storage_for_change(&self) -> Result<(), Failure> {
        self.check_storage_within(self.limits.storage_bytes.saturating_mul(2))
    }

    fn check_storage_within(&self, bytes: u64) -> Result<(), Failure> {
        if self.sql.size_bytes()? >= bytes {
            return Err(Rejection::OverCapacity(Capacity::Storage).into());
        }
        Ok(())
    }
}
