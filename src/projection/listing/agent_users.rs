//! The page of an agent's users.

use std::borrow::Cow;

use super::keyset::just_after;
use crate::directory::agent::AgentId;
use crate::directory::identifiers::Tenant;
use crate::json::Unreadable;
use crate::projection::stores::{Bound, StoreError};

/// The number of characters, each of one byte, that follow the metadata in the shortest record.
pub const TAIL_LENGTH: usize = 138;

/// Separates the entry from the record: `char(30)`, which JSON text does not contain.
const BETWEEN: char = '\u{1e}';

/// The query for at most `limit` users of an agent, in byte order, after a given one.
pub fn page(tenant: Tenant, agent_id: AgentId, after: Option<&str>, limit: u32) -> Bound {
    let lower = after.map_or(String::new(), just_after);
    let values = vec![tenant.to_string().into(), agent_id.to_string().into(), lower.into(), i64::from(limit).into()];
    // The join is one search of the primary key for each row. The list does not show the end of a
    // record: without it D1 sends a third less.
    let sql = format!(
        "SELECT a.entry || char(30) || substr(e.document, 1, length(e.document) - {TAIL_LENGTH}) AS text
              FROM agent_users a CROSS JOIN end_users e ON e.tenant = a.tenant AND e.user_id = a.user_id
             WHERE a.tenant = ?1 AND a.agent_id = ?2 AND a.user_id >= ?3 ORDER BY a.user_id LIMIT ?4"
    );
    Bound { sql: Cow::Owned(sql), values }
}

/// Splits each row into the relationship's entry and the user's record, up to its metadata at least.
pub fn read(texts: &[String]) -> Result<Vec<(&str, &str)>, StoreError> {
    texts
        .iter()
        .map(|text| {
            text.split_once(BETWEEN).ok_or_else(|| StoreError(format!("the listing does not read: {Unreadable}")))
        })
        .collect()
}
