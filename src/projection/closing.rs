//! The removal of everything that a closed object had in the projections. See
//! [`crate::organization::closing`].
//!
//! Invariants:
//!
//! - The transaction that removes the first rows closes the fence for good, so no later batch can
//!   apply.
//! - The work of one invocation is bounded, and all of it can run again.

use super::cache;
use super::flush;
use super::listing::removal;
use super::stores::{Cache, Database, Statement, StoreError};
use crate::directory::identifiers::Tenant;
use crate::organization::closing::KnownCopy;

/// Most rows of each table of the listing that one batch removes.
const ROWS_MAX: i64 = 500;
/// Most keys of the cache that one step removes.
const KEYS_MAX: u32 = 100;
/// Most batches of the listing and most steps in the cache of one invocation. An invocation may make
/// 1,000 calls to other services, and every key is one call.
const STEPS_MAX: usize = 8;

/// No batch starts at a negative number, and no audit resets a fence with this name.
const CLOSE_FENCE: &str = "
    INSERT INTO projections (tenant, sequence, batch) VALUES (?1, -2, 'closed')
    ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, batch = excluded.batch";

/// So many rows of a tenant.
const USERS: &str =
    "tenant = ?1 AND user_id IN (SELECT user_id FROM end_users WHERE tenant = ?1 ORDER BY user_id LIMIT ?2)";
const ENTRIES: &str = "tenant = ?1 AND (agent_id, user_id) IN
    (SELECT agent_id, user_id FROM agent_users WHERE tenant = ?1 ORDER BY agent_id, user_id LIMIT ?2)";

/// The closed object, as the removal uses it.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait ClosedObject {
    /// The next copies that the object knows; empty when none is left.
    fn copies(&self) -> Result<Vec<KnownCopy>, StoreError>;
    /// Records that KV holds none of the copies up to this number.
    fn advance(&self, number: i64) -> Result<(), StoreError>;
    /// Lets waiting calls go first.
    async fn pause(&self);
}

/// Removes as much as one invocation may, and returns whether nothing is left. If one store is out of
/// reach, the removal still clears the other.
pub async fn clear(
    object: &impl ClosedObject,
    tenant: Tenant,
    database: &impl Database,
    store: &impl Cache,
) -> Result<bool, StoreError> {
    let listing = clear_listing(object, &tenant.to_string(), database).await;
    let cache = clear_cache(object, tenant, store).await;
    Ok(listing? & cache?)
}

async fn clear_listing(object: &impl ClosedObject, tenant: &str, database: &impl Database) -> Result<bool, StoreError> {
    let bounded = |sql: String| Statement::new(sql, [tenant.into(), ROWS_MAX.into()]);
    let statements = [
        Statement::new(CLOSE_FENCE, [tenant.into()]),
        bounded(removal::overwrite_users(USERS)),
        bounded(removal::remove_users(USERS)),
        bounded(removal::overwrite_entries("", ENTRIES)),
        bounded(removal::remove_entries("", ENTRIES)),
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

/// First removes the copies that the object knows, then every other key of the tenant.
async fn clear_cache(object: &impl ClosedObject, tenant: Tenant, store: &impl Cache) -> Result<bool, StoreError> {
    let prefix = cache::prefix(tenant);
    let mut cursor = String::new();
    for _ in 0..STEPS_MAX {
        let known = object.copies()?;
        // KV takes one write a second for each key, so what is removed is not removed again after a failure.
        for copies in known.chunks(flush::PUTS_AT_ONCE) {
            let keys: Vec<String> = copies.iter().map(|copy| cache::key(tenant, copy.epoch, &copy.digest)).collect();
            store.delete_all(&keys).await?;
            copies.last().map_or(Ok(()), |last| object.advance(last.number))?;
            object.pause().await;
        }
        if !known.is_empty() {
            continue;
        }
        let (keys, next) = store.list(&prefix, &cursor, KEYS_MAX).await?;
        for keys in keys.chunks(flush::PUTS_AT_ONCE) {
            store.delete_all(keys).await?;
            object.pause().await;
        }
        match next {
            Some(next) => cursor = next,
            None => return Ok(true),
        }
    }
    Ok(false)
}
