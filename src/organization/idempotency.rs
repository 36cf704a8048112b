//! Answers kept for callers who ask again with the same `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! Invariants:
//!
//! - An answer is stored in the transaction of what it answers. So either both
//!   are there or neither, and a request with a key is executed at most once
//!   while its answer is kept.
//! - What is stored was executed. A refusal (401, 403, 429, 4xx of the input) is
//!   not, so that a caller may mend its request and keep the key.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::protocol::Outcome;
use super::sql::{Sql, SqlError};
use crate::directory::identifiers::RequestId;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;

/// How long an answer is kept.
pub const KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

/// Most answers that are swept in one go.
const SWEEP_MAX: i64 = 500;

/// A caller's key, and a digest of the request that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    pub key: String,
    pub fingerprint: String,
}

/// What is known of a key.
#[derive(Debug)]
pub enum Known {
    /// Nothing, or nothing any more.
    No,
    /// The same request was answered so.
    Answered { outcome: Outcome, request_id: RequestId },
    /// Another request was.
    Mismatch,
}

pub fn find<S: Sql>(sql: &S, key: &IdempotencyKey, now: Timestamp) -> Result<Known, SqlError> {
    let found = sql.first(
        "SELECT fingerprint, request_id, outcome FROM idempotency WHERE key = ? AND expires_at > ?",
        &[key.key.as_str().into(), now.millis().into()],
    )?;
    let Some(mut row) = found else { return Ok(Known::No) };
    if row.text()? != key.fingerprint {
        return Ok(Known::Mismatch);
    }
    let request_id = row.text()?.parse().map_err(|error| SqlError::corrupt("request id", error))?;
    let outcome = serde_json::from_str(&row.text()?).map_err(|error| SqlError::corrupt("answer", error))?;
    Ok(Known::Answered { outcome, request_id })
}

/// Keeps an answer, in the place of one that has expired. It goes with the user it
/// is about; the answer to a batch names nobody.
pub fn store<S: Sql>(
    sql: &S,
    key: &IdempotencyKey,
    request_id: RequestId,
    user_id: Option<&UserId>,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<(), SqlError> {
    let outcome = serde_json::to_string(outcome).map_err(|error| SqlError::corrupt("answer", error))?;
    sql.run(
        "INSERT OR REPLACE INTO idempotency (key, fingerprint, request_id, outcome, user_id, expires_at)
         VALUES (?, ?, ?, ?, ?, ?)",
        &[
            key.key.as_str().into(),
            key.fingerprint.as_str().into(),
            request_id.to_string().as_str().into(),
            outcome.as_str().into(),
            user_id.map(UserId::as_str).into(),
            now.millis().saturating_add(KEPT_MS).into(),
        ],
    )?;
    Ok(())
}

/// A kept answer, as its user may see it.
#[derive(Debug, Serialize)]
pub struct KeptAnswer {
    request_id: RequestId,
    expires_at: Timestamp,
    end_user: Box<RawValue>,
}

/// The kept answers that are about a user.
pub fn kept_for<S: Sql>(sql: &S, user_id: &UserId, now: Timestamp) -> Result<Vec<KeptAnswer>, SqlError> {
    let rows = sql.run(
        "SELECT request_id, expires_at, outcome FROM idempotency WHERE user_id = ? AND expires_at > ? ORDER BY expires_at",
        &[user_id.as_str().into(), now.millis().into()],
    )?;
    let mut kept = Vec::with_capacity(rows.len());
    for mut row in rows {
        let request_id = row.text()?.parse().map_err(|error| SqlError::corrupt("request id", error))?;
        let expires_at = Timestamp::from_millis(row.integer()?);
        let outcome = serde_json::from_str(&row.text()?).map_err(|error| SqlError::corrupt("answer", error))?;
        if let Outcome::EndUserCreated { document, .. } | Outcome::EndUser { document, .. } = outcome {
            kept.push(KeptAnswer { request_id, expires_at, end_user: document });
        }
    }
    Ok(kept)
}

/// Removes expired answers, a bounded number of them, and says when the next one
/// expires: in the past if more are due, never if none is kept.
pub fn sweep<S: Sql>(sql: &S, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    sql.run(
        "DELETE FROM idempotency WHERE key IN
         (SELECT key FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        &[now.millis().into(), SWEEP_MAX.into()],
    )?;
    let next = sql.first("SELECT min(expires_at) FROM idempotency", &[])?;
    let next = next.map(|mut row| row.optional_integer()).transpose()?.flatten();
    Ok(next.map(Timestamp::from_millis))
}

/// Whether an outcome is the answer of something that was executed.
pub const fn is_kept(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::EndUserCreated { .. } | Outcome::EndUser { .. } | Outcome::EndUsersCreated(_) => true,
        Outcome::Denied(_)
        | Outcome::Admitted
        | Outcome::EndUserLocated { .. }
        | Outcome::NotFound
        | Outcome::Deletion(_)
        | Outcome::Export(_)
        | Outcome::PreconditionFailed
        | Outcome::DeletionPending
        | Outcome::IdempotencyMismatch
        | Outcome::Refused { .. }
        | Outcome::Configured
        | Outcome::KeyIssued
        | Outcome::Keys(_)
        | Outcome::KeyRevoked => false,
    }
}
