//! Bringing the projections up to date with an object.
//!
//! Invariant: a projection is acknowledged only after its store has said that it
//! holds the batch. Whatever fails, hangs or is cut off on the way is done again
//! from the outbox, and doing it again is harmless.

use super::cache;
use super::listing::batches::{self, Applied};
use super::stores::{Cache, Database, StoreError};
use crate::organization::outbox::{Batch, Projection};

/// KV puts at a time: one invocation may have six connections open, and one is
/// left for the listing.
pub const PUTS_AT_ONCE: usize = 5;

/// A batch of so many changes is one of many: others have their turn before it.
const BATCH_LARGE: usize = 100;

/// Most batches of one projection in one go. An invocation may make a limited
/// number of calls to other services; what is left is done by the next.
pub const BATCHES_MAX: usize = 8;

/// The object, as the flush sees it.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Source {
    fn next_batch(&self, projection: Projection) -> Result<Option<Batch>, StoreError>;
    fn acknowledge(&self, projection: Projection, sequence: i64) -> Result<(), StoreError>;
    fn last_sequence(&self) -> Result<i64, StoreError>;
    /// Lets calls that wait for the object go first. A store that answers at once
    /// would otherwise keep it busy until all is flushed.
    async fn pause(&self);
    /// Hears that the listing stands where this object never brought it: only an
    /// audit can mend that.
    fn diverged(&self) -> Result<(), StoreError>;
}

/// Flushes to the listing what has changed until now, at most [`BATCHES_MAX`] batches. What
/// changes meanwhile is left to the next, which then has more to do at once.
pub async fn listing<S: Source, D: Database>(source: &S, database: &D) -> Result<(), StoreError> {
    let mut goal = None;
    for count in 0..BATCHES_MAX {
        let Some(batch) = source.next_batch(Projection::Listing)? else { return Ok(()) };
        if batch.from >= *goal.get_or_insert(source.last_sequence()?) {
            return Ok(());
        }
        if count > 0 && batch.changes.len() >= BATCH_LARGE {
            source.pause().await;
        }
        match batches::apply(database, &batch, source.last_sequence()?).await? {
            Applied::UpTo(sequence) => source.acknowledge(Projection::Listing, sequence)?,
            Applied::Diverged(error) => {
                source.diverged()?;
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Flushes to the cache what has changed until now, at most [`BATCHES_MAX`] batches.
pub async fn cache<S: Source, C: Cache>(source: &S, store: &C) -> Result<(), StoreError> {
    let (mut goal, mut is_first) = (None, true);
    for _ in 0..BATCHES_MAX {
        let Some(batch) = source.next_batch(Projection::Cache)? else { return Ok(()) };
        if batch.from >= *goal.get_or_insert(source.last_sequence()?) {
            return Ok(());
        }
        for changes in batch.changes.chunks(PUTS_AT_ONCE) {
            if !std::mem::take(&mut is_first) {
                source.pause().await;
            }
            let changes = changes.iter().filter(|change| cache::is_put(change));
            let puts = changes.map(|change| cache::put(batch.tenant, change)).collect::<Result<Vec<_>, _>>();
            store.put_all(&puts.map_err(|error| StoreError(error.to_string()))?).await?;
        }
        source.acknowledge(Projection::Cache, batch.to)?;
    }
    Ok(())
}
