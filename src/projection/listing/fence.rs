//! The fence: where a tenant's listing stands. See [`crate::organization::change_log`].

use crate::organization::change_log::ListingPosition;
use crate::projection::stores::{Database, Statement, StoreError};

const POSITION: &str = "SELECT sequence || ' ' || mark AS text FROM projections WHERE tenant = ?1";

const RESET_FENCE: &str = "
    INSERT INTO projections (tenant, sequence, mark, batch) VALUES (?1, ?2, ?3, 'reset')
    ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, mark = excluded.mark, batch = excluded.batch
    WHERE projections.sequence = ?4 AND projections.mark = ?5 AND projections.batch <> 'closed'";

/// The query for the position of a tenant's listing.
pub fn select_position(tenant: &str) -> Statement<'_> {
    Statement::new(POSITION, [tenant.into()])
}

/// Reads what [`select_position`] returns.
pub fn read_position(text: &str) -> Option<ListingPosition> {
    let (sequence, mark) = text.split_once(' ')?;
    Some(ListingPosition { sequence: sequence.parse().ok()?, mark: mark.to_owned() })
}

/// The position of a tenant's listing; `None` when the tenant has none yet.
pub async fn position(database: &impl Database, tenant: &str) -> Result<Option<ListingPosition>, StoreError> {
    let texts = database.query(&select_position(tenant)).await?;
    Ok(texts.rows.first().and_then(read_position))
}

/// Moves the fence from where an audit found it to where the object wants it.
pub fn reset_fence<'a>(tenant: &'a str, found: Option<&'a ListingPosition>, to: &'a ListingPosition) -> Statement<'a> {
    let (sequence, mark) = found.map_or((-1, ""), |found| (found.sequence, found.mark.as_str()));
    let parameters = [tenant.into(), to.sequence.into(), to.mark.as_str().into(), sequence.into(), mark.into()];
    Statement::new(RESET_FENCE, parameters)
}
