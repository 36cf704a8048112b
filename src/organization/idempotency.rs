//! Answers that the object keeps for callers that retry with the same `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! Invariants:
//!
//! - The object stores an answer in the transaction of the command that it answers. So both exist or
//!   neither does, and the object executes a request with a key at most once while it keeps the
//!   answer.
//! - The object stores only answers to executed commands. It stores no refusal (401, 403, 429, 4xx
//!   of the input), so that a caller can correct its request and keep the key.

use serde::{Deserialize, Serialize};

use super::overwriting;
use super::protocol::{Creation, IdempotencyKey, Outcome};
use super::sql::{Parameter, Row, Sql, SqlError};
use crate::directory::agent::AgentId;
use crate::directory::end_user::Version;
use crate::directory::identifiers::RequestId;
use crate::directory::timestamp::Timestamp;
use crate::json;

/// How long the object keeps an answer, in milliseconds.
pub const KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

/// Most answers that one sweep removes.
pub const SWEEP_MAX: i64 = 500;

/// What the object knows of an idempotency key.
#[derive(Debug)]
pub enum Known {
    /// The object keeps no answer under the key.
    No,
    /// The kept answer to the same request.
    Answered { outcome: Outcome, request_id: RequestId },
    /// The key belongs to another request.
    Mismatch,
}

/// Looks an idempotency key up.
pub fn find<S: Sql>(sql: &S, key: &IdempotencyKey, now: Timestamp) -> Result<Known, SqlError> {
    let found = sql.first(
        "SELECT fingerprint, request_id, outcome, document FROM idempotency
         WHERE digest = ? AND expires_at > ?",
        &[key.digest.as_str().into(), now.millis().into()],
    )?;
    let Some(mut row) = found else { return Ok(Known::No) };
    if row.text()? != key.fingerprint {
        return Ok(Known::Mismatch);
    }
    let request_id = row.text()?.parse().map_err(|error| SqlError::corrupt("request id", error))?;
    Ok(Known::Answered { outcome: read_outcome(&mut row)?, request_id })
}

/// The stored form of an answer, without the record in it.
#[derive(Serialize, Deserialize)]
enum KeptOutcome {
    EndUser { created: bool, version: Version },
    EndUsers(Vec<Creation>),
    Turn,
    Agent { created: bool, agent_id: AgentId, version: Version },
    Principal { created: bool, version: Version },
}

/// The stored form of an outcome, and its record; `None` for an outcome that the object does not keep.
fn kept(outcome: &Outcome) -> Option<(KeptOutcome, Option<&json::Text>)> {
    Some(match outcome {
        Outcome::EndUserCreated { version, document } => {
            (KeptOutcome::EndUser { created: true, version: *version }, Some(document))
        }
        Outcome::EndUser { version, document } => {
            (KeptOutcome::EndUser { created: false, version: *version }, Some(document))
        }
        Outcome::EndUsersCreated(creations) => (KeptOutcome::EndUsers(creations.clone()), None),
        Outcome::Turn { document, .. } => (KeptOutcome::Turn, Some(document)),
        Outcome::Agent { created, agent_id, version, document } => {
            (KeptOutcome::Agent { created: *created, agent_id: *agent_id, version: *version }, Some(document))
        }
        Outcome::Principal { created, version, document } => {
            (KeptOutcome::Principal { created: *created, version: *version }, Some(document))
        }
        Outcome::Denied(_)
        | Outcome::Admitted
        | Outcome::EndUserRead { .. }
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
        | Outcome::KeyRevoked
        | Outcome::Audit(_)
        | Outcome::Ambiguous
        | Outcome::Records(_)
        | Outcome::TurnReserved { .. }
        | Outcome::IdempotencyInFlight
        | Outcome::OverQuota { .. }
        | Outcome::TurnExpired
        | Outcome::TurnReleased
        | Outcome::OtherType
        | Outcome::Principals { .. }
        | Outcome::Closed
        | Outcome::Closing { .. }
        | Outcome::Usage { .. } => return None,
    })
}

