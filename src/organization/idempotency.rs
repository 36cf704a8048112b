//! Answers that the object keeps for callers that retry with the same `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! Invariants:
//!
//! - The object stores an answer in the transaction of the command that it answers. So both exist or neither
//!   does, and the object executes a request with a key at most once while it keeps the answer.
//! - The object stores only answers to executed commands. It stores no refusal (401, 403, 429, 4xx of the input),
//!   so that a caller can correct its request and keep the key.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::overwriting;
use super::protocol::{
    AgentView, Answer, CountedTurn, CreatedEndUser, CreatedPrincipal, Creation, IdempotencyKey, PrincipalView,
    Rejection, ReservedTurn, SavedAgent,
};
use super::sql::{Row, Sql, SqlError, SqlValue, json_text};
use crate::directory::agent::AgentId;
use crate::directory::end_user::Version;
use crate::directory::identifiers::RequestId;
use crate::directory::timestamp::Timestamp;
use crate::json;

/// How long the object keeps an answer, in milliseconds.
pub const KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

/// Most answers that one sweep removes.
pub const SWEEP_MAX: i64 = 500;

/// A kept answer, and the request that it answered.
#[derive(Debug)]
pub struct Kept {
    pub answer: Answer,
    pub request_id: RequestId,
}

/// Finds the answer that is kept under an idempotency key. Rejects a key that belongs to another request.
pub fn find(sql: &impl Sql, key: &IdempotencyKey, now: Timestamp) -> Result<Option<Kept>, Failure> {
    let found = sql.first(
        "SELECT fingerprint, request_id, outcome, document FROM idempotency
         WHERE digest = ? AND expires_at > ?",
        &[key.digest.as_str().into(), now.into()],
    )?;
    let Some(mut row) = found else { return Ok(None) };
    if row.text()? != key.fingerprint {
        return Err(Rejection::IdempotencyMismatch.into());
    }
    Ok(Some(Kept { request_id: row.parsed("request id")?, answer: read_answer(&mut row)? }))
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

/// The stored form of an answer, and its record; `None` for an answer that the object does not keep.
fn kept(answer: &Answer) -> Result<Option<(KeptOutcome, json::Text)>, SqlError> {
    Ok(Some(match answer {
        Answer::CreateEndUser(CreatedEndUser { created, user }) => {
            (KeptOutcome::EndUser { created: *created, version: user.version }, json_text("a user", user)?)
        }
        Answer::CreateEndUsers(creations) => (KeptOutcome::EndUsers(creations.clone()), json_text("nothing", &())?),
        Answer::ReserveTurn(ReservedTurn::Answered(turn)) => (KeptOutcome::Turn, turn.document.clone()),
        Answer::SaveAgent(SavedAgent { created, view }) => {
            let AgentView { agent, version } = view;
            let kept = KeptOutcome::Agent { created: *created, agent_id: agent.agent_id, version: *version };
            (kept, json_text("an agent", agent)?)
        }
        Answer::CreatePrincipal(CreatedPrincipal { created, view }) => {
            let kept = KeptOutcome::Principal { created: *created, version: view.version };
            (kept, json_text("a principal", &view.principal)?)
        }
        // The other commands are repeated without harm, or take no key.
        _ => return Ok(None),
    }))
}

/// Reads the columns `outcome, document`.
fn read_answer(row: &mut Row) -> Result<Answer, SqlError> {
    Ok(match row.json("answer")? {
        KeptOutcome::EndUser { created, .. } => {
            Answer::CreateEndUser(CreatedEndUser { created, user: row.json("user")? })
        }
        KeptOutcome::EndUsers(creations) => Answer::CreateEndUsers(creations),
        KeptOutcome::Turn => {
            let document = row.json("turn")?;
            Answer::ReserveTurn(ReservedTurn::Answered(CountedTurn { document, quota: None }))
        }
        KeptOutcome::Agent { created, version, .. } => {
            let view = AgentView { agent: row.json("agent")?, version };
            Answer::SaveAgent(SavedAgent { created, view })
        }
        KeptOutcome::Principal { created, version } => {
            let view = PrincipalView { principal: row.json("principal")?, version };
            Answer::CreatePrincipal(CreatedPrincipal { created, view })
        }
    })
}

/// Stores an answer in the place of an expired one, and returns whether the object keeps this kind of answer. The
/// erasure of `user` removes the answer too. The answer to a batch names no user.
pub fn store(
    sql: &impl Sql,
    key: &IdempotencyKey,
    request_id: RequestId,
    user: Option<i64>,
    answer: &Answer,
    now: Timestamp,
) -> Result<bool, SqlError> {
    let Some((kept, document)) = kept(answer)? else { return Ok(false) };
    let kept = json_text("an answer", &kept)?;
    remove(sql, "digest = ?", &[key.digest.as_str().into()])?;
    sql.execute(
        "INSERT INTO idempotency (digest, fingerprint, request_id, outcome, document, user, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        &[
            key.digest.as_str().into(),
            key.fingerprint.as_str().into(),
            request_id.to_string().into(),
            kept.as_str().into(),
            document.as_str().into(),
            user.into(),
            now.millis().saturating_add(KEPT_MS).into(),
        ],
    )?;
    Ok(true)
}

/// Removes the answers about some users. `users` is a JSON list of row numbers.
pub fn purge_users(sql: &impl Sql, users: &str) -> Result<(), SqlError> {
    remove(sql, "user IN (SELECT value FROM json_each(?))", &[users.into()])
}

/// A kept answer in a user's export.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct KeptAnswer {
    request_id: RequestId,
    expires_at: Timestamp,
    /// The user's record as it was then, or the answer to a turn.
    answer: json::Text,
}

/// The kept answers about a user.
pub fn kept_for(sql: &impl Sql, user: i64, now: Timestamp) -> Result<Vec<KeptAnswer>, SqlError> {
    sql.list(
        "SELECT request_id, expires_at, document FROM idempotency WHERE user = ? AND expires_at > ? ORDER BY expires_at",
        &[user.into(), now.into()],
        |row| {
            let (request_id, expires_at) = (row.parsed("request id")?, row.timestamp()?);
            Ok(KeptAnswer { request_id, expires_at, answer: row.json("answer")? })
        },
    )
}

/// Removes expired answers, at most [`SWEEP_MAX`], and returns when the next one expires: an instant in the past
/// if more are due, `None` if the object keeps no answer.
pub fn sweep(sql: &impl Sql, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    remove(
        sql,
        "number IN (SELECT number FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        &[now.into(), SWEEP_MAX.into()],
    )?;
    Ok(sql.find("SELECT min(expires_at) FROM idempotency", &[], Row::optional_timestamp)?.flatten())
}

/// Removes answers. Every removal goes through here, because it overwrites first.
fn remove(sql: &impl Sql, condition: &str, parameters: &[SqlValue<'_>]) -> Result<(), SqlError> {
    let blank = overwriting::blank("document");
    sql.execute(&format!("UPDATE idempotency SET {blank} WHERE {condition}"), parameters)?;
    sql.execute(&format!("DELETE FROM idempotency WHERE {condition}"), parameters)
}
