//! The fence: the position of a tenant's listing, as a sequence number of its object.

use crate::projection::stores::{Database, Statement, StoreError};

const POSITION: &str = "SELECT CAST(sequence AS TEXT) AS text FROM projections WHERE tenant = ?1";

const RESET_FENCE: &str = "
    INSERT INTO projections (tenant, sequence, batch) VALUES (?1, ?2, 'reset')
    ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, batch = excluded.batch
    WHERE projections.sequence = ?3 AND projections.batch <> 'closed'";

/// The position that the object may acknowledge after the fence refused a batch.
///
/// If the answer to an earlier attempt was lost, that attempt has moved the listing to a position
/// after `from` and up to the newest change. Any other position means that the listing was lost or
/// restored.
pub fn acknowledge_position(position: Option<i64>, from: i64, last_sequence: i64) -> Result<i64, StoreError> {
    match position {
        Some(position) if is_ours(Some(position), from, last_sequence) => Ok(position),
        other => Err(StoreError(format!(
            "the listing stands at {other:?}, which is not between {from} and {last_sequence}: it was lost or restored"
        ))),
    }
}

/// Whether the object can have moved the listing to this position: it is between the acknowledged
/// sequence number and the newest change.
pub fn is_ours(position: Option<i64>, acknowledged: i64, last_sequence: i64) -> bool {
    (acknowledged..=last_sequence).contains(&position.unwrap_or_default())
}

/// The query for the position of a tenant's listing.
pub fn select_position(tenant: &str) -> Statement<'_> {
    Statement::new(POSITION, [tenant.into()])
}

/// The position of a tenant's listing; `None` when the tenant has none yet.
pub async fn position(database: &impl Database, tenant: &str) -> Result<Option<i64>, StoreError> {
    let texts = database.query(&select_position(tenant)).await?;
    Ok(texts.rows.first().and_then(|text| text.parse().ok()))
}

/// Moves the fence from the position that an audit found to the acknowledged one.
pub fn reset_fence(tenant: &str, found: Option<i64>, acknowledged: i64) -> Statement<'_> {
    Statement::new(RESET_FENCE, [tenant.into(), acknowledged.into(), found.unwrap_or(-1).into()])
}
