//! Answers that the object keeps for callers that retry with the same `Idempotency-Key`
//! (draft-ietf-httpapi-idempotency-key-header).
//!
//! Invariants:
//!
//! - The object stores an answer in the transaction of the command that it answers. So both exist or neither
//!   does, and the object executes a request with a key at most once while it keeps the answer.
//! - The object stores only answers to executed commands. It stores no refusal (401, 403, 429, 4xx of the input),
//!   so that a caller can correct its request and keep the key.
//! - A kept answer is found by what it is about. The object gives none about a user who is being erased. An erasure
//!   leaves a tombstone, the digest of the key, so that a repetition neither gets the answer nor makes the user anew.

use serde::{Deserialize, Serialize};

use super::answer_bounds::{FIRST_BYTES, FIRST_COUNT};
use super::failure::Failure;
use super::overwriting;
use super::protocol::{
    AgentView, Answer, Command, CountedTurn, CreatedEndUser, CreatedPrincipal, ExportPlace, IdempotencyKey,
    PrincipalView, Rejection, ReservedTurn, SavedAgent,
};
use super::sql::{Row, Sql, SqlError, SqlValue, json_text};
use super::user_row::{self, UserRow};
use super::users::{self, KeptCreation};
use super::writer::Writer;
use crate::directory::agent::AgentId;
use crate::directory::end_user::Version;
use crate::directory::identifiers::RequestId;
use crate::directory::names::UserId;
use crate::directory::principal::PrincipalType;
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

/// Finds the answer that is kept under an idempotency key for this command. Rejects a key that belongs to another
/// request, and one whose answer is about what is erased.
pub fn find(sql: &impl Sql, key: &IdempotencyKey, command: &Command, now: Timestamp) -> Result<Option<Kept>, Failure> {
    let found = sql.first(
        "SELECT fingerprint, about, request_id, outcome, document FROM idempotency
         WHERE digest = ? AND expires_at > ?",
        &[key.digest.as_str().into(), now.into()],
    )?;
    let Some(mut row) = found else { return Ok(None) };
    let fingerprint = row.optional_text()?.ok_or(Rejection::IdempotencyOfErased)?;
    if fingerprint != key.fingerprint {
        return Err(Rejection::IdempotencyMismatch.into());
    }
    if let Some(about) = row.optional_text()?
        && let Some(user) = UserRow::of_digest(sql, &about)?
    {
        user.check_takes_writes(sql)?;
    }
    let request_id = row.parsed("request id")?;
    let answer = read_answer(sql, &mut row, command)?;
    Ok(Some(Kept { answer, request_id }))
}

/// The stored form of an answer, without the record in it.
#[derive(Serialize, Deserialize)]
enum KeptOutcome {
    EndUser {
        created: bool,
        version: Version,
    },
    EndUsers {
        creations: Vec<KeptCreation>,
        /// The newest change when the batch was answered.
        sequence: i64,
    },
    Turn,
    Agent {
        created: bool,
        agent_id: AgentId,
        version: Version,
    },
    Principal {
        created: bool,
        version: Version,
    },
}

