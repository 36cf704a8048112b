//! The keys of a tenant: issued, checked, listed, revoked.
//!
//! Invariant: the key itself is never stored, only its digest. Revocation and expiry take
//! effect on the next call: the object is the only one that writes these rows, it forgets
//! what it knows of them in the transaction that changes one, and it drops its memory when
//! a transaction fails. So what it remembers is what a row says.

use super::protocol::{KeyRecord, NewKey, Outcome};
use super::sql::{Row, Sql, SqlError};
use crate::directory::api_key::{KeyDigest, KeyKind, KeyPrefix, Scope};
use crate::directory::identifiers::KeyId;
use crate::directory::names::Name;
use crate::directory::timestamp::Timestamp;

const DAY_MS: i64 = 86_400_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCheck {
    /// Not issued here, of another kind, or revoked.
    Unknown,
    Expired,
    Valid {
        scope: Scope,
    },
}

/// Keys that were in use lately, as their rows are.
#[derive(Debug, Default)]
pub struct KnownKeys(Vec<(KeyDigest, KnownKey)>);

/// More keys than this are in use at once by few; who has more reads rows.
const KNOWN_MAX: usize = 64;

#[derive(Debug, Clone, Copy)]
struct KnownKey {
    kind: KeyKind,
    scope: Scope,
    expires_at: Option<i64>,
    is_revoked: bool,
    last_used_day: Option<i64>,
}

impl KnownKeys {
    /// Looks a key up and notes the day of its use.
    pub fn check<S: Sql>(
        &mut self,
        sql: &S,
        digest: &KeyDigest,
        kind: KeyKind,
        now: Timestamp,
    ) -> Result<KeyCheck, SqlError> {
        let Some(held) = self.find(sql, digest)? else { return Ok(KeyCheck::Unknown) };
        if held.kind != kind || held.is_revoked {
            return Ok(KeyCheck::Unknown);
        }
        if held.expires_at.is_some_and(|expiry| expiry <= now.millis()) {
            return Ok(KeyCheck::Expired);
        }
        let today = now.millis().div_euclid(DAY_MS);
        if held.last_used_day.is_none_or(|day| day < today) {
            sql.run("UPDATE keys SET last_used_day = ? WHERE digest = ?", &[today.into(), digest.as_str().into()])?;
            held.last_used_day = Some(today);
        }
        Ok(KeyCheck::Valid { scope: held.scope })
    }

    /// After a row has changed, in the same transaction.
    fn forget(&mut self) {
        self.0.clear();
    }

    fn find<S: Sql>(&mut self, sql: &S, digest: &KeyDigest) -> Result<Option<&mut KnownKey>, SqlError> {
        if let Some(place) = self.0.iter().position(|(known, _)| known == digest) {
            return Ok(self.0.get_mut(place).map(|(_, held)| held));
        }
        // Who guesses finds no row, and pushes nobody out.
        let Some(held) = read(sql, digest)? else { return Ok(None) };
        if self.0.len() >= KNOWN_MAX {
            self.0.clear();
        }
        self.0.push((digest.clone(), held));
        Ok(self.0.last_mut().map(|(_, held)| held))
    }
}

fn read<S: Sql>(sql: &S, digest: &KeyDigest) -> Result<Option<KnownKey>, SqlError> {
    let found = sql.first(
        "SELECT kind, scope, expires_at, revoked_at, last_used_day FROM keys WHERE digest = ?",
        &[digest.as_str().into()],
    )?;
    let Some(mut row) = found else { return Ok(None) };
    Ok(Some(KnownKey {
        kind: read_kind(&mut row)?,
        scope: read_scope(&mut row)?,
        expires_at: row.optional_integer()?,
        is_revoked: row.optional_integer()?.is_some(),
        last_used_day: row.optional_integer()?,
    }))
}

/// Stores a key; storing the same one again changes nothing, so that a call may
/// be repeated when its answer was lost.
pub fn issue<S: Sql>(sql: &S, known: &mut KnownKeys, key: &NewKey) -> Result<Outcome, SqlError> {
    sql.run(
        "INSERT INTO keys (digest, key_id, kind, scope, prefix, name, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        &[
            key.digest.as_str().into(),
            key.key_id.to_string().as_str().into(),
            key.kind.as_str().into(),
            key.scope.as_str().into(),
            key.prefix.as_str().into(),
            key.name.as_str().into(),
            key.created_at.millis().into(),
            key.expires_at.map(Timestamp::millis).into(),
        ],
    )?;
    known.forget();
    Ok(Outcome::KeyIssued)
}

/// Keys in the order of their issue, revoked ones included, at most `limit` of them.
pub fn list<S: Sql>(sql: &S, after: Option<KeyId>, limit: u32) -> Result<Vec<KeyRecord>, SqlError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let rows = sql.run(
        "SELECT key_id, kind, scope, prefix, name, created_at, expires_at, revoked_at, last_used_day
         FROM keys WHERE key_id > ? ORDER BY key_id LIMIT ?",
        &[after.as_str().into(), i64::from(limit).into()],
    )?;
    rows.into_iter().map(read_record).collect()
}

/// Revokes a key at once and for good; revoking it again changes nothing. Says
/// whether there is such a key.
pub fn revoke<S: Sql>(sql: &S, known: &mut KnownKeys, key_id: KeyId, now: Timestamp) -> Result<Outcome, SqlError> {
    let key_id = key_id.to_string();
    let revoked = sql.first(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE key_id = ? RETURNING 1",
        &[now.millis().into(), key_id.as_str().into()],
    )?;
    known.forget();
    Ok(if revoked.is_some() { Outcome::KeyRevoked } else { Outcome::NotFound })
}

fn read_record(mut row: Row) -> Result<KeyRecord, SqlError> {
    Ok(KeyRecord {
        key_id: row.text()?.parse().map_err(|error| SqlError::corrupt("key id", error))?,
        kind: read_kind(&mut row)?,
        scope: read_scope(&mut row)?,
        prefix: KeyPrefix::new(row.text()?).map_err(|error| SqlError::corrupt("key prefix", error))?,
        name: Name::new(row.text()?).map_err(|error| SqlError::corrupt("key name", error))?,
        created_at: Timestamp::from_millis(row.integer()?),
        expires_at: row.optional_integer()?.map(Timestamp::from_millis),
        revoked_at: row.optional_integer()?.map(Timestamp::from_millis),
        last_used_on: row.optional_integer()?.map(|day| Timestamp::from_millis(day.saturating_mul(DAY_MS))),
    })
}

fn read_kind(row: &mut Row) -> Result<KeyKind, SqlError> {
    let text = row.text()?;
    KeyKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| SqlError::corrupt("key kind", "no such kind"))
}

fn read_scope(row: &mut Row) -> Result<Scope, SqlError> {
    let text = row.text()?;
    Scope::ALL
        .into_iter()
        .find(|scope| scope.as_str() == text)
        .ok_or_else(|| SqlError::corrupt("key scope", "no such scope"))
}
