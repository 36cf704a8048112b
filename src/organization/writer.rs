//! What a command needs in order to change something.

use super::change_log::{Affected, ChangeKind, ChangeLog, Subject};
use super::copies::Copies;
use super::sql::{Sql, SqlError};
use crate::directory::end_user::Version;
use crate::directory::timestamp::Timestamp;

/// The storage, the change log, the copies, and the instant at which the transaction changes them.
pub struct Writer<'a, S> {
    pub sql: &'a S,
    pub log: &'a mut ChangeLog,
    pub copies: &'a mut Copies,
    pub now: Timestamp,
}

impl<S: Sql> Writer<'_, S> {
    /// Writes the row of a change. Returns the new version of the record.
    pub fn append(&mut self, kind: ChangeKind, subject: &Subject, affected: Affected) -> Result<Version, SqlError> {
        self.log.append(self.sql, kind, subject, affected)
    }
}
