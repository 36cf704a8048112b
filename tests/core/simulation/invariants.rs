//! Invariants after every step, and invariants after faults have ceased.

use super::stores::{answers_stored, listed};
use super::world::World;
use super::{Violation, ensure};

impl World<'_> {
    pub fn check(&mut self) -> Result<(), Violation> {
        self.oracle.check_acknowledged(&self.holdings)?;
        self.check_listing()?;
        self.check_alarm()
    }

    /// The listing holds what it has confirmed, and never goes back.
    fn check_listing(&mut self) -> Result<(), Violation> {
        let rows_written = self.bench.listing.rows_written();
        if self.listing_rows_written != rows_written {
            self.listing_rows_written = rows_written;
            let now = listed(&self.bench.listing, &self.bench.user_ids)?;
            for (user, (was, is)) in self.listed.iter().zip(&now).enumerate() {
                let (Some((was, _)), Some((is, _))) = (was, is) else { continue };
                ensure!(was <= is, "user {user}: the listing went back from {was:?} to {is:?}");
            }
            self.listed = now;
        }
        for (user, held) in self.holdings.users.iter().enumerate() {
            let listed = self.listed[user].as_ref();
            ensure!(listed.is_none() || held.is_some(), "user {user} is listed, and is none");
            if !self.holdings.unlisted[user] {
                let expected = held.as_ref().filter(|_| self.oracle.pending(user).is_none());
                let is_right = match (listed, expected) {
                    (Some((version, document)), Some(held)) => *version == held.version && *document == held.document,
                    (listed, expected) => listed.is_none() && expected.is_none(),
                };
                ensure!(is_right, "user {user}: the listing has confirmed {expected:?} and holds {listed:?}");
            }
        }
        Ok(())
    }

    /// The object knows of every piece of work that waits for the alarm, while the object knows anything.
    fn check_alarm(&self) -> Result<(), Violation> {
        let holdings = &self.holdings;
        let is_behind = holdings.unlisted.iter().any(|unconfirmed| *unconfirmed);
        let waits = is_behind || self.oracle.is_any_erasure_open();
        let has_work = self.object.work_at().is_some_and(|at| at <= self.now());
        let is_known = self.object.last_sequence().is_none() || has_work;
        ensure!(is_known || !waits, "something waits, and the alarm has no work");
        Ok(())
    }

    /// Faults cease: everything in flight arrives, then the listing catches up and every erasure completes.
    pub fn heal(&mut self) -> Result<(), Violation> {
        self.is_faulty = false;
        self.trace(|| "faults cease".to_owned());
        self.arrive()?;
        // The purge writes to the log, too.
        for _ in 0..2 {
            self.catch_up()?;
            self.purge()?;
        }
        self.check()?;
        let holdings = &self.holdings;
        let is_left = holdings.users.iter().flatten().any(|held| held.is_pending) || self.oracle.is_any_erasure_open();
        ensure!(!is_left, "an erasure is not completed: {:?}", holdings.users);
        ensure!(holdings.left_over <= 1, "the log holds {} rows that nothing needs", holdings.left_over);
        ensure!(holdings.confirmed == holdings.last_sequence, "not confirmed to the end: {holdings:?}");
        let (stored, kept) = (answers_stored(self.storage())?, self.oracle.answers_stored());
        ensure!(usize::try_from(stored) == Ok(kept), "{stored} answers are stored, {kept} are kept");
        Ok(())
    }
}
