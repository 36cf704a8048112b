//! The traffic between the object and the stores: batches to D1, puts to KV. It arrives in any order, late, twice
//! or never, and so do the answers.

use rollcall::directory::identifiers::BatchId;
use rollcall::organization::batches::Batch;
use rollcall::organization::change_log::Projection;
use rollcall::organization::protocol::Call;
use rollcall::projection::cache;
use rollcall::projection::listing::batches::Application;
use rollcall::projection::listing::fence;

use super::oracle::Effect;
use super::world::World;
use super::{Violation, ensure};

#[derive(Debug, Default)]
pub struct Network {
    /// Calls that arrive after their senders gave up.
    pub late_calls: Vec<Call>,
    /// Batches in flight to D1, each with the life of the object that sent it.
    pub to_listing: Vec<(u32, Batch)>,
    /// Answers of D1 in flight to the life of the object that waits for them.
    from_listing: Vec<(u32, i64)>,
    pub to_cache: Vec<Put>,
    /// The flush of the cache that the object waits for: one at a time.
    pub cache_flush: Option<CacheFlush>,
    /// Number of flushes of the cache so far.
    cache_flushes: u64,
}

/// A write in flight to KV.
#[derive(Debug)]
pub struct Put {
    flush: u64,
    user: usize,
    value: String,
}

#[derive(Debug)]
pub struct CacheFlush {
    number: u64,
    to: i64,
    /// Number of writes that KV has not confirmed.
    open: usize,
}

