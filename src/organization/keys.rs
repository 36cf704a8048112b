//! The API keys of a tenant: the object issues, checks, lists and revokes them.
//!
//! Invariants:
//!
//! - The object stores the digest of a key, never the key.
//! - Revocation and expiry take effect on the next call. Only the object writes these rows. It forgets the known
//!   keys in the transaction that changes a row, and drops its memory when a transaction fails. So the memory of
//!   a key equals its row.
//! - The issue and the revocation of a key each write a row of the change log in the same transaction.

use super::change_log::{Affected, ChangeLog, Subject};
use super::failure::Failure;
use super::protocol::{KeyRecord, ListKeys, Rejection, Resource};
use super::sql::{Row, Sql, SqlError, json_list};
use crate::bounded::BoundedMap;
use crate::directory::api_key::{KeyDigest, KeyKind, Scope};
use crate::directory::event::EventType;
use crate::directory::identifiers::KeyId;
use crate::directory::timestamp::Timestamp;

const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCheck {
    /// The object did not issue the key, or the key is of another kind, or revoked.
    Unknown,
    Expired,
    Valid {
        key_id: KeyId,
        scope: Scope,
        expires_at: Option<Timestamp>,
    },
}

/// Rows of the keys that were used recently.
#[derive(Debug, Default)]
pub struct KnownKeys(BoundedMap<KeyDigest, KnownKey, KNOWN_KEYS_MAX>);

/// Most keys that the object remembers. A tenant with more keys in use at once reads rows.
const KNOWN_KEYS_MAX: usize = 64;

#[derive(Debug, Clone, Copy)]
struct KnownKey {
    key_id: KeyId,
    kind: KeyKind,
    scope: Scope,
    expires_at: Option<i64>,
    is_revoked: bool,
    last_used_day: Option<i64>,
}

impl KnownKeys {
    /// Looks a key up and notes the day of its use.
    pub fn check(
        &mut self,
        sql: &impl Sql,
        digest: &KeyDigest,
        kind: KeyKind,
        now: Timestamp,
    ) -> Result<KeyCheck, SqlError> {
        let Some(key) = self.find(sql, digest)? else { return Ok(KeyCheck::Unknown) };
        if key.kind != kind || key.is_revoked {
            return Ok(KeyCheck::Unknown);
        }
        if key.expires_at.is_some_and(|expiry| expiry <= now.millis()) {
            return Ok(KeyCheck::Expired);
        }
        let today = now.millis().div_euclid(DAY_MS);
        if key.last_used_day.is_none_or(|day| day < today) {
            sql.execute("UPDATE keys SET last_used_day = ? WHERE digest = ?", &[today.into(), digest.as_str().into()])?;
            key.last_used_day = Some(today);
        }
        let expires_at = key.expires_at.map(Timestamp::from_millis);
        Ok(KeyCheck::Valid { key_id: key.key_id, scope: key.scope, expires_at })
    }

    /// A transaction that changes a row calls this.
    fn forget(&mut self) {
        self.0 = BoundedMap::default();
    }

    /// A digest without a row is not remembered, so a caller who guesses keys evicts none.
    fn find(&mut self, sql: &impl Sql, digest: &KeyDigest) -> Result<Option<&mut KnownKey>, SqlError> {
        if self.0.get(digest).is_none() {
            let Some(key) = read(sql, digest)? else { return Ok(None) };
            self.0.insert_or_evict(digest.clone(), key, |_| false, |known| known.last_used_day);
        }
        Ok(self.0.get_mut(digest))
    }
}

fn read(sql: &impl Sql, digest: &KeyDigest) -> Result<Option<KnownKey>, SqlError> {
    let select = "SELECT key_id, kind, scope, expires_at, revoked_at, last_used_day FROM keys WHERE digest = ?";
    sql.find(select, &[digest.as_str().into()], |row| {
        Ok(KnownKey {
            key_id: row.parsed("key id")?,
            kind: row.parsed("key kind")?,
            scope: row.parsed("key scope")?,
            expires_at: row.optional_integer()?,
            is_revoked: row.optional_integer()?.is_some(),
            last_used_day: row.optional_integer()?,
        })
    })
}

