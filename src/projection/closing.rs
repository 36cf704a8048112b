//! Removing everything that a closed object had in the projections. See
//! [`crate::organization::closing`].
//!
//! Invariants:
//!
//! - The fence is closed in the transaction that removes the first rows, and never opened
//!   again: a batch that comes later finds no place to start from.
//! - The work of one go is bounded, and all of it can be done again.

use std::borrow::Cow;

use super::cache;
use super::flush;
use super::stores::{Cache, Database, Statement, StoreError};
use crate::directory::identifiers::Tenant;
use crate::organization::sql::Parameter;

/// Rows of each table of the listing that one batch removes.
const ROWS_MAX: i64 = 500;
/// Keys of the cache that one step removes.
const KEYS_MAX: u32 = 100;
/// Most batches of the listing, and most steps in the cache, of one go: an invocation may
/// make a thousand calls, and every key is one.
const STEPS_MAX: usize = 8;

/// No batch begins at a negative number, and no audit sets a fence back that bears this name.
const CLOSE_FENCE: &str = "
    INSERT INTO projections (tenant, sequence, batch) VALUES (?1, -2, 'closed')
    ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, batch = excluded.batch";

/// What is about to be removed is overwritten where it lies: see [`crate::organization::erasure`].
const OVERWRITE_USERS: &str = "
    UPDATE end_users SET document = printf('%*s', octet_length(document), '') WHERE tenant = ?1
    AND user_id IN (SELECT user_id FROM end_users WHERE tenant = ?1 ORDER BY user_id LIMIT ?2)";

const REMOVE_USERS: &str = "
    DELETE FROM end_users WHERE tenant = ?1
    AND user_id IN (SELECT user_id FROM end_users WHERE tenant = ?1 ORDER BY user_id LIMIT ?2)";

const OVERWRITE_RELATIONSHIPS: &str = "
    UPDATE agent_users SET entry = printf('%*s', octet_length(entry), '') WHERE tenant = ?1 AND (agent_id, user_id) IN
    (SELECT agent_id, user_id FROM agent_users WHERE tenant = ?1 ORDER BY agent_id, user_id LIMIT ?2)";

const REMOVE_RELATIONSHIPS: &str = "
    DELETE FROM agent_users WHERE tenant = ?1 AND (agent_id, user_id) IN
    (SELECT agent_id, user_id FROM agent_users WHERE tenant = ?1 ORDER BY agent_id, user_id LIMIT ?2)";

/// The closed object, as the removal sees it.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait ClosedObject {
    /// Keys of the cache that begin with this and end with the next users' digests, and the number
    /// of the last of these users; `None` when there are no more.
    fn keys(&self, prefix: &str) -> Result<Option<(Vec<String>, i64)>, StoreError>;
    /// Hears that the cache holds no record of the users up to this number.
    fn advance(&self, number: i64) -> Result<(), StoreError>;
    /// Lets calls that wait for the object go first.
    async fn pause(&self);
}

/// Removes what there is, for one go, and says whether that was all. A store that is out
/// of reach does not keep the other waiting.
pub async fn clear<O: ClosedObject, D: Database, C: Cache>(
    object: &O,
    tenant: Tenant,
    database: &D,
    store: &C,
) -> Result<bool, StoreError> {
    let listing = clear_listing(object, &tenant.to_string(), database).await;
    let cache = clear_cache(object, &cache::prefix(tenant), store).await;
    Ok(listing? & cache?)
}

async fn clear_listing<O: ClosedObject, D: Database>(
    object: &O,
    tenant: &str,
    database: &D,
) -> Result<bool, StoreError> {
    let bounded = |sql| Statement {
        sql: Cow::Borrowed(sql),
        parameters: vec![Parameter::Text(tenant), Parameter::Integer(ROWS_MAX)],
    };
    let statements = [
        Statement { sql: Cow::Borrowed(CLOSE_FENCE), parameters: vec![Parameter::Text(tenant)] },
        bounded(OVERWRITE_USERS),
        bounded(REMOVE_USERS),
        bounded(OVERWRITE_RELATIONSHIPS),
        bounded(REMOVE_RELATIONSHIPS),
    ];
    for _ in 0..STEPS_MAX {
        let changed = database.batch(&statements).await?;
        if changed.iter().skip(1).all(|rows| *rows == 0) {
            return Ok(true);
        }
        object.pause().await;
    }
    Ok(false)
}

/// First the records of those whom the object knows, then whatever else has the prefix.
async fn clear_cache<O: ClosedObject, C: Cache>(object: &O, prefix: &str, store: &C) -> Result<bool, StoreError> {
    let mut cursor = String::new();
    for _ in 0..STEPS_MAX {
        let (keys, last, next) = if let Some((keys, last)) = object.keys(prefix)? {
            (keys, Some(last), None)
        } else {
            let (keys, next) = store.list(prefix, &cursor, KEYS_MAX).await?;
            (keys, None, next)
        };
        for keys in keys.chunks(flush::PUTS_AT_ONCE) {
            store.delete_all(keys).await?;
            object.pause().await;
        }
        match (last, next) {
            (Some(number), _) => object.advance(number)?,
            (None, Some(next)) => cursor = next,
            (None, None) => return Ok(true),
        }
    }
    Ok(false)
}
