//! The stores as the simulation sees them. Only this file of the simulation knows the object's tables, D1's tables,
//! and the wire format of calls.
//!
//! Invariant: this file reads everything past the core, by its own statements, so that the test compares the core's
//! claims about its storage instead of trusting them.

use std::rc::Rc;

use rollcall::directory::api_key::{ApiKey, KeyDigest, KeyPrefix};
use rollcall::directory::end_user::{Revision, Status};
use rollcall::directory::identifiers::{Mode, OrganizationId, Tenant};
use rollcall::directory::names::UserId;
use rollcall::directory::secret::Secret;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::protocol::{self, Call, Outcome, Reply};
use rollcall::organization::sql::{Row, SqlError, SqlValue};
use rollcall::organization::user_row::{self, UserRow};
use rollcall::projection::cache;

use super::Violation;
use crate::sqlite::Sqlite;

/// The clock of every seed begins here.
pub const START_MS: i64 = 1_700_000_000_000;

/// How long KV keeps a tombstone, and how long after a write a reader elsewhere may still see the former value.
pub const STALE_MS: i64 = 60_000;

/// The storage that a thread reuses for any number of seeds, one after another.
pub struct Bench {
    /// Migrated, with an issued key.
    pub object: Sqlite,
    pub listing: Sqlite,
    pub tenant: Tenant,
    pub key: KeyDigest,
    pub user_ids: Vec<UserId>,
    /// Each user's key in KV.
    pub cache_keys: Vec<String>,
}

impl Bench {
    pub fn new() -> Self {
        let organization = OrganizationId::new(Timestamp::from_millis(START_MS), [3; 10]);
        let tenant = Tenant { organization, mode: Mode::Live };
        let secret = Secret::new("s".repeat(32)).expect("a secret");
        let key = ApiKey::mint(&KeyPrefix::default(), tenant, [7; 32], &secret).digest();
        let texts = ["a", "b/c", "é", "🦀", "\u{FFFD}", "\u{10FFFF}", "A", "a ", "b", "b/", "u10", "u9"];
        let user_ids: Vec<_> = texts.into_iter().map(|text| UserId::new(text).expect("an id")).collect();
        let cache_keys = user_ids.iter().map(|user_id| cache::key(tenant, user_id)).collect();
        Self { object: Sqlite::new(), listing: Sqlite::listing(), tenant, key, user_ids, cache_keys }
    }
}

/// A call as the object reads it from the wire.
pub fn sent(call: &Call) -> Call {
    protocol::decode(&protocol::encode(call).expect("a call")).expect("a call")
}

/// A reply as the edge reads it from the wire.
pub fn answered(reply: &Reply) -> Reply {
    protocol::decode(&protocol::encode(reply).expect("a reply")).expect("a reply")
}

/// An outcome to the byte.
pub fn written(outcome: &Outcome) -> Vec<u8> {
    protocol::encode(outcome).expect("an outcome")
}

/// A user as the object holds it.
#[derive(Debug)]
pub struct Held {
    raw: Vec<SqlValue>,
    pub revision: Revision,
    pub is_pending: bool,
    pub created_at: Timestamp,
    /// The id of the request that made the user.
    pub created_by: String,
    pub document: String,
}

