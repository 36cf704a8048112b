//! A row of the change log, as a reader of events sees it.
//!
//! Invariant: the mark of a row and the id of its event follow from the whole row. So every reading of an event has the
//! same id, and no row that an object makes after it was restored has the mark of one that it has lost.

use sha2::{Digest, Sha256};

use super::change_log::{ChangeKind, Subject};
use super::protocol::{Actor, LogPlace};
use super::sql::{Row, Sql, SqlError};
use crate::directory::identifiers::{EventId, RequestId};
use crate::directory::timestamp::Timestamp;

/// The columns that [`LogRow::read`] reads, in this order.
pub const COLUMNS: &str = "sequence, kind, at, actor, key_id, request_id, subject, reference";

/// A condition that readers of events see a row. A row of a kind that a newer build has made counts too: it stays as long.
pub fn is_event() -> String {
    let of_listing = ChangeKind::OF_LISTING.map(ChangeKind::into_str).join("', '");
    format!("kind NOT IN ('{of_listing}')")
}

#[derive(Debug)]
pub struct LogRow {
    pub sequence: i64,
    pub kind: String,
    pub at: Timestamp,
    actor: String,
    /// The key or the named operator. Both are in the column `key_id`.
    actor_id: Option<String>,
    pub request_id: Option<RequestId>,
    pub subject: Subject,
}

impl LogRow {
    /// Reads the columns of [`COLUMNS`].
    pub fn read(row: &mut Row) -> Result<Self, SqlError> {
        Ok(Self {
            sequence: row.integer()?,
            kind: row.text()?,
            at: row.timestamp()?,
            actor: row.text()?,
            actor_id: row.optional_text()?,
            request_id: row.optional_parsed("request id")?,
            subject: Subject::new(row.integer()?, row.text()?),
        })
    }

    /// Finds a row by its number.
    pub fn find(sql: &impl Sql, sequence: i64) -> Result<Option<Self>, SqlError> {
        sql.find(&format!("SELECT {COLUMNS} FROM changes WHERE sequence = ?"), &[sequence.into()], Self::read)
    }

    pub fn actor(&self) -> Result<Actor, SqlError> {
        let unknown = || SqlError::corrupt("actor", "unknown");
        Ok(match (self.actor.as_str(), &self.actor_id) {
            ("key", Some(key_id)) => Actor::Key(key_id.parse().map_err(|_| unknown())?),
            ("operator", None) => Actor::Operator(None),
            ("operator", Some(named)) => Actor::Operator(Some(named.parse().map_err(|_| unknown())?)),
            ("system", None) => Actor::System,
            _ => return Err(unknown()),
        })
    }

    /// The row as a place.
    pub fn place(&self) -> LogPlace {
        let mut bytes = [0; 8];
        // Storage holds whole numbers below 2^53.
        if let (Some(low), Some(mark)) = (bytes.get_mut(2..), self.digest().get(10..16)) {
            low.copy_from_slice(mark);
        }
        LogPlace { sequence: self.sequence, mark: i64::from_be_bytes(bytes) }
    }

    pub fn event_id(&self) -> EventId {
        EventId::new(self.at, self.digest().first_chunk().copied().unwrap_or_default())
    }

    fn digest(&self) -> [u8; 32] {
        let Self { sequence, kind, at, request_id, subject: Subject { number, reference }, .. } = self;
        let request_id = request_id.map(|request_id| request_id.to_string()).unwrap_or_default();
        Sha256::digest(format!("{sequence} {kind} {} {request_id} {number} {reference}", at.millis())).into()
    }
}
