//! The fence: where a tenant's listing stands.

use std::borrow::Cow;

use crate::organization::sql::Parameter;
use crate::projection::stores::{Database, Statement, StoreError};

const POSITION: &str = "SELECT CAST(sequence AS TEXT) AS text FROM projections WHERE tenant = ?1";

const RESET_FENCE: &str = "
    INSERT INTO projections (tenant, sequence, batch) VALUES (?1, ?2, 'reset')
    ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, batch = excluded.batch
    WHERE projections.sequence = ?3 AND projections.batch <> 'closed'";

/// What may be acknowledged after an attempt that the fence turned away.
///
/// The listing is then where an earlier attempt brought it, one whose answer was
/// lost: anywhere after `from` and up to the newest change. Anywhere else it is
/// not ours.
pub fn acknowledge_position(position: Option<i64>, from: i64, last_sequence: i64) -> Result<i64, StoreError> {
    match position {
        Some(position) if is_ours(Some(position), from, last_sequence) => Ok(position),
        other => Err(StoreError(format!(
            "the listing stands at {other:?}, which is not between {from} and {last_sequence}: it was lost or restored"
        ))),
    }
}

/// Whether the listing stands where its object may have brought it: at or after what
/// it has acknowledged, at or before the newest change.
pub fn is_ours(position: Option<i64>, acknowledged: i64, last_sequence: i64) -> bool {
    (acknowledged..=last_sequence).contains(&position.unwrap_or_default())
}

/// Asks where a tenant's listing stands.
pub fn select_position(tenant: &str) -> Statement<'_> {
    Statement { sql: Cow::Borrowed(POSITION), parameters: vec![Parameter::Text(tenant)] }
}

/// Where a tenant's listing stands; `None` when it was never brought anywhere.
pub async fn position<D: Database>(database: &D, tenant: &str) -> Result<Option<i64>, StoreError> {
    let texts = database.query(&select_position(tenant)).await?;
    Ok(texts.rows.first().and_then(|text| text.parse().ok()))
}

/// Moves the fence from where it was found to where its object is.
pub fn reset_fence(tenant: &str, found: Option<i64>, acknowledged: i64) -> Statement<'_> {
    let parameters = vec![Parameter::Text(tenant), acknowledged.into(), found.unwrap_or(-1).into()];
    Statement { sql: Cow::Borrowed(RESET_FENCE), parameters }
}
