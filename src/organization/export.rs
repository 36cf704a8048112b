//! Everything that the object holds about one user, as one JSON document.
//!
//! Invariant: the export reads every table that names a user. So it shows exactly what an erasure removes.

use serde::Serialize;

use super::agents;
use super::erasure;
use super::failure::Failure;
use super::idempotency::{self, KeptAnswer};
use super::protocol::{Rejection, Resource};
use super::relationships;
use super::sql::{Sql, json_text};
use super::user_row::UserRow;
use crate::directory::agent::AgentId;
use crate::directory::deletion::Receipt;
use crate::directory::end_user::EndUser;
use crate::directory::mood::Decay;
use crate::directory::names::UserId;
use crate::directory::relationship::RelationshipView;
use crate::directory::timestamp::Timestamp;
use crate::json;

#[derive(Serialize, schemars::JsonSchema)]
pub struct Export<'a> {
    exported_at: Timestamp,
    end_user: EndUser,
    /// Answers kept for retries, each with the record as it was then.
    kept_answers: Vec<KeptAnswer>,
    relationships: Vec<RelationshipView<'a>>,
    /// The agents that belong to the user.
    owned_agents: Vec<AgentId>,
    /// Erasures that are in progress.
    deletions: Vec<Receipt>,
}

pub fn export(sql: &impl Sql, user_id: &UserId, decay: Decay) -> Result<json::Text, Failure> {
    let now = decay.now;
    let found = UserRow::find(sql, user_id)?.ok_or(Rejection::NotFound(Resource::EndUser))?;
    let relationships = relationships::all_of(sql, found.number)?;
    let export = Export {
        exported_at: now,
        kept_answers: idempotency::kept_for(sql, user_id, now)?,
        relationships: relationships.iter().map(|relationship| relationship.view(decay)).collect(),
        owned_agents: agents::owned_by(sql, found.number)?,
        deletions: erasure::pending_for(sql, found.number)?,
        end_user: found.user,
    };
    Ok(json_text("an export", &export)?)
}
