//! Everything that the object holds about one user, as one JSON document.
//!
//! Invariant: the export reads every table that names a user. So it shows exactly what an erasure
//! removes.

use serde::Serialize;

use super::agents;
use super::erasure;
use super::idempotency::{self, KeptAnswer};
use super::protocol::Outcome;
use super::relationships;
use super::sql::{Sql, SqlError};
use super::user_row::UserRow;
use crate::directory::agent::AgentId;
use crate::directory::deletion::Receipt;
#[cfg(feature = "openapi")]
use crate::directory::end_user::EndUser;
use crate::directory::mood::Decay;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;
use crate::json;

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Export {
    exported_at: Timestamp,
    #[cfg_attr(feature = "openapi", schemars(with = "EndUser"))]
    end_user: json::Text,
    /// Answers kept for retries, each with the record as it was then.
    kept_answers: Vec<KeptAnswer>,
    #[cfg_attr(feature = "openapi", schemars(with = "Vec<relationships::RelationshipView<'_>>"))]
    relationships: Vec<json::Text>,
    /// The agents that belong to the user.
    owned_agents: Vec<AgentId>,
    /// Erasures that are in progress.
    deletions: Vec<Receipt>,
}

pub fn export<S: Sql>(sql: &S, user_id: &UserId, decay: Decay) -> Result<Outcome, SqlError> {
    let now = decay.now;
    let Some(found) = UserRow::find(sql, user_id)? else { return Ok(Outcome::NotFound) };
    let export = Export {
        exported_at: now,
        end_user: found.document()?,
        kept_answers: idempotency::kept_for(sql, found.number, now)?,
        relationships: relationships::all_of(sql, found.number, decay)?,
        owned_agents: agents::owned_by(sql, found.number)?,
        deletions: erasure::pending_for(sql, found.number)?,
    };
    let document = json::Text::of(&export).map_err(|error| SqlError::corrupt("export", error))?;
    Ok(Outcome::Export(document))
}
