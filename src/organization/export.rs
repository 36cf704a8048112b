//! Everything that is held about one user, as one JSON document.
//!
//! Invariant: every table that names a user is read here, so that what a person is
//! shown is what there is, and what an erasure removes.

use serde::Serialize;
use serde_json::value::RawValue;

use super::deletions;
use super::idempotency::{self, KeptAnswer};
use super::protocol::Outcome;
use super::registry;
use super::sql::{Sql, SqlError};
use crate::directory::deletion::Receipt;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;

#[derive(Serialize)]
struct Export {
    exported_at: Timestamp,
    end_user: Box<RawValue>,
    /// Answers kept for retries, each with the record as it then was.
    kept_answers: Vec<KeptAnswer>,
    /// Erasures that are under way.
    deletions: Vec<Receipt>,
}

pub fn export<S: Sql>(sql: &S, user_id: &UserId, now: Timestamp) -> Result<Outcome, SqlError> {
    let Outcome::EndUser { document, .. } = registry::read(sql, user_id)? else { return Ok(Outcome::NotFound) };
    let export = Export {
        exported_at: now,
        end_user: document,
        kept_answers: idempotency::kept_for(sql, user_id, now)?,
        deletions: deletions::pending_for(sql, user_id)?,
    };
    let document = serde_json::value::to_raw_value(&export).map_err(|error| SqlError::corrupt("export", error))?;
    Ok(Outcome::Export(document))
}
