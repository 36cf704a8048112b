//! The page of an agent's users.

use serde::Deserialize;

use super::keyset::just_after;
use super::page;
use crate::directory::agent::AgentId;
use crate::directory::identifiers::Tenant;
use crate::directory::names::{Name, UserId};
use crate::json::Members;
use crate::organization::relationship_entry::RelationshipEntry;
use crate::projection::stores::Statement;

// The join is one search of the primary key for each row.
const PAGE: &str = "
    SELECT json_array(a.user_id, e.display_name, json(e.metadata), json(a.entry)) AS text
    FROM agent_users a CROSS JOIN end_users e ON e.tenant = a.tenant AND e.user_id = a.user_id
    WHERE a.tenant = ?1 AND a.agent_id = ?2 AND a.user_id >= ?3 ORDER BY a.user_id LIMIT ?4 + 1 OFFSET ?5";

/// A bound of the bytes of an entry: what nests in the metadata is shown as JSON in a string, whose escapes double
/// it at most, the mood repeats the id, and the names of the members, instants and levels have less than 1,000 bytes.
const ENTRY_BYTES: &str = "2 * octet_length(text) + 1000";

/// A row of [`page`]: the user's part of the record, and the relationship's.
#[derive(Debug, Deserialize)]
pub struct AgentUserRow<'a>(
    pub UserId,
    pub Option<Name>,
    #[serde(borrow)] pub Members<'a>,
    #[serde(borrow)] pub RelationshipEntry<'a>,
);

/// The query for a page of an agent's users, in byte order, after a given one and `offset` more.
pub fn page(tenant: Tenant, agent_id: AgentId, after: Option<&str>, offset: u32, limit: u32) -> Statement<'static> {
    let lower = after.map_or(String::new(), just_after);
    let (limit, offset) = (i64::from(limit).into(), i64::from(offset).into());
    let parameters = [tenant.to_string().into(), agent_id.to_string().into(), lower.into(), limit, offset];
    Statement::new(page::bounded(PAGE, ENTRY_BYTES), parameters)
}
