//! What the listing holds of a relationship.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::sql::{Sql, SqlError, json_text};
use super::stored_mood::StoredMood;
use crate::directory::agent::AgentId;
use crate::json;

/// The role, the creation and the last interaction in milliseconds, and the mood: a JSON array. An agent's page
/// holds hundreds of entries.
#[derive(Debug, Serialize, Deserialize)]
pub struct RelationshipEntry<'a, M = StoredMood>(
    #[serde(borrow)] pub Cow<'a, str>,
    pub i64,
    pub Option<i64>,
    pub Option<M>,
);

/// The entries of a user's relationships, each with its agent.
pub fn entries(sql: &impl Sql, user: i64) -> Result<Vec<(AgentId, json::Text)>, SqlError> {
    sql.list(
        "SELECT a.agent_id, r.role, r.created_at, r.last_interaction_at, r.mood
         FROM relationships r JOIN agents a ON a.number = r.agent WHERE r.user = ?",
        &[user.into()],
        |row| {
            let agent_id = row.parsed("agent id")?;
            let (role, created_ms, last_ms) = (row.text()?, row.integer()?, row.optional_integer()?);
            let mood = row.optional_text()?.map(json::Text::parse).transpose();
            let mood = mood.map_err(|error| SqlError::corrupt("mood", error))?;
            let entry = RelationshipEntry(role.into(), created_ms, last_ms, mood);
            Ok((agent_id, json_text("a relationship", &entry)?))
        },
    )
}
