//! The copies in KV: the users who are read at the edge, and what KV holds of each. [`super::copying`] finds them.
//!
//! A user is *copied* from when readers at the edge have looked for a copy twice and found none, for a day. While the
//! user is copied, the object keeps the copy up to date. Nothing is put for anybody else.
//!
//! Invariants:
//!
//! - **A copy that is older than the user is listed.** From the commit of a change until [`SPREAD_MS`] after KV has
//!   confirmed that change, every lease names the user and the version that a copy must have. A user who has not
//!   changed since the copy was begun has no older one: a row outlives its copy.
//! - A write that KV did not answer may still arrive within [`SPREAD_MS`], over a newer one. So a confirmation counts
//!   only if the confirmed write began later than that. After a restart every write that was not confirmed counts as
//!   not answered.
//! - A copy ends by itself a day after it was begun, whatever fails.
//! - The object completes the erasure of a person with a copy only after KV has confirmed the tombstone, or after the
//!   copy has ended.
//! - KV is never ahead of the listing: a copy is written only after the listing has confirmed its change, and the one
//!   that says that the user is copied. So an object that was restored to a state before either sees it by the place
//!   where the listing stands.
//! - Only the flush writes or removes a copy that the object knows, and not twice within [`KV_PAUSE_MS`]. An audit removes
//!   what the object does not know ([`super::copying::foreign`]).
//! - A copy lies under the epoch of the object. An object that may have been restored, or whose listing may have been,
//!   draws a new epoch. Nobody reads a copy of an earlier one.
//!
//! KV promises no bound for how long a change takes to be seen everywhere
//! (<https://developers.cloudflare.com/kv/concepts/how-kv-works/>, "60 seconds or more"). [`SPREAD_MS`] is our
//! assumption, and stands in docs/operating.md.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::schema;
use super::sql::{Row, Sql, SqlError, json_list};
use crate::backoff;
use crate::directory::end_user::{EndUser, Version};
use crate::directory::epoch::Epoch;
use crate::directory::principal::PrincipalId;
use crate::directory::timestamp::Timestamp;
use crate::guards::{self, Guard};

/// How long KV may take to show a confirmed write everywhere, and how late a write may arrive that KV did not answer,
/// in milliseconds.
pub const SPREAD_MS: i64 = 300_000;
/// How long a user is copied, in milliseconds.
pub const COPIED_MS: i64 = 24 * 60 * 60 * 1_000;
/// The shortest time between two writes of one copy, in milliseconds. A user who changes all the time costs one write
/// a minute.
pub const REWRITE_MS: i64 = 60_000;
/// KV takes one write a second for each key, in milliseconds
/// (<https://developers.cloudflare.com/kv/platform/limits/>). What must go soon is written after this.
pub const KV_PAUSE_MS: i64 = 2_000;
/// A copy that ends sooner is not written again, in milliseconds. KV keeps a value for a minute at least
/// (<https://developers.cloudflare.com/kv/api/write-key-value-pairs/#expiring-keys>), and a batch takes a while.
pub const WRITE_LAST_MS: i64 = 120_000;
/// Most users of a tenant who are copied.
const COPIES_MAX: u64 = 10_000;
/// Most users whom readers missed once, and whom the object remembers.
const MISSES_MAX: usize = 10_000;
/// Most users that a lease names. With more, there is no lease.
pub const LISTED_MAX: usize = 1_000;
/// The longest pause after KV has failed, in milliseconds.
pub const BACKOFF_MAX_MS: i64 = 15 * 60 * 1_000;
/// Stands for an end that is not known yet. It is below 2^53, and later than every instant.
const OPEN: i64 = 9_000_000_000_000_000;

pub const EPOCH: &str = "copies_epoch";
const FAILURES: &str = "copies_failures";
const RETRY_AT: &str = "copies_retry_at";

/// What the object remembers of its copies.
#[derive(Debug)]
pub struct Copies {
    epoch: Epoch,
    /// The number of rows, or more.
    held: u64,
    /// How far the listing has confirmed.
    confirmed: i64,
    /// Not later than when the next copy is to be written; `None` when none is.
    due_at: Option<Timestamp>,
    /// How often KV has failed since it last took a write.
    failures: i64,
    /// After a failure KV is left alone until then.
    retry_at: Timestamp,
    /// Whether the object has seen, since it started, that the listing stands where it left it.
    are_trusted: bool,
    /// Users whom readers have looked for in vain, once.
    missed: HashSet<String>,
}

