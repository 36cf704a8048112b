//! The flush brings the projections up to date with an object.
//!
//! Invariant: the object acknowledges a batch only after the store has confirmed that it holds the
//! batch. After a failure, a hang or a crash the object flushes the batch again from the change log. To
//! flush a batch twice is harmless.

use super::cache;
use super::listing::batches::{self, Applied};
use super::stores::{Cache, Database, StoreError};
use crate::organization::batches::Batch;
use crate::organization::change_log::Projection;

/// KV puts at a time. An invocation has six connections
/// (<https://developers.cloudflare.com/workers/platform/limits/>), and one is for the listing.
pub const PUTS_AT_ONCE: usize = 5;

/// Before a batch with this many changes the flush pauses, because more such batches may follow.
const BATCH_LARGE: usize = 100;

/// Most batches of one projection in one flush. An invocation may make a limited number of calls to
/// other services; the next flush continues.
pub const BATCHES_MAX: usize = 8;

/// The object, as a flush uses it.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Source {
    fn next_batch(&self, projection: Projection) -> Result<Option<Batch>, StoreError>;
    fn acknowledge(&self, projection: Projection, sequence: i64) -> Result<(), StoreError>;
    fn last_sequence(&self) -> Result<i64, StoreError>;
    /// Lets waiting calls go first. Otherwise a store that answers at once would keep the object busy
    /// for the whole flush.
    async fn pause(&self);
    /// The flush calls this when the listing is at a position that the object never set. Only an
    /// audit repairs that.
    fn diverged(&self) -> Result<(), StoreError>;
}

/// Flushes the changes until now to the listing, at most [`BATCHES_MAX`] batches. It leaves later
/// changes to the next flush, which then has larger batches.
pub async fn listing(source: &impl Source, database: &impl Database) -> Result<(), StoreError> {
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

/// Flushes the changes until now to the cache, at most [`BATCHES_MAX`] batches.
pub async fn cache(source: &impl Source, store: &impl Cache) -> Result<(), StoreError> {
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
