//! Bringing the projections up to date with an object.
//!
//! Invariant: a projection is acknowledged only after its store has said that it
//! holds the batch. Whatever fails, hangs or is cut off on the way is done again
//! from the outbox, and doing it again is harmless.

use futures_util::future::try_join_all;

use super::{Cache, Database, StoreError, cache, listing};
use crate::organization::outbox::{Batch, Projection};

/// KV puts at a time: one invocation may have six connections open, and one is
/// left for the listing.
const PUTS_AT_ONCE: usize = 5;

/// Most batches of one projection in one go. An invocation may make a limited
/// number of calls to other services; what is left is done by the next.
pub const BATCHES_MAX: usize = 8;

/// The object, as the flush sees it.
pub trait Source {
    fn next_batch(&self, projection: Projection) -> Result<Option<Batch>, StoreError>;
    fn acknowledge(&self, projection: Projection, sequence: i64) -> Result<(), StoreError>;
    fn last_sequence(&self) -> Result<i64, StoreError>;
}

/// Flushes the listing until it is up to date, at most [`BATCHES_MAX`] batches.
pub async fn listing<S: Source, D: Database>(source: &S, database: &D) -> Result<(), StoreError> {
    for _ in 0..BATCHES_MAX {
        let Some(batch) = source.next_batch(Projection::Listing)? else { return Ok(()) };
        let sequence = listing::apply(database, &batch, source.last_sequence()?).await?;
        source.acknowledge(Projection::Listing, sequence)?;
    }
    Ok(())
}

/// Flushes the cache until it is up to date, at most [`BATCHES_MAX`] batches.
pub async fn cache<S: Source, C: Cache>(source: &S, store: &C) -> Result<(), StoreError> {
    for _ in 0..BATCHES_MAX {
        let Some(batch) = source.next_batch(Projection::Cache)? else { return Ok(()) };
        for changes in batch.changes.chunks(PUTS_AT_ONCE) {
            try_join_all(changes.iter().map(async |change| {
                if !cache::is_put(change) {
                    return Ok(());
                }
                let (value, ttl_s) = cache::value(change).map_err(|error| StoreError(error.to_string()))?;
                store.put(&cache::key(batch.tenant, &change.user_id), &value, ttl_s).await
            }))
            .await?;
        }
        source.acknowledge(Projection::Cache, batch.to)?;
    }
    Ok(())
}