/// A user as KV holds them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopiedUser {
    pub principal_id: PrincipalId,
    pub user: EndUser,
}

/// A copy that is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// The number of its row.
    pub number: i64,
    pub epoch: Epoch,
    pub digest: String,
    pub version: Version,
    /// `None` when the user is erased, or the epoch is over: KV must hold nothing of them.
    pub user: Option<CopiedUser>,
    /// When the copy ends.
    pub ends_at: Timestamp,
}

/// Where an outage of KV begins or ends, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    Begins,
    Ends,
}

impl Copies {
    /// `confirmed` is how far the listing has confirmed.
    pub fn load(sql: &impl Sql, confirmed: i64, now: Timestamp) -> Result<Self, SqlError> {
        let mut copies = Self {
            epoch: Epoch::of_number(schema::read(sql, EPOCH)?),
            held: sql.count("SELECT count(*) FROM copies", &[])?,
            confirmed,
            due_at: None,
            failures: schema::read(sql, FAILURES)?,
            retry_at: Timestamp::from_millis(schema::read(sql, RETRY_AT)?),
            are_trusted: false,
            missed: HashSet::new(),
        };
        if copies.held > 0 && guards::is_on(Guard::UnansweredWrite) {
            let settles_at = now.plus_ms(SPREAD_MS);
            let settle = "UPDATE copies SET settles_at = ?, is_sent = 0 WHERE is_sent = 1 AND due_at IS NOT NULL";
            sql.execute(settle, &[settles_at.into()])?;
        }
        copies.find_due(sql, now)?;
        Ok(copies)
    }

    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether there may be a lease.
    pub const fn are_trusted(&self) -> bool {
        self.are_trusted
    }

    /// Notes that the listing stands where the object left it.
    pub const fn trust(&mut self) {
        self.are_trusted = true;
    }

    /// Records that the listing may stand where the object has not moved it: no lease until it does not.
    pub const fn distrust(&mut self) {
        self.are_trusted = false;
    }

    /// When there is next something to write, with regard to the pause after a failure.
    pub fn due_at(&self) -> Option<Timestamp> {
        self.due_at.map(|due_at| due_at.max(self.retry_at))
    }

    /// Begins an epoch. What lies under the earlier ones is to be removed. A repeated call finds that its epoch has
    /// begun, and leaves the copies in it alone.
    pub fn begin_epoch(&mut self, sql: &impl Sql, epoch: Epoch, now: Timestamp) -> Result<(), SqlError> {
        if epoch == self.epoch {
            return Ok(());
        }
        schema::write(sql, EPOCH, epoch.number())?;
        self.epoch = epoch;
        self.missed.clear();
        let remove = "UPDATE copies SET due_at = max(?, written_at + ?), listed_until = 0";
        sql.execute(remove, &[now.into(), KV_PAUSE_MS.into()])?;
        self.find_due(sql, now)
    }

    /// Whether readers at the edge have looked for a copy of a user twice now, and a further user may be copied.
    pub fn is_missed_again(&mut self, digest: &str) -> bool {
        if self.missed.remove(digest) {
            return self.held < COPIES_MAX;
        }
        if self.missed.len() >= MISSES_MAX {
            self.missed.clear();
        }
        self.missed.insert(digest.to_owned());
        false
    }

    /// Whether a user is copied.
    pub fn is_copied(&self, sql: &impl Sql, user: i64, now: Timestamp) -> Result<bool, SqlError> {
        let select = "SELECT 1 FROM copies WHERE user = ? AND epoch = ? AND ends_at > ?";
        sql.exists(select, &[user.into(), self.epoch.number().into(), now.into()])
    }

    /// Whether KV must show the copy of a user everywhere.
    pub fn is_settled(&self, sql: &impl Sql, user: i64, now: Timestamp) -> Result<bool, SqlError> {
        let select = "SELECT 1 FROM copies
                      WHERE user = ? AND epoch = ? AND due_at IS NULL AND listed_until <= ? AND written_at <= ?";
        let since = now.millis().saturating_sub(SPREAD_MS);
        sql.exists(select, &[user.into(), self.epoch.number().into(), now.into(), since.into()])
    }

    /// Whether KV still has to be told something of a user.
    pub fn is_to_be_written(&self, sql: &impl Sql, user: i64) -> Result<bool, SqlError> {
        let select = "SELECT 1 FROM copies WHERE user = ? AND due_at IS NOT NULL";
        Ok(self.held > 0 && sql.exists(select, &[user.into()])?)
    }

