//! What the listing holds of a relationship.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::sql::{Sql, SqlError, json_list, json_text};
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

/// The entries of the relationships of some users: for each the user's row number, the agent and the entry.
pub fn entries(sql: &impl Sql, users: &[i64]) -> Result<Vec<(i64, AgentId, json::Text)>, SqlError> {
    sql.list(
        "SELECT r.user, a.agent_id, r.role, r.created_at, r.last_interaction_at, r.mood
         FROM relationships r JOIN users u ON u.number = r.user JOIN agents a ON a.number = r.agent
         WHERE r.user IN (SELECT value FROM json_each(?))",
        &[json_list(users)?.as_str().into()],
        |row| {
            let (user, agent_id) = (row.integer()?, row.parsed("agent id")?);
            let (role, created_ms, last_ms) = (row.text()?, row.integer()?, row.optional_integer()?);
            let mood = row.optional_text()?.map(json::Text::parse).transpose();
            let mood = mood.map_err(|error| SqlError::corrupt("mood", error))?;
            let entry = RelationshipEntry(role.into(), created_ms, last_ms, mood);
            Ok((user, agent_id, json_text("a relationship", &entry)?))
        },
    )
}
