//! The stores as the simulation sees them. Only this file of the simulation knows the object's tables, D1's tables,
//! and the wire format of calls.
//!
//! Invariant: this file reads everything past the core, by its own statements, so that the test compares the core's
//! claims about its storage instead of trusting them.

use std::rc::Rc;

use rollcall::directory::api_key::{ApiKey, KeyDigest, KeyPrefix};
use rollcall::directory::end_user::{EndUser, Status, Version};
use rollcall::directory::identifiers::{Mode, OrganizationId, Tenant};
use rollcall::directory::names::UserId;
use rollcall::directory::secret::Secret;
use rollcall::directory::timestamp::Timestamp;
use rollcall::organization::audit;
use rollcall::organization::protocol::{self, Call, Outcome, Reply};
use rollcall::organization::retention::KEPT_MS;
use rollcall::organization::sql::{Row, SqlError, SqlValue};
use rollcall::organization::user_row::{self, UserRow};

use super::{Violation, ensure};
use crate::sqlite::Sqlite;

/// The clock of every seed begins here.
pub const START_MS: i64 = 1_700_000_000_000;

/// The storage that a thread reuses for any number of seeds, one after another.
pub struct Bench {
    /// Migrated, with an issued key.
    pub object: Sqlite,
    pub listing: Sqlite,
    pub tenant: Tenant,
    pub key: KeyDigest,
    pub user_ids: Vec<UserId>,
}

impl Bench {
    pub fn new() -> Self {
        let organization = OrganizationId::new(Timestamp::from_millis(START_MS), [3; 10]);
        let tenant = Tenant { organization, mode: Mode::Live };
        let secret = Secret::new("s".repeat(32)).expect("a secret");
        let key = ApiKey::mint(&KeyPrefix::default(), tenant, [7; 32], &secret).digest();
        let texts = ["a", "b/c", "é", "🦀", "\u{FFFD}", "\u{10FFFF}", "A", "a ", "b", "b/", "u10", "u9"];
        let user_ids = texts.into_iter().map(|text| UserId::new(text).expect("an id")).collect();
        Self { object: Sqlite::new(), listing: Sqlite::listing(), tenant, key, user_ids }
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
    raw: Vec<SqlValue<'static>>,
    pub number: i64,
    pub version: Version,
    pub is_pending: bool,
    pub created_at: Timestamp,
    /// The id of the request that made the user.
    pub created_by: String,
    pub user: EndUser,
    pub document: String,
}

impl Held {
    /// Whether the user was not changed since they were made.
    pub fn is_first(&self) -> bool {
        self.version == Version::of_sequence(self.number)
    }

