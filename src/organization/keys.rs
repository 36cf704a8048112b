//! The API keys of a tenant: the object issues, checks, lists and revokes them.
//!
//! Invariants:
//!
//! - The object stores the digest of a key, never the key.
//! - Revocation and expiry take effect on the next call. Only the object writes these rows. It forgets the known
//!   keys in the transaction that changes a row, and drops its memory when a transaction fails. So the memory of
//!   a key equals its row.

use super::failure::Failure;
use super::protocol::{KeyRecord, ListKeys, Rejection, Resource};
use super::sql::{Row, Sql, SqlError};
use crate::bounded::BoundedMap;
use crate::directory::api_key::{KeyDigest, KeyKind, Scope};
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
pub fn issue(sql: &impl Sql, known: &mut KnownKeys, digest: &KeyDigest, key: &KeyRecord) -> Result<(), SqlError> {
    sql.execute(
        "INSERT INTO keys (digest, key_id, kind, scope, prefix, name, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
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
    Ok(())
}

/// Lists at most `limit` keys in the order of their issue, revoked ones included.
pub fn list(sql: &impl Sql, list: &ListKeys) -> Result<Vec<KeyRecord>, SqlError> {
    let after = list.after.map(|id| id.to_string()).unwrap_or_default();
    sql.list(
        "SELECT key_id, kind, scope, prefix, name, created_at, expires_at, revoked_at, last_used_day
         FROM keys WHERE key_id > ? ORDER BY key_id LIMIT ?",
        &[after.into(), i64::from(list.limit).into()],
        read_record,
    )
}

/// Revokes a key at once and for good. Revoking it again changes nothing.
pub fn revoke(sql: &impl Sql, known: &mut KnownKeys, key_id: KeyId, now: Timestamp) -> Result<(), Failure> {
    let revoke = "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE key_id = ? RETURNING 1";
    let is_found = sql.exists(revoke, &[now.into(), key_id.to_string().into()])?;
    known.forget();
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
