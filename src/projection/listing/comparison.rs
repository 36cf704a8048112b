//! The rows that an audit reads from the listing, and the rows that it removes.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::keyset::just_after;
use super::removal;
use crate::directory::end_user::Version;
use crate::directory::identifiers::Tenant;
use crate::directory::names::{Name, UserId};
use crate::organization::batches::ProjectedRecord;
use crate::projection::stores::{Database, Rows, Statement, StoreError};

/// Most rows that one step of an audit reads.
pub const ROWS_MAX: u32 = 500;

const FIND: &str = "
    SELECT json_object('user_id', user_id, 'version', version,
      'display_name', display_name, 'metadata', metadata, 'document', document, 'relationships',
      (SELECT count(*) FROM agent_users a WHERE a.tenant = ?1 AND a.user_id = end_users.user_id)) AS text FROM end_users
    WHERE tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))";

const BY_CREATION: &str = "
    SELECT json_object('user_id', user_id, 'created_at_ms', created_at) AS text FROM end_users
    WHERE tenant = ?1 AND created_at >= ?2 AND (created_at, user_id) >= (?2, ?3)
    ORDER BY created_at, user_id LIMIT ?4";

/// The rows of some users, unless the listing has moved.
const FOREIGN: &str = "tenant = ?1 AND user_id IN (SELECT value FROM json_each(?2))
    AND EXISTS (SELECT 1 FROM projections WHERE tenant = ?1 AND sequence = ?3)";

/// A row of the listing.
#[derive(Debug, Deserialize)]
pub struct ListedUser {
    pub user_id: String,
    version: Version,
    display_name: Option<String>,
    metadata: String,
    document: String,
    relationships: i64,
}

impl ListedUser {
    /// Whether the row is as the object expects, with as many relationships. A user whose relationships change has a new
    /// version.
    pub fn is(&self, version: Version, record: &ProjectedRecord, relationships: i64) -> bool {
        self.version == version
            && self.relationships == relationships
            && self.display_name.as_deref() == record.display_name.as_ref().map(Name::as_str)
            && self.metadata == record.metadata.as_str()
            && self.document == record.document.as_str()
    }
}

/// The rows of some users, in any order.
pub async fn find(database: &impl Database, tenant: Tenant, ids: &[&UserId]) -> Result<Vec<ListedUser>, StoreError> {
    let (tenant, ids) = (tenant.to_string(), write(&ids)?);
    let texts = database.query(&Statement::new(FIND, [tenant.into(), ids.into()])).await?;
    read_all(&texts.rows)
}

/// The place of a row in the order of creation. Its id is not checked: damage can put any text there.
#[derive(Debug, Deserialize)]
pub struct Place {
    pub user_id: String,
    pub created_at_ms: i64,
}

/// At most [`ROWS_MAX`] rows from an instant of creation on, after a given row.
pub async fn by_creation(
    database: &impl Database,
    tenant: Tenant,
    from_ms: i64,
    after: Option<&Place>,
) -> Result<Vec<Place>, StoreError> {
    let (millis, lower) = match after {
        Some(place) => (place.created_at_ms, just_after(&place.user_id)),
        None => (from_ms, String::new()),
    };
    let parameters = [tenant.to_string().into(), millis.into(), lower.into(), i64::from(ROWS_MAX).into()];
    let texts = database.query(&Statement::new(BY_CREATION, parameters)).await?;
    read_all(&texts.rows)
}

/// Removes rows that belong to no user, with their relationships, unless the listing has moved since the object
/// judged them. Returns the number of removed users.
pub async fn remove_foreign(
    database: &impl Database,
    tenant: Tenant,
    ids: &[&str],
    sequence: i64,
) -> Result<u64, StoreError> {
    let (tenant, ids) = (tenant.to_string(), write(&ids)?);
    let statements = [
        removal::overwrite_users(FOREIGN),
        removal::remove_users(FOREIGN),
        removal::overwrite_entries(removal::BY_USER, FOREIGN),
        removal::remove_entries(removal::BY_USER, FOREIGN),
    ]
    .map(|sql| Statement::new(sql, [tenant.as_str().into(), ids.as_str().into(), sequence.into()]));
    let changed = database.batch(&statements).await?;
    Ok(changed.get(1).copied().unwrap_or_default())
}

fn write(ids: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(ids).map_err(|error| StoreError(error.to_string()))
}

/// Reads rows that are JSON.
fn read_all<T: DeserializeOwned>(rows: &Rows) -> Result<Vec<T>, StoreError> {
    let rows = rows.iter().map(serde_json::from_str);
    rows.collect::<Result<_, _>>().map_err(|error| StoreError(format!("the listing does not read: {error}")))
}