/// Stores a key. The edge may repeat the call when it loses the reply: storing the same key again changes
/// nothing.
pub fn issue(
    sql: &impl Sql,
    known: &mut KnownKeys,
    log: &mut ChangeLog,
    digest: &KeyDigest,
    key: &KeyRecord,
) -> Result<(), SqlError> {
    let is_new = sql.exists(
        "INSERT INTO keys (digest, key_id, kind, scope, prefix, name, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING 1",
        &[
            digest.as_str().into(),
            key.key_id.to_string().into(),
            key.kind.into_str().into(),
            key.scope.into_str().into(),
            key.prefix.as_str().into(),
            key.name.as_str().into(),
            key.created_at.into(),
            key.expires_at.into(),
        ],
    )?;
    known.forget();
    if is_new { append(sql, log, EventType::KeyCreated, key.key_id) } else { Ok(()) }
}

/// Writes the row of a change of a key.
fn append(sql: &impl Sql, log: &mut ChangeLog, kind: EventType, key_id: KeyId) -> Result<(), SqlError> {
    log.append(sql, kind, &Subject::new(0, key_id), Affected::Nothing).map(drop)
}

const RECORD: &str = "key_id, kind, scope, prefix, name, created_at, expires_at, revoked_at, last_used_day";

/// Lists at most `limit` keys in the order of their issue, revoked ones included.
pub fn list(sql: &impl Sql, list: &ListKeys) -> Result<Vec<KeyRecord>, SqlError> {
    let after = list.after.map(|id| id.to_string()).unwrap_or_default();
    let select = format!("SELECT {RECORD} FROM keys WHERE key_id > ? ORDER BY key_id LIMIT ?");
    sql.list(&select, &[after.into(), i64::from(list.limit).into()], read_record)
}

/// The keys with these ids.
pub fn with_ids(sql: &impl Sql, key_ids: &[&str]) -> Result<Vec<KeyRecord>, SqlError> {
    let select = format!("SELECT {RECORD} FROM keys WHERE key_id IN (SELECT value FROM json_each(?))");
    sql.list(&select, &[json_list(key_ids)?.as_str().into()], read_record)
}

/// Revokes a key at once and for good. Revoking it again changes nothing.
pub fn revoke(
    sql: &impl Sql,
    known: &mut KnownKeys,
    log: &mut ChangeLog,
    key_id: KeyId,
    now: Timestamp,
) -> Result<(), Failure> {
    let id = key_id.to_string();
    let revoke = "UPDATE keys SET revoked_at = ? WHERE key_id = ? AND revoked_at IS NULL RETURNING 1";
    if sql.exists(revoke, &[now.into(), id.as_str().into()])? {
        known.forget();
        return Ok(append(sql, log, EventType::KeyRevoked, key_id)?);
    }
    let is_found = sql.exists("SELECT 1 FROM keys WHERE key_id = ?", &[id.into()])?;
    if is_found { Ok(()) } else { Err(Rejection::NotFound(Resource::Key).into()) }
}

fn read_record(row: &mut Row) -> Result<KeyRecord, SqlError> {
    Ok(KeyRecord {
        key_id: row.parsed("key id")?,
        kind: row.parsed("key kind")?,
        scope: row.parsed("key scope")?,
        prefix: row.parsed("key prefix")?,
        name: row.parsed("key name")?,
        created_at: row.timestamp()?,
        expires_at: row.optional_timestamp()?,
        revoked_at: row.optional_timestamp()?,
        last_used_on: row.optional_integer()?.map(|day| Timestamp::from_millis(day.saturating_mul(DAY_MS))),
    })
}
