//! The traffic between the object and D1: batches arrive in any order, late, twice or never, and so do the answers.

use rollcall::directory::identifiers::BatchId;
use rollcall::organization::batches::Batch;
use rollcall::organization::change_log::{ChangeLog, ListingPosition};
use rollcall::organization::protocol::Call;
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
    from_listing: Vec<(u32, ListingPosition)>,
}

impl World<'_> {
    fn next_batch(&mut self) -> Result<Option<Batch>, Violation> {
        let id = BatchId::new(self.now(), self.bytes());
        let batch = self.transact(|object, sql, now| object.next_batch(sql, id, now))?.flatten();
        self.settle(&Effect::Nothing)?;
        Ok(batch)
    }

    fn acknowledge(&mut self, position: ListingPosition) -> Result<(), Violation> {
        self.trace(|| format!("D1 has confirmed {position:?}"));
        self.transact(|object, sql, now| object.acknowledge(sql, position, now))?;
        self.settle(&Effect::Nothing).map(drop)
    }

    pub fn send_to_listing(&mut self) -> Result<(), Violation> {
        if let Some(batch) = self.next_batch()? {
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
            let (life, position) = self.network.from_listing.swap_remove(place);
            if life == self.life {
                self.acknowledge(position)?;
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
            && let Some(position) = answer
        {
            if self.one_in(5) {
                self.tally.count("faults: answer of D1 late");
                self.network.from_listing.push((life, position));
            } else {
                self.acknowledge(position)?;
            }
        }
        Ok(())
    }

    /// Applies a batch. Returns the position to acknowledge, if the object is there to receive it.
    fn apply(&mut self, batch: &Batch) -> Result<Option<ListingPosition>, Violation> {
        let application = Application::new(batch).map_err(|error| Violation(error.to_string()))?;
        let changed = self.bench.listing.batch(&application.statements())?;
        self.trace(|| format!("D1 gets {:?} to {:?}: {changed:?}", batch.from, batch.to));
        if changed[0] > 0 {
            return Ok(Some(batch.to.clone()));
        }
        self.tally.count("batches turned away by the fence");
        let texts = self.bench.listing.texts(&fence::select_position(&batch.tenant.to_string()))?;
        let position = texts.first().and_then(|text| fence::read_position(text));
        let Some(position) = position else { return Err(Violation("the listing has no position".to_owned())) };
        // A storage fault in between has made the object forget; it flushes again.
        if self.object.last_sequence().is_none() {
            return Ok(None);
        }
        let is_ours = ChangeLog::owns(self.storage(), Some(&position), &batch.from)?;
        ensure!(is_ours, "the object does not know {position:?}");
        Ok(Some(position))
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
        Ok(())
    }

    /// Flushes until the listing has confirmed everything.
    pub fn catch_up(&mut self) -> Result<(), Violation> {
        /// More batches than any seed's changes need.
        const BATCHES_MAX: usize = 1_000;
        for _ in 0..BATCHES_MAX {
            let Some(batch) = self.next_batch()? else { return Ok(()) };
            if let Some(position) = self.apply(&batch)? {
                self.acknowledge(position)?;
            }
            self.check()?;
        }
        Err(Violation("the listing never catches up".to_owned()))
    }
}