impl World<'_> {
    fn next_batch(&mut self, projection: Projection) -> Result<Option<Batch>, Violation> {
        let id = BatchId::new(self.now(), self.bytes());
        let batch = self.transact(|object, sql, now| object.next_batch(sql, projection, id, now))?.flatten();
        self.settle(&Effect::Nothing)?;
        Ok(batch)
    }

    fn acknowledge(&mut self, projection: Projection, sequence: i64) -> Result<(), Violation> {
        self.transact(|object, sql, now| object.acknowledge(sql, projection, sequence, now))?;
        self.trace(|| format!("{projection:?} has confirmed {sequence}"));
        self.settle(&Effect::Nothing).map(drop)
    }

    pub fn send_to_listing(&mut self) -> Result<(), Violation> {
        if let Some(batch) = self.next_batch(Projection::Listing)? {
            self.tally.count("batches sent to D1");
            self.trace(|| format!("to D1: {batch:?}"));
            self.network.to_listing.push((self.life, batch));
        }
        Ok(())
    }

    /// Delivers any batch, not only the oldest. Some batches arrive again later, some never, and some answers are
    /// lost.
    pub fn deliver_to_listing(&mut self) -> Result<(), Violation> {
        if !self.network.from_listing.is_empty() && self.random.u8(0..3) == 0 {
            let place = self.random.usize(0..self.network.from_listing.len());
            let (life, sequence) = self.network.from_listing.swap_remove(place);
            if life == self.life {
                self.acknowledge(Projection::Listing, sequence)?;
            }
        }
        if self.network.to_listing.is_empty() {
            return Ok(());
        }
        let place = self.random.usize(0..self.network.to_listing.len());
        let (life, batch) = if self.one_in(5) {
            self.tally.count("faults: batch comes twice");
            let (life, batch) = &self.network.to_listing[place];
            (*life, batch.clone())
        } else {
            self.network.to_listing.swap_remove(place)
        };
        if self.one_in(10) {
            self.tally.count("faults: batch lost");
            return Ok(());
        }
        let answer = self.apply(&batch)?;
        if self.one_in(6) {
            self.tally.count("faults: answer of D1 lost");
        } else if life == self.life
            && let Some(sequence) = answer
        {
            if self.one_in(5) {
                self.tally.count("faults: answer of D1 late");
                self.network.from_listing.push((life, sequence));
            } else {
                self.acknowledge(Projection::Listing, sequence)?;
            }
        }
        Ok(())
    }

    /// Applies a batch. Returns the position to acknowledge, if the object is there to receive it.
    fn apply(&mut self, batch: &Batch) -> Result<Option<i64>, Violation> {
        let application = Application::new(batch).map_err(|error| Violation(error.to_string()))?;
        let changed = self.bench.listing.batch(&application.statements())?;
        self.trace(|| format!("D1 gets {} to {}: {changed:?}", batch.from, batch.to));
        if changed[0] > 0 {
            return Ok(Some(batch.to));
        }
        self.tally.count("batches turned away by the fence");
        // A storage fault in between has made the object forget; it flushes again.
        let Some(last) = self.object.last_sequence() else { return Ok(None) };
        let position = self
            .bench
            .listing
            .texts(&fence::select_position(&batch.tenant.to_string()))?
            .first()
            .and_then(|text| text.parse().ok());
        // An earlier life does not ask for the listing's position, so `last` of the present life suffices.
        let acknowledged = fence::acknowledge_position(position, batch.from, last);
        acknowledged.map(Some).map_err(|error| Violation(error.0))
    }

    pub fn send_to_cache(&mut self) -> Result<(), Violation> {
        if self.network.cache_flush.is_some() {
            return Ok(());
        }
        let Some(batch) = self.next_batch(Projection::Cache)? else { return Ok(()) };
        self.network.cache_flushes += 1;
        let number = self.network.cache_flushes;
        let mut open = 0;
        for change in batch.changes.iter().filter(|change| cache::is_put(change)) {
            let (value, _) = cache::value(change).map_err(|error| Violation(error.to_string()))?;
            let user = self.number(&change.user_id);
            let key = cache::key(batch.tenant, &change.user_id);
            ensure!(self.bench.cache_keys[user] == key, "user {user} is put under {key}");
            self.trace(|| format!("to KV: {user} {value}"));
            self.network.to_cache.push(Put { flush: number, user, value });
            open += 1;
        }
        self.tally.count("batches sent to KV");
        if open == 0 {
            return self.acknowledge(Projection::Cache, batch.to);
        }
        self.network.cache_flush = Some(CacheFlush { number, to: batch.to, open });
        Ok(())
    }

    pub fn deliver_to_cache(&mut self) -> Result<(), Violation> {
        if self.network.to_cache.is_empty() {
            return Ok(());
        }
        let place = self.random.usize(0..self.network.to_cache.len());
        let put = self.network.to_cache.swap_remove(place);
        let is_on_time = self.network.cache_flush.as_ref().is_some_and(|flush| flush.number == put.flush);
        if !is_on_time {
            self.tally.count("faults: put to KV late");
        }
        let fails = self.one_in(12);
        if fails {
            // The write or its answer is lost: the flush fails and starts again.
            self.tally.count("faults: put to KV failed");
            if is_on_time {
                self.network.cache_flush = None;
            }
            if self.random.bool() {
                return Ok(());
            }
        }
        if is_on_time {
            self.kv[put.user].put(put.value);
        }
        let Some(flush) = self.network.cache_flush.as_mut().filter(|_| is_on_time) else { return Ok(()) };
        flush.open -= 1;
        if flush.open == 0 {
            let to = flush.to;
            self.network.cache_flush = None;
            self.acknowledge(Projection::Cache, to)?;
        }
        Ok(())
    }

    /// Delivers everything in flight. No sender waits for it.
    pub fn arrive(&mut self) -> Result<(), Violation> {
        while !self.network.late_calls.is_empty() {
            self.late_call_arrives()?;
            self.check()?;
        }
        self.crash();
        while let Some((_, batch)) = self.network.to_listing.pop() {
            self.apply(&batch)?;
            self.check()?;
        }
        while !self.network.to_cache.is_empty() {
            self.deliver_to_cache()?;
        }
        Ok(())
    }

    /// Flushes a projection until it has confirmed everything.
    pub fn catch_up(&mut self, projection: Projection) -> Result<(), Violation> {
        /// More batches than any seed's changes need.
        const BATCHES_MAX: usize = 1_000;
        for _ in 0..BATCHES_MAX {
            if projection == Projection::Cache {
                self.send_to_cache()?;
                if self.network.cache_flush.is_none() && !self.object.is_behind(Projection::Cache) {
                    return Ok(());
                }
                while self.network.cache_flush.is_some() {
                    self.deliver_to_cache()?;
                }
            } else {
                let Some(batch) = self.next_batch(projection)? else { return Ok(()) };
                if let Some(sequence) = self.apply(&batch)? {
                    self.acknowledge(projection, sequence)?;
                }
            }
            self.check()?;
        }
        Err(Violation(format!("{projection:?} never catches up")))
    }
}
