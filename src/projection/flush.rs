//! The flush brings the listing and the copies up to date with an object.
//!
//! Invariant: the object acknowledges a batch, or copies, only after the store has confirmed that it holds them. After
//! a failure, a hang or a crash the object writes them again. To write them twice is harmless.

use super::cache;
use super::listing::batches::{self, Applied};
use super::stores::{Cache, Database, StoreError};
use crate::directory::identifiers::Tenant;
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};
use crate::organization::batches::Batch;
use crate::organization::change_log::ListingPosition;
use crate::organization::copies::Copy;

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
    fn next_batch(&self) -> Result<Option<Batch>, StoreError>;
    fn acknowledge(&self, position: ListingPosition) -> Result<(), StoreError>;
    fn last_sequence(&self) -> Result<i64, StoreError>;
    /// Whether the object has moved the listing to where it was found. `since` is where it stood, as far as the object
    /// knew, before it was asked.
    fn owns(&self, found: Option<&ListingPosition>, since: &ListingPosition) -> Result<bool, StoreError>;
    /// Lets waiting calls go first. Otherwise a store that answers at once would keep the object busy
    /// for the whole flush.
    async fn pause(&self);
    /// Has an audit look where the listing stands. Only an audit sets it back.
    fn suspect_listing(&self) -> Result<(), StoreError>;
}

/// The object, as far as it keeps copies.
pub trait CopySource: Source {
    fn tenant(&self) -> Result<Tenant, StoreError>;
    fn now(&self) -> Timestamp;
    /// The copies to write now, a bounded number of them.
    fn due_copies(&self) -> Result<Vec<Copy>, StoreError>;
    fn confirm_copies(&self, written: &[Copy], began_at: Timestamp) -> Result<(), StoreError>;
    fn fail_copies(&self, written: &[Copy], error: &StoreError) -> Result<(), StoreError>;
}

/// Flushes the changes until now to the listing, at most [`BATCHES_MAX`] batches. It leaves later
/// changes to the next flush, which then has larger batches.
pub async fn listing(source: &impl Source, database: &impl Database) -> Result<(), StoreError> {
    let mut goal = None;
    for count in 0..BATCHES_MAX {
        let Some(batch) = source.next_batch()? else { return Ok(()) };
        if batch.from.sequence >= *goal.get_or_insert(source.last_sequence()?) {
            return Ok(());
        }
        if count > 0 && batch.changes.len() >= BATCH_LARGE {
            source.pause().await;
        }
        match batches::apply(database, &batch, |position| source.owns(position, &batch.from)).await? {
            Applied::UpTo(position) => source.acknowledge(position)?,
            Applied::Diverged(error) => {
                source.suspect_listing()?;
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Writes the copies that are due, at most [`BATCHES_MAX`] batches.
pub async fn copies(source: &impl CopySource, store: &impl Cache) -> Result<(), StoreError> {
    let mut is_first = true;
    for _ in 0..BATCHES_MAX {
        let due = source.due_copies()?;
        if due.is_empty() {
            return Ok(());
        }
        for copies in due.chunks(PUTS_AT_ONCE) {
            if !std::mem::take(&mut is_first) {
                source.pause().await;
            }
            let (tenant, began_at) = (source.tenant()?, source.now());
            let puts = copies.iter().filter(|copy| copy.user.is_some() || guards::is_on(Guard::Tombstone));
            let puts = puts.map(|copy| cache::put(tenant, copy, began_at)).collect::<Result<Vec<_>, _>>();
            let puts = puts.map_err(|error| StoreError(error.to_string()))?;
            if let Err(error) = store.put_all(&puts).await {
                source.fail_copies(copies, &error)?;
                return Err(error);
            }
            source.confirm_copies(copies, began_at)?;
        }
    }
    Ok(())
}