impl Held {
    /// Whether all columns are equal.
    pub fn is_same(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

/// The users by their number in the bench.
pub type Users = Vec<Option<Rc<Held>>>;

/// Whether each user has a change that a projection has not confirmed.
pub type Unconfirmed = Vec<bool>;

/// What the object's storage holds.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    pub users: Users,
    pub unlisted: Unconfirmed,
    pub uncached: Unconfirmed,
    /// The positions that the listing and the cache have confirmed.
    pub confirmed: [i64; 2],
    pub outbox_rows: usize,
}

impl Holdings {
    /// Reads everything. An unchanged row shares the value that was read before.
    pub fn read(sql: &Sqlite, user_ids: &[UserId], before: &Self) -> Result<Self, Violation> {
        let mut users: Users = vec![None; user_ids.len()];
        let statement = format!("SELECT {}, u.created_by FROM users u", user_row::COLUMNS);
        for raw in sql.rows(&statement, &[])? {
            let (user_id, held) = match before.users.iter().flatten().find(|held| held.raw == raw) {
                Some(held) => (text(&raw, 1)?.to_owned(), Rc::clone(held)),
                None => parse(raw)?,
            };
            users[number(user_ids, &user_id)?] = Some(held);
        }
        let mut confirmed = [0; 2];
        for row in
            sql.rows("SELECT name, value FROM state WHERE name IN ('listing_sequence', 'cache_sequence')", &[])?
        {
            let mut row = Row::new(row);
            let place = usize::from(row.text()? == "cache_sequence");
            confirmed[place] = row.integer()?;
        }
        let none = vec![false; user_ids.len()];
        let mut unconfirmed = [none.clone(), none];
        let outbox = sql.rows("SELECT sequence, u.user_id FROM outbox JOIN users u ON u.number = user", &[])?;
        let outbox_rows = outbox.len();
        for row in outbox {
            let mut row = Row::new(row);
            let sequence = row.integer()?;
            let user = number(user_ids, &row.text()?)?;
            for (unconfirmed, confirmed) in unconfirmed.iter_mut().zip(confirmed) {
                unconfirmed[user] |= sequence > confirmed;
            }
        }
        let [unlisted, uncached] = unconfirmed;
        Ok(Self { users, unlisted, uncached, confirmed, outbox_rows })
    }
}

/// Number of stored answers, expired or not.
pub fn answers_stored(sql: &Sqlite) -> Result<i64, Violation> {
    let mut rows = sql.rows("SELECT count(*) FROM idempotency", &[])?;
    Ok(Row::new(rows.pop().unwrap_or_default()).integer()?)
}

/// What D1 holds of each user.
pub fn listed(sql: &Sqlite, user_ids: &[UserId]) -> Result<Vec<Option<(Revision, String)>>, Violation> {
    let mut listed = vec![None; user_ids.len()];
    for row in sql.rows("SELECT user_id, incarnation, version, document FROM end_users", &[])? {
        let mut row = Row::new(row);
        let user = number(user_ids, &row.text()?)?;
        let revision = Revision { incarnation: row.integer()?, version: row.integer()? };
        listed[user] = Some((revision, row.text()?));
    }
    Ok(listed)
}

fn number(user_ids: &[UserId], text: &str) -> Result<usize, Violation> {
    let found = user_ids.iter().position(|user_id| user_id.as_str() == text);
    found.ok_or_else(|| Violation(format!("{text:?} is nobody's id")))
}

fn text(raw: &[SqlValue], column: usize) -> Result<&str, SqlError> {
    match raw.get(column) {
        Some(SqlValue::Text(text)) => Ok(text),
        _ => Err(SqlError("a column that is no text".to_owned())),
    }
}

fn parse(raw: Vec<SqlValue>) -> Result<(String, Rc<Held>), Violation> {
    let created_by = text(&raw, raw.len() - 1)?.to_owned();
    let row = UserRow::read(&mut Row::new(raw.clone()))?;
    let document = row.document()?.as_str().to_owned();
    let UserRow { user, revision, .. } = row;
    let is_pending = user.status == Status::DeletionPending;
    let held = Held { raw, revision, is_pending, created_at: user.created_at, created_by, document };
    Ok((user.user_id.to_string(), Rc::new(held)))
}

/// The values of one KV key, each with the time of its write.
#[derive(Debug, Default)]
pub struct History(Vec<Written>);

#[derive(Debug)]
struct Written {
    at_ms: i64,
    until_ms: Option<i64>,
    value: String,
    /// True when a flush wrote it, false when it is the late write of a flush that was given up.
    on_time: bool,
}

impl History {
    pub fn put(&mut self, now_ms: i64, value: String, ttl_s: Option<u64>, on_time: bool) {
        let until_ms = ttl_s.map(|ttl_s| now_ms + i64::try_from(ttl_s).expect("a short time") * 1_000);
        self.0.push(Written { at_ms: now_ms, until_ms, value, on_time });
    }

    /// The value that a reader may see now: any value of the key within the given time. A cached miss shows no
    /// value.
    pub fn seen(&self, random: &mut fastrand::Rng, now_ms: i64, stale_ms: i64) -> Option<&str> {
        let since_ms = now_ms.saturating_sub(stale_ms);
        // The last value before the interval is visible at its beginning.
        let first = self.0.iter().rposition(|written| written.at_ms <= since_ms).unwrap_or_default();
        let seen = random.choice(&self.0[first..])?;
        let is_there = seen.until_ms.is_none_or(|until_ms| until_ms > since_ms) && random.u8(0..8) > 0;
        is_there.then_some(seen.value.as_str())
    }

    /// The key's last value from a flush that waited for its write.
    pub fn confirmed(&self) -> Option<&str> {
        self.0.iter().rev().find(|written| written.on_time).map(|written| written.value.as_str())
    }
}