    /// Begins to copy a user who is not copied. `sequence` is the number of the change that says so.
    pub fn begin(
        &mut self,
        sql: &impl Sql,
        digest: &str,
        (user, version): (i64, Version),
        sequence: i64,
        now: Timestamp,
    ) -> Result<(), SqlError> {
        // A row that is there may have a copy of another state. A new row has none: each row outlives its copy.
        sql.execute(
            "INSERT INTO copies (epoch, digest, user, version, sequence, due_at, written_at, settles_at, is_sent,
             listed_until, ends_at) VALUES (?1, ?2, ?3, ?4, ?9, ?5, 0, 0, 0, 0, ?6)
             ON CONFLICT (epoch, digest) DO UPDATE SET
               user = excluded.user, version = excluded.version, sequence = excluded.sequence,
               ends_at = excluded.ends_at, listed_until = ?7, due_at = max(excluded.due_at, written_at + ?8)",
            &[
                self.epoch.number().into(),
                digest.into(),
                user.into(),
                version.sequence().into(),
                now.into(),
                now.plus_ms(COPIED_MS).into(),
                OPEN.into(),
                REWRITE_MS.into(),
                sequence.into(),
            ],
        )?;
        self.held = self.held.saturating_add(1);
        Ok(())
    }

    /// Notes that a user has a new version. Belongs into the transaction of the change.
    pub fn change(&mut self, sql: &impl Sql, user: i64, version: Version, now: Timestamp) -> Result<(), SqlError> {
        if self.held == 0 || !guards::is_on(Guard::ListedChange) {
            return Ok(());
        }
        sql.execute(
            "UPDATE copies SET version = ?2, sequence = ?2, listed_until = ?3, due_at = max(?4, written_at + ?5)
             WHERE user = ?1 AND epoch = ?6",
            &[
                user.into(),
                version.sequence().into(),
                OPEN.into(),
                now.into(),
                REWRITE_MS.into(),
                self.epoch.number().into(),
            ],
        )
    }

    /// Notes how far the listing has confirmed: KV may follow.
    pub fn follow(&mut self, sql: &impl Sql, confirmed: i64, now: Timestamp) -> Result<(), SqlError> {
        self.confirmed = confirmed;
        if self.held == 0 { Ok(()) } else { self.find_due(sql, now) }
    }

    /// The newest change whose copy may be written.
    pub fn confirmed(&self) -> i64 {
        if guards::is_on(Guard::CopyAfterListing) { self.confirmed } else { i64::MAX }
    }

    /// Has the copy of a user written again, because KV does not hold what it should.
    pub fn rewrite(&mut self, sql: &impl Sql, user: i64, now: Timestamp) -> Result<(), SqlError> {
        sql.execute(
            "UPDATE copies SET due_at = ?2, listed_until = ?3 WHERE user = ?1 AND epoch = ?4",
            &[user.into(), now.into(), OPEN.into(), self.epoch.number().into()],
        )?;
        self.find_due(sql, now)
    }

    /// The users of whom a reader may only believe a copy of this version or a later one; `None` when they are too
    /// many for a lease.
    pub fn listed(&self, sql: &impl Sql, now: Timestamp) -> Result<Option<Vec<(String, Version)>>, SqlError> {
        if self.held == 0 {
            return Ok(Some(Vec::new()));
        }
        let limit = i64::try_from(LISTED_MAX).unwrap_or(i64::MAX).saturating_add(1);
        // The plus keeps SQLite from finding all copies by their epoch, which most of them share.
        let listed = sql.list(
            "SELECT digest, version FROM copies WHERE listed_until > ? AND +epoch = ? LIMIT ?",
            &[now.into(), self.epoch.number().into(), limit.into()],
            |row| Ok((row.text()?, Version::of_sequence(row.integer()?))),
        )?;
        Ok((listed.len() <= LISTED_MAX).then_some(listed))
    }

    /// Records that writes are sent. The object may end before it gets the answer.
    pub fn send(&self, sql: &impl Sql, copies: &[Copy]) -> Result<(), SqlError> {
        let numbers: Vec<i64> = copies.iter().map(|copy| copy.number).collect();
        let send = "UPDATE copies SET is_sent = 1 WHERE number IN (SELECT value FROM json_each(?))";
        sql.execute(send, &[json_list(&numbers)?.as_str().into()])
    }

    /// Records that KV has confirmed writes that began at an instant.
    pub fn confirm(
        &mut self,
        sql: &impl Sql,
        written: &[Copy],
        began_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Outage>, SqlError> {
        for copy in written {
            if copy.epoch != self.epoch && copy.user.is_some() {
                // The epoch is over since, and the copy is still to be removed.
                let remove = "UPDATE copies SET written_at = ?2, is_sent = 0, due_at = max(due_at, ?2 + ?3)
                              WHERE number = ?1";
                sql.execute(remove, &[copy.number.into(), began_at.into(), KV_PAUSE_MS.into()])?;
                continue;
            }
            // A user who changed meanwhile is written again, and so is one of whom an older write may still arrive.
            // KV holds nothing of an erased user any more, so their row ends.
            sql.execute(
                "UPDATE copies SET written_at = ?3, is_sent = 0,
                 listed_until = iif(version = ?2 AND settles_at <= ?3 AND listed_until = ?4, ?5, listed_until),
                 ends_at = iif(version = ?2 AND settles_at <= ?3 AND ?7, min(ends_at, ?8), ends_at),
                 due_at = CASE WHEN version > ?2 THEN max(?8, ?3 + ?6)
                   WHEN settles_at > ?3 THEN max(settles_at, ?3 + ?6) END
                 WHERE number = ?1",
                &[
                    copy.number.into(),
                    copy.version.sequence().into(),
                    began_at.into(),
                    OPEN.into(),
                    now.plus_ms(SPREAD_MS).into(),
                    REWRITE_MS.into(),
                    i64::from(copy.user.is_none()).into(),
                    now.into(),
                ],
            )?;
        }
        self.find_due(sql, now)?;
        if self.failures == 0 {
            return Ok(None);
        }
        self.note_failures(sql, 0, now)?;
        Ok(Some(Outage::Ends))
    }

    /// Records that KV did not confirm writes. They may still arrive.
    pub fn fail(&mut self, sql: &impl Sql, written: &[Copy], now: Timestamp) -> Result<Option<Outage>, SqlError> {
        let numbers: Vec<i64> = written.iter().map(|copy| copy.number).collect();
        let settles_at = if guards::is_on(Guard::UnansweredWrite) { now.plus_ms(SPREAD_MS) } else { Timestamp::EPOCH };
        sql.execute(
            "UPDATE copies SET settles_at = ?2, is_sent = 0, written_at = ?3, due_at = ?3 + ?4
             WHERE number IN (SELECT value FROM json_each(?1))",
            &[json_list(&numbers)?.as_str().into(), settles_at.into(), now.into(), REWRITE_MS.into()],
        )?;
        self.find_due(sql, now)?;
        let failures = self.failures.saturating_add(1);
        self.note_failures(sql, failures, now)?;
        Ok((failures == 1).then_some(Outage::Begins))
    }

    /// Removes rows whose copy has ended, and is not shown by KV any more. Returns when the next one is due.
    pub fn sweep(&mut self, sql: &impl Sql, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
        if self.held == 0 {
            return Ok(None);
        }
        let over = now.millis().saturating_sub(SPREAD_MS);
        sql.execute("DELETE FROM copies WHERE ends_at <= ?", &[over.into()])?;
        self.find_due(sql, now)?;
        self.held = sql.count("SELECT count(*) FROM copies", &[])?;
        let next = sql.find("SELECT min(ends_at) FROM copies", &[], Row::optional_timestamp)?.flatten();
        Ok(next.map(|ends_at| ends_at.plus_ms(SPREAD_MS)))
    }

    fn note_failures(&mut self, sql: &impl Sql, failures: i64, now: Timestamp) -> Result<(), SqlError> {
        self.failures = failures;
        self.retry_at = now.plus_ms(backoff::pause_ms(failures, BACKOFF_MAX_MS));
        schema::write(sql, FAILURES, failures)?;
        schema::write(sql, RETRY_AT, self.retry_at.millis())
    }

    /// Finds out what is due next. A copy that ends soon is not written any more.
    pub fn find_due(&mut self, sql: &impl Sql, now: Timestamp) -> Result<(), SqlError> {
        let select = "SELECT min(due_at) FROM copies
                      WHERE due_at IS NOT NULL AND max(due_at, ?) + ? <= ends_at AND sequence <= ?";
        let parameters = [now.into(), WRITE_LAST_MS.into(), self.confirmed().into()];
        self.due_at = sql.find(select, &parameters, Row::optional_timestamp)?.flatten();
        Ok(())
    }
}