/// The stored form of an answer, and its record; `None` for an answer that the object does not keep.
fn kept(answer: &Answer, sequence: i64) -> Result<Option<(KeptOutcome, json::Text)>, SqlError> {
    Ok(Some(match answer {
        Answer::CreateEndUser(CreatedEndUser { created, user }) => {
            (KeptOutcome::EndUser { created: *created, version: user.version }, json_text("a user", user)?)
        }
        Answer::CreateEndUsers(creations) => {
            let Some(creations) = creations.iter().copied().map(KeptCreation::of).collect() else { return Ok(None) };
            (KeptOutcome::EndUsers { creations, sequence }, json_text("nothing", &())?)
        }
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

/// Reads an answer, and the record in the next column.
fn read_answer(sql: &impl Sql, row: &mut Row, command: &Command) -> Result<Answer, SqlError> {
    Ok(match row.json("answer")? {
        KeptOutcome::EndUser { created, .. } => {
            Answer::CreateEndUser(CreatedEndUser { created, user: row.json("user")? })
        }
        KeptOutcome::EndUsers { creations, sequence } => {
            let Command::CreateEndUsers(new) = command else {
                return Err(SqlError("the answer to a batch is kept for another command".to_owned()));
            };
            Answer::CreateEndUsers(users::creations_now(sql, &new.users, creations, sequence)?)
        }
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

/// What an answer is about: a user, by the digest of their id, or an agent, by its id. The answer to a batch names
/// no user, and that to a turn does not say whom the turn named.
fn about(answer: &Answer) -> Option<String> {
    match answer {
        Answer::CreateEndUser(CreatedEndUser { user, .. }) => Some(user.user_id.digest()),
        Answer::SaveAgent(SavedAgent { view, .. }) => Some(view.agent.agent_id.to_string()),
        Answer::CreatePrincipal(CreatedPrincipal { view: PrincipalView { principal, .. }, .. }) => {
            match principal.r#type {
                PrincipalType::Human => Some(principal.external_id.digest()),
                PrincipalType::Agent => Some(principal.id.to_string()),
            }
        }
        _ => None,
    }
}

/// Whom the answer to a turn is about.
#[derive(Debug, Default)]
pub struct AnsweredTurn {
    /// The digest of the user whom the turn names.
    pub named: Option<String>,
    pub relationship: Option<i64>,
}

/// Stores an answer in the place of an expired one, and returns whether the object keeps this kind of answer.
pub fn store(
    writer: &Writer<'_, impl Sql>,
    key: &IdempotencyKey,
    request_id: RequestId,
    turn: AnsweredTurn,
    answer: &Answer,
) -> Result<bool, SqlError> {
    let Writer { sql, now, .. } = *writer;
    let Some((kept, document)) = kept(answer, writer.log.last_sequence())? else { return Ok(false) };
    let kept = json_text("an answer", &kept)?;
    remove(sql, "digest = ?", &[key.digest.as_str().into()])?;
    sql.execute(
        // What precedes it about the same: see `super::answer_bounds`.
        "INSERT INTO idempotency (digest, fingerprint, request_id, outcome, document, about, expires_at, about_count,
         about_bytes, relationship)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(max(count), ?9) + 1, coalesce(max(bytes), ?10), ?8 FROM
         (SELECT about_count AS count, about_bytes + octet_length(document) AS bytes FROM idempotency
          WHERE about = ?6 ORDER BY number DESC LIMIT 1)",
        &[
            key.digest.as_str().into(),
            key.fingerprint.as_str().into(),
            request_id.to_string().into(),
            kept.as_str().into(),
            document.as_str().into(),
            turn.named.or_else(|| about(answer)).into(),
            expiry(now).into(),
            turn.relationship.into(),
            FIRST_COUNT.into(),
            FIRST_BYTES.into(),
        ],
    )?;
    Ok(true)
}

/// When an answer that is stored now expires, in milliseconds since the epoch.
const fn expiry(now: Timestamp) -> i64 {
    now.millis().saturating_add(KEPT_MS)
}

/// Leaves tombstones in the place of the answers about some users, and of those that turns in progress may still get.
/// `users` is a JSON list of row numbers.
pub fn purge_users(sql: &impl Sql, users: &str, now: Timestamp) -> Result<(), SqlError> {
    bury(sql, &format!("about {}", user_row::DIGESTS), users)?;
    let in_progress = format!(
        "FROM ledger WHERE state = 'reserved' AND expires_at > ?2 AND digest IS NOT NULL AND about {}",
        user_row::DIGESTS
    );
    let expired = format!("digest IN (SELECT digest {in_progress}) AND expires_at <= ?2");
    remove(sql, &expired, &[users.into(), now.into()])?;
    sql.execute(
        &format!(
            "INSERT INTO idempotency (digest, request_id, outcome, document, expires_at)
             SELECT digest, '', '', '', ?3 {in_progress}"
        ),
        &[users.into(), now.into(), expiry(now).into()],
    )
}

/// Leaves tombstones in the place of the answers about an agent.
pub fn purge_agent(sql: &impl Sql, agent_id: AgentId) -> Result<(), SqlError> {
    bury(sql, "about = ?", agent_id.to_string())
}

/// Leaves tombstones in the place of the answers to turns that name some users. `users` is a JSON list of row numbers.
pub fn purge_turns(sql: &impl Sql, users: &str) -> Result<(), SqlError> {
    let turn = json_text("an answer", &KeptOutcome::Turn)?;
    bury(sql, &format!("about {} AND outcome = '{}'", user_row::DIGESTS, turn.as_str()), users)?;
    recount(sql, users)
}

/// Leaves tombstones in the place of the answers to turns of a relationship. `user` is the row number of its user.
pub fn purge_relationship(sql: &impl Sql, relationship: i64, user: i64) -> Result<(), SqlError> {
    bury(sql, "relationship = ?", relationship)?;
    recount(sql, &format!("[{user}]"))
}

/// Counts the answers about some users again, after some were buried: see [`super::answer_bounds`].
fn recount(sql: &impl Sql, users: &str) -> Result<(), SqlError> {
    let recounted = format!(
        "SELECT number, ?2 + row_number() OVER earlier AS count, ?3 + sum(octet_length(document)) OVER earlier AS bytes
         FROM idempotency WHERE about {} WINDOW earlier AS (PARTITION BY about ORDER BY number)",
        user_row::DIGESTS
    );
    sql.execute(
        &format!(
            "UPDATE idempotency SET about_count = held.count, about_bytes = held.bytes - octet_length(document)
             FROM ({recounted}) held WHERE idempotency.number = held.number"
        ),
        &[users.into(), FIRST_COUNT.into(), FIRST_BYTES.into()],
    )
}

/// Overwrites answers, and keeps the digests of their keys until the answers expire.
fn bury<'a>(sql: &impl Sql, condition: &str, parameter: impl Into<SqlValue<'a>>) -> Result<(), SqlError> {
    let parameters = [parameter.into()];
    overwrite(sql, condition, &parameters)?;
    let emptied = "fingerprint = NULL, request_id = '', outcome = '', document = '', about = NULL, relationship = NULL";
    sql.execute(&format!("UPDATE idempotency SET {emptied} WHERE {condition}"), &parameters)
}

/// A kept answer in a user's export.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub struct KeptAnswer {
    request_id: RequestId,
    expires_at: Timestamp,
    /// The user's record as it was then, or the answer to a turn.
    answer: json::Text,
}

/// The number of the newest answer about a user; 0 when none is kept.
pub fn last_about(sql: &impl Sql, user_id: &UserId) -> Result<i64, SqlError> {
    let select = "SELECT max(number) FROM idempotency WHERE about = ?";
    Ok(sql.find(select, &[user_id.digest().into()], Row::optional_integer)?.flatten().unwrap_or_default())
}

/// The answers about a user in an export, each with its number, after one of them: at most `rows_max`, and unless it is
/// one, at most `bytes_max` bytes of answers. An answer can have 1.5 MiB, so the object looks at the lengths first.
pub fn kept_about(
    sql: &impl Sql,
    user_id: &UserId,
    place: &ExportPlace,
    after: i64,
    rows_max: u32,
    bytes_max: usize,
) -> Result<Vec<(i64, KeptAnswer)>, SqlError> {
    let digest = user_id.digest();
    let lengths = sql.list(
        "SELECT number, octet_length(document) FROM idempotency
         WHERE about = ? AND number > ? AND number <= ? AND expires_at > ? ORDER BY number LIMIT ?",
        &[
            digest.as_str().into(),
            after.into(),
            place.last_answer.into(),
            place.exported_at.into(),
            i64::from(rows_max).into(),
        ],
        |row| Ok((row.integer()?, row.integer()?)),
    )?;
    let Some((first, length)) = lengths.first().copied() else { return Ok(Vec::new()) };
    let (mut last, mut bytes) = (first, length);
    for (number, length) in lengths.into_iter().skip(1) {
        bytes = bytes.saturating_add(length);
        if usize::try_from(bytes).is_ok_and(|bytes| bytes > bytes_max) {
            break;
        }
        last = number;
    }
    sql.list(
        "SELECT number, request_id, expires_at, document FROM idempotency
         WHERE about = ? AND number >= ? AND number <= ? AND expires_at > ? ORDER BY number",
        &[digest.as_str().into(), first.into(), last.into(), place.exported_at.into()],
        |row| {
            let (number, request_id, expires_at) = (row.integer()?, row.parsed("request id")?, row.timestamp()?);
            Ok((number, KeptAnswer { request_id, expires_at, answer: row.json("answer")? }))
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
    overwrite(sql, condition, parameters)?;
    sql.execute(&format!("DELETE FROM idempotency WHERE {condition}"), parameters)
}

fn overwrite(sql: &impl Sql, condition: &str, parameters: &[SqlValue<'_>]) -> Result<(), SqlError> {
    overwriting::overwrite(sql, "idempotency", &["document"], condition, parameters)
}