    /// Whether all columns are equal.
    pub fn is_same(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

/// The users by their number in the bench.
pub type Users = Vec<Option<Rc<Held>>>;

/// Whether each user has a change that the listing has not confirmed.
pub type Unconfirmed = Vec<bool>;

/// What the object's storage holds.
#[derive(Debug, Clone, Default)]
pub struct Holdings {
    pub users: Users,
    pub unlisted: Unconfirmed,
    /// The position that the listing has confirmed.
    pub confirmed: i64,
    /// The number of the newest row of the change log.
    pub last_sequence: i64,
    /// The rows of the log that only the listing needs, without the newest row.
    pub left_over: i64,
}

impl Holdings {
    /// Reads everything. An unchanged row shares the value that was read before.
    pub fn read(sql: &Sqlite, user_ids: &[UserId], before: &Self) -> Result<Self, Violation> {
        let mut users: Users = vec![None; user_ids.len()];
        let statement = format!("SELECT {}, u.created_by FROM users u", user_row::COLUMNS);
        for raw in sql.rows(&statement, &[])? {
            let (user_id, held) = match before.users.iter().flatten().find(|held| held.raw == raw) {
                Some(held) => (text(&raw, 2)?.to_owned(), Rc::clone(held)),
                None => parse(raw)?,
            };
            users[number(user_ids, &user_id)?] = Some(held);
        }
        let confirmed = sql.rows("SELECT sequence FROM listing_position", &[])?.pop();
        let confirmed = confirmed.map_or(Ok(0), |row| Row::new(row).integer())?;
        let mut unlisted = vec![false; user_ids.len()];
        let (mut last_sequence, mut left_over) = (0, 0);
        let changes = "SELECT sequence, kind, u.user_id, u.number, u.version, subject FROM changes
                       LEFT JOIN users u ON u.number = user ORDER BY sequence";
        for row in sql.rows(changes, &[])? {
            let mut row = Row::new(row);
            let (sequence, kind, user_id) = (row.integer()?, row.text()?, row.optional_text()?);
            left_over += i64::from(is_left_over(&kind) && sequence <= confirmed);
            last_sequence = sequence;
            let Some(user_id) = user_id else { continue };
            let user = number(user_ids, &user_id)?;
            let (number, version, subject) = (row.integer()?, row.integer()?, row.integer()?);
            let is_right = subject == number && number <= sequence && (kind == "repair" || sequence <= version);
            ensure!(is_right, "the change {sequence} ({kind}) is not of user {number} at version {version}");
            unlisted[user] |= sequence > confirmed;
        }
        Ok(Self { users, unlisted, confirmed, last_sequence, left_over })
    }
}

/// Number of stored answers, expired or not.
pub fn answers_stored(sql: &Sqlite) -> Result<i64, Violation> {
    let mut rows = sql.rows("SELECT count(*) FROM idempotency", &[])?;
    Ok(Row::new(rows.pop().unwrap_or_default()).integer()?)
}

/// Puts the daily audit off for ever, where nothing takes its steps. Then the next one is always told to be a day away.
pub fn put_off_audits(sql: &Sqlite) -> Result<(), SqlError> {
    let put_off = "INSERT OR REPLACE INTO state (name, value) VALUES ('audit_due_at', ?)";
    sql.rows(put_off, &[i64::MAX.into()]).map(drop)
}

/// When the next audit is told to be, where audits are put off.
pub fn next_audit(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.millis() + audit::INTERVAL_MS)
}

/// When the oldest row of the change log expires that the listing has confirmed.
pub fn log_expiry(sql: &Sqlite, confirmed: i64, now: Timestamp) -> Result<Option<Timestamp>, Violation> {
    let oldest = "SELECT at FROM changes WHERE sequence < (SELECT max(sequence) FROM changes) AND sequence <= ?
                  ORDER BY sequence LIMIT 1";
    let Some(row) = sql.rows(oldest, &[confirmed.into()])?.pop() else { return Ok(None) };
    let expiry = Timestamp::from_millis(Row::new(row).integer()? + KEPT_MS);
    ensure!(expiry > now, "a row of the log is older than 30 days");
    Ok(Some(expiry))
}

/// What D1 holds of each user.
pub fn listed(sql: &Sqlite, user_ids: &[UserId]) -> Result<Vec<Option<(Version, String)>>, Violation> {
    let mut listed = vec![None; user_ids.len()];
    for row in sql.rows("SELECT user_id, version, document FROM end_users", &[])? {
        let mut row = Row::new(row);
        let user = number(user_ids, &row.text()?)?;
        let version = Version::of_sequence(row.integer()?);
        listed[user] = Some((version, row.text()?));
    }
    Ok(listed)
}

fn number(user_ids: &[UserId], text: &str) -> Result<usize, Violation> {
    let found = user_ids.iter().position(|user_id| user_id.as_str() == text);
    found.ok_or_else(|| Violation(format!("{text:?} is nobody's id")))
}

/// Whether nothing but the listing needs the row of a change.
fn is_left_over(kind: &str) -> bool {
    matches!(kind, "turn" | "repair")
}

fn text<'a>(raw: &'a [SqlValue<'_>], column: usize) -> Result<&'a str, SqlError> {
    match raw.get(column) {
        Some(SqlValue::Text(text)) => Ok(text),
        _ => Err(SqlError("a column that is no text".to_owned())),
    }
}

fn parse(raw: Vec<SqlValue<'static>>) -> Result<(String, Rc<Held>), Violation> {
    let created_by = text(&raw, raw.len() - 1)?.to_owned();
    let row = UserRow::read(&mut Row::new(raw.clone()))?;
    let document = serde_json::to_string(&row.user).expect("JSON");
    let UserRow { number, user, .. } = row;
    let is_pending = user.status == Status::DeletionPending;
    let (user_id, version, created_at) = (user.user_id.to_string(), user.version, user.created_at);
    let held = Held { raw, number, version, is_pending, created_at, created_by, user, document };
    Ok((user_id, Rc::new(held)))
}
