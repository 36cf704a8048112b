//! What the listing holds of a relationship.

use super::sql::{Row, Sql, SqlError};
use super::stored_mood::{mood_of, read_numbers};
use crate::directory::agent::AgentId;
use crate::directory::mood::Mood;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;
use crate::json::{self, Raw, Unreadable};

/// What the listing holds of the relationships of some users, by their numbers: for each
/// the user, the agent and an [`Entry`] as text.
pub fn entries<S: Sql>(sql: &S, users: &[i64]) -> Result<Vec<(UserId, AgentId, String)>, SqlError> {
    let users = json::write(users).map_err(|error| SqlError::corrupt("list", error))?;
    let rows = sql.run(
        &format!(
            "SELECT u.user_id, a.agent_id, r.role, r.created_at, r.last_interaction_at, r.mood FROM relationships r
             JOIN users u ON u.number = r.user JOIN agents a ON a.number = r.agent WHERE r.user IN (SELECT value FROM json_each(?))"
        ),
        &[users.as_str().into()],
    )?;
    let read = |mut row: Row| {
        let user_id = UserId::new(row.text()?).map_err(|error| SqlError::corrupt("user id", error))?;
        let agent_id = row.text()?.parse().map_err(|error| SqlError::corrupt("agent id", error))?;
        let role = json::quote(&row.text()?);
        let (created_ms, last_ms) = (row.integer()?, row.optional_integer()?.unwrap_or(NEVER_MS));
        let mood = row.optional_text()?.map(|mood| [" ", &mood].concat()).unwrap_or_default();
        Ok((user_id, agent_id, format!("{created_ms} {last_ms}{mood}{role}")))
    };
    rows.into_iter().map(read).collect()
}

/// No instant: an interaction that there never was.
const NEVER_MS: i64 = -1;

/// What a relationship adds to the record of its user, as the listing holds it: the two instants
/// in milliseconds, the numbers of the mood if there is one, and right behind them the role. A page
/// holds hundreds, so it is neither JSON, which takes twice as long to read, nor what is shown of it,
/// which is three times as long.
#[derive(Debug)]
pub struct Entry<'a> {
    /// A text, as JSON.
    pub role: Raw<'a>,
    pub created_at: Timestamp,
    pub last_interaction_at: Option<Timestamp>,
    pub mood: Option<Mood>,
}

impl<'a> Entry<'a> {
    /// Reads what [`entries`] wrote.
    pub fn read(text: &'a str) -> Result<Self, SqlError> {
        Self::of(text).ok_or_else(|| SqlError::corrupt("entry", Unreadable))
    }

    fn of(text: &'a str) -> Option<Self> {
        let (numbers, role) = text.split_at_checked(text.bytes().position(|byte| byte == b'"')?)?;
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