/// Reads the columns `outcome, document`.
fn read_outcome(row: &mut Row) -> Result<Outcome, SqlError> {
    let corrupt = |error| SqlError::corrupt("answer", error);
    let kept = serde_json::from_str(&row.text()?).map_err(corrupt)?;
    let document = json::Text::parse(row.text()?).map_err(corrupt)?;
    Ok(match kept {
        KeptOutcome::EndUser { created: true, version } => Outcome::EndUserCreated { version, document },
        KeptOutcome::EndUser { created: false, version } => Outcome::EndUser { version, document },
        KeptOutcome::EndUsers(creations) => Outcome::EndUsersCreated(creations),
        KeptOutcome::Turn => Outcome::Turn { document, quota: None },
        KeptOutcome::Agent { created, agent_id, version } => Outcome::Agent { created, agent_id, version, document },
        KeptOutcome::Principal { created, version } => Outcome::Principal { created, version, document },
    })
}

/// Stores an answer in the place of an expired one, and returns whether the object keeps this kind
/// of answer. The erasure of `user` removes the answer too. The answer to a batch names no user.
pub fn store<S: Sql>(
    sql: &S,
    key: &IdempotencyKey,
    request_id: RequestId,
    user: Option<i64>,
    outcome: &Outcome,
    now: Timestamp,
) -> Result<bool, SqlError> {
    let Some((kept, document)) = kept(outcome) else { return Ok(false) };
    let kept = serde_json::to_string(&kept).map_err(|error| SqlError::corrupt("answer", error))?;
    remove(sql, "digest = ?", &[key.digest.as_str().into()])?;
    sql.run(
        "INSERT INTO idempotency (digest, fingerprint, request_id, outcome, document, user, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        &[
            key.digest.as_str().into(),
            key.fingerprint.as_str().into(),
            request_id.to_string().as_str().into(),
            kept.as_str().into(),
            document.map_or("null", json::Text::as_str).into(),
            user.into(),
            now.millis().saturating_add(KEPT_MS).into(),
        ],
    )?;
    Ok(true)
}

/// Removes the answers about some users. `users` is a JSON list of row numbers.
pub fn purge_users<S: Sql>(sql: &S, users: &str) -> Result<(), SqlError> {
    remove(sql, "user IN (SELECT value FROM json_each(?))", &[users.into()])
}

/// A kept answer in a user's export.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct KeptAnswer {
    request_id: RequestId,
    expires_at: Timestamp,
    /// The user's record as it was then, or the answer to a turn.
    answer: json::Text,
}

/// The kept answers about a user.
pub fn kept_for<S: Sql>(sql: &S, user: i64, now: Timestamp) -> Result<Vec<KeptAnswer>, SqlError> {
    let rows = sql.run(
        "SELECT request_id, expires_at, document FROM idempotency WHERE user = ? AND expires_at > ? ORDER BY expires_at",
        &[user.into(), now.millis().into()],
    )?;
    let read = |mut row: Row| {
        Ok(KeptAnswer {
            request_id: row.text()?.parse().map_err(|error| SqlError::corrupt("request id", error))?,
            expires_at: Timestamp::from_millis(row.integer()?),
            answer: json::Text::parse(row.text()?).map_err(|error| SqlError::corrupt("answer", error))?,
        })
    };
    rows.into_iter().map(read).collect()
}

/// Removes expired answers, at most [`SWEEP_MAX`], and returns when the next one expires: an
/// instant in the past if more are due, `None` if the object keeps no answer.
pub fn sweep<S: Sql>(sql: &S, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    remove(
        sql,
        "number IN (SELECT number FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        &[now.millis().into(), SWEEP_MAX.into()],
    )?;
    let next = sql.first("SELECT min(expires_at) FROM idempotency", &[])?;
    let next = next.map(|mut row| row.optional_integer()).transpose()?.flatten();
    Ok(next.map(Timestamp::from_millis))
}

/// Removes answers. Every removal goes through here, because it overwrites first.
fn remove<S: Sql>(sql: &S, condition: &str, parameters: &[Parameter<'_>]) -> Result<(), SqlError> {
    let blank = overwriting::blank("document");
    sql.run(&format!("UPDATE idempotency SET {blank} WHERE {condition}"), parameters)?;
    sql.run(&format!("DELETE FROM idempotency WHERE {condition}"), parameters)?;
    Ok(())
}
