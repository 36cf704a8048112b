//! What the listing holds of a relationship.
//!
//! Format: the creation and the last interaction in milliseconds, then the numbers of the mood if
//! there is one, with a blank between two numbers, then the role as a JSON string. An agent's page
//! holds hundreds of entries. JSON takes twice as long to read, and the shown form is three times as
//! long.

use super::sql::{Row, Sql, SqlError, json_list};
use super::stored_mood::{mood_of, read_numbers};
use crate::directory::agent::AgentId;
use crate::directory::mood::Mood;
use crate::directory::timestamp::Timestamp;
use crate::json::{self, Raw, Unreadable};

/// Stands for the last interaction of a relationship without one.
const NEVER_MS: i64 = -1;

/// The entries of the relationships of some users: for each the user's row number, the agent and
/// the entry.
pub fn entries<S: Sql>(sql: &S, users: &[i64]) -> Result<Vec<(i64, AgentId, String)>, SqlError> {
    let users = json_list(users)?;
    let rows = sql.run(
        "SELECT r.user, a.agent_id, r.role, r.created_at, r.last_interaction_at, r.mood
         FROM relationships r JOIN users u ON u.number = r.user JOIN agents a ON a.number = r.agent
         WHERE r.user IN (SELECT value FROM json_each(?))",
        &[users.as_str().into()],
    )?;
    let read = |mut row: Row| {
        let user = row.integer()?;
        let agent_id = row.text()?.parse().map_err(|error| SqlError::corrupt("agent id", error))?;
        let role = json::quote(&row.text()?);
        let (created_ms, last_ms) = (row.integer()?, row.optional_integer()?.unwrap_or(NEVER_MS));
        let mood = row.optional_text()?.map(|mood| format!(" {mood}")).unwrap_or_default();
        Ok((user, agent_id, format!("{created_ms} {last_ms}{mood}{role}")))
    };
    rows.into_iter().map(read).collect()
}

/// An entry, as it is read.
#[derive(Debug)]
pub struct RelationshipEntry<'a> {
    /// A JSON string.
    pub role: Raw<'a>,
    pub created_at: Timestamp,
    pub last_interaction_at: Option<Timestamp>,
    pub mood: Option<Mood>,
}

impl<'a> RelationshipEntry<'a> {
    /// Reads what [`entries`] wrote.
    pub fn read(text: &'a str) -> Result<Self, SqlError> {
        Self::of(text).ok_or_else(|| SqlError::corrupt("entry", Unreadable))
    }

    fn of(text: &'a str) -> Option<Self> {
        let (numbers, role) = text.split_at_checked(text.find('"')?)?;
        let numbers = read_numbers(numbers)?;
        let (&[created_ms, last_ms], mood) = numbers.split_first_chunk()?;
        Some(Self {
            role: Raw::of_checked(role),
            created_at: Timestamp::from_millis(created_ms),
            last_interaction_at: (last_ms != NEVER_MS).then(|| Timestamp::from_millis(last_ms)),
            mood: if mood.is_empty() { None } else { Some(mood_of(mood)?) },
        })
    }
}
