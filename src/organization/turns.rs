//! The ledger: turns reserved, then counted or released.
//!
//! Invariants:
//!
//! - `counted + reserved ≤ limit`, for turns and for active relationships, at every
//!   moment: a turn is reserved before anyone is asked for an answer.
//! - A turn is counted exactly when it is committed, in one transaction with the
//!   answer that is kept for a retry. What was released, or has expired, is never
//!   counted; a commit that comes too late is refused, and its answer not given.
//! - A relationship is active in a period because it is in a set, not because it was
//!   added up: however often it is noted, it counts once.
//! - No reservation outlives its expiry: the sweep removes it, and nothing believes
//!   it any more even before that.

use serde::Serialize;

use super::agents::{self, FoundAgent};
use super::idempotency;
use super::outbox::Outbox;
use super::protocol::{IdempotencyKey, NewEndUser, NewTurn, Outcome, Settings, TurnAnswer};
use super::quotas::{self, Period};
use super::relationships;
use super::sql::{Sql, SqlError};
use super::user_row::UserRow;
use super::users;
use crate::directory::identifiers::RequestId;
use crate::directory::metadata::Metadata;
use crate::directory::mood::Decay;
use crate::directory::names::UserId;
use crate::directory::quota::Component;
use crate::directory::quota::Quota;
use crate::directory::timestamp::Timestamp;
use crate::json;

const RESERVED: &str = "reserved";
const COMMITTED: &str = "committed";

/// Most rows that are swept in one go.
const SWEEP_MAX: i64 = 500;

/// What is known of the key of a turn that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InFlight {
    No,
    /// The same request is being answered.
    Same,
    /// The key is in use for another.
    Other,
}

/// Whether another request with this key is being answered.
pub fn in_flight<S: Sql>(
    sql: &S,
    key: &IdempotencyKey,
    request_id: RequestId,
    now: Timestamp,
) -> Result<InFlight, SqlError> {
    let found = sql.first(
        "SELECT fingerprint FROM ledger WHERE digest = ? AND operation <> ? AND state = 'reserved' AND expires_at > ?",
        &[key.digest.as_str().into(), request_id.to_string().as_str().into(), now.millis().into()],
    )?;
    let Some(mut row) = found else { return Ok(InFlight::No) };
    Ok(if row.text()? == key.fingerprint { InFlight::Same } else { InFlight::Other })
}

/// Whether this very request has reserved before.
pub fn was_reserved<S: Sql>(sql: &S, request_id: RequestId) -> Result<bool, SqlError> {
    let found = sql.first("SELECT 1 FROM ledger WHERE operation = ?", &[request_id.to_string().as_str().into()])?;
    Ok(found.is_some())
}

/// Reserves a turn and, when a user takes it, makes the user and the relationship
/// unless they are there. Refuses before anything is written.
pub fn reserve<S: Sql>(
    sql: &S,
    outbox: &mut Outbox,
    settings: Option<&Settings>,
    request_id: RequestId,
    turn: NewTurn,
    key: Option<&IdempotencyKey>,
    now: Timestamp,
) -> Result<Outcome, SqlError> {
    let Some(settings) = settings else { return Ok(Outcome::NotFound) };
    let agent = match agents::find(sql, &turn.agent)? {
        FoundAgent::None => return Ok(Outcome::NotFound),
        FoundAgent::Several => return Ok(Outcome::Ambiguous),
        FoundAgent::One(agent) => agent,
    };
    let user = match &turn.user_id {
        Some(user_id) => UserRow::find(sql, user_id)?,
        None => None,
    };
    let display_name = user.as_ref().and_then(|row| row.user.display_name.clone());
    let quota = quotas::read(sql, settings, now)?;
    let reserved = Outcome::TurnReserved { agent_name: agent.agent.name.clone(), display_name, quota };
    if was_reserved(sql, request_id)? {
        return Ok(reserved);
    }
    if user.as_ref().is_some_and(|row| row.takes_no_write()) {
        return Ok(Outcome::DeletionPending);
    }
    let period = Period::containing(settings.anchor, now);
    // Who is refused is told as used what is under way too: it is why nothing is left.
    let turns_used = quota.turns_used.saturating_add(turns_reserved(sql, period, now)?);
    if turns_used >= quota.turns_limit {
        return Ok(Outcome::OverQuota { component: Component::Turns, quota: Quota { turns_used, ..quota } });
    }
    let mut stake = Stake { relationship: None, user: None, is_new_active: false };
    if let Some(user_id) = turn.user_id {
        let held = user.as_ref().map(|row| row.number);
        stake.is_new_active = !is_active(sql, period, held, agent.number)?;
        if stake.is_new_active {
            let reserved = relationships_reserved(sql, period, held, agent.number, now)?;
            let relationships_used = quota.relationships_used.saturating_add(reserved);
            if relationships_used >= quota.relationships_limit {
                let quota = Quota { relationships_used, ..quota };
                return Ok(Outcome::OverQuota { component: Component::ActiveRelationships, quota });
            }
        }
        let number = match held {
            Some(number) => number,
            None if agents::has_external_id(sql, &user_id)? => return Ok(Outcome::OtherType),
            None => make_user(sql, outbox, request_id, user_id, now)?,
        };
        stake.user = Some(number);
        stake.relationship = Some(relationships::ensure(sql, outbox, turn.relationship_id, number, agent.number, now)?);
    }
    sql.run(
        "INSERT INTO ledger (operation, state, expires_at, period_start, relationship, user, is_new_active, digest, fingerprint)
         VALUES (?, 'reserved', ?, ?, ?, ?, ?, ?, ?)",
        &[
            request_id.to_string().as_str().into(),
            now.millis().saturating_add(turn.expires_in_ms).into(),
            period.start.millis().into(),
            stake.relationship.into(),
            stake.user.into(),
            i64::from(stake.is_new_active).into(),
            key.map(|key| key.digest.as_str()).into(),
            key.map(|key| key.fingerprint.as_str()).into(),
        ],
    )?;
    Ok(reserved)
}

/// What a turn is about, besides being a turn.
struct Stake {
    relationship: Option<i64>,
    user: Option<i64>,
    is_new_active: bool,
}

fn make_user<S: Sql>(
    sql: &S,
    outbox: &mut Outbox,
    request_id: RequestId,
    user_id: UserId,
    now: Timestamp,
) -> Result<i64, SqlError> {
    let new = NewEndUser { user_id: user_id.clone(), display_name: None, metadata: Metadata::default() };
    users::create(sql, outbox, request_id, new, now)?;
    let made = UserRow::find(sql, &user_id)?.ok_or_else(|| SqlError("a user was made and is not there".to_owned()))?;
    Ok(made.number)
}

fn turns_reserved<S: Sql>(sql: &S, period: Period, now: Timestamp) -> Result<u64, SqlError> {
    count(
        sql.first(
            "SELECT count(*) FROM ledger WHERE state = 'reserved' AND period_start = ? AND expires_at > ?",
            &[period.start.millis().into(), now.millis().into()],
        )?
        .map(|mut row| row.integer()),
    )
}

fn count(counted: Option<Result<i64, SqlError>>) -> Result<u64, SqlError> {
    Ok(u64::try_from(counted.transpose()?.unwrap_or_default()).unwrap_or_default())
}

fn is_active<S: Sql>(sql: &S, period: Period, user: Option<i64>, agent: i64) -> Result<bool, SqlError> {
    let Some(user) = user else { return Ok(false) };
    let found = sql.first(
        "SELECT 1 FROM active_relationships WHERE period_start = ? AND user = ? AND agent = ?",
        &[period.start.millis().into(), user.into(), agent.into()],
    )?;
    Ok(found.is_some())
}

/// How many relationships turns under way would make active, this one excepted.
fn relationships_reserved<S: Sql>(
    sql: &S,
    period: Period,
    user: Option<i64>,
    agent: i64,
    now: Timestamp,
) -> Result<u64, SqlError> {
    count(
        sql.first(
            "SELECT count(DISTINCT l.relationship) FROM ledger l JOIN relationships r ON r.number = l.relationship
             WHERE l.state = 'reserved' AND l.period_start = ?1 AND l.expires_at > ?2 AND l.is_new_active = 1
             AND NOT (r.user IS ?3 AND r.agent = ?4)
             AND NOT EXISTS (SELECT 1 FROM active_relationships a
                             WHERE a.period_start = ?1 AND a.user = r.user AND a.agent = r.agent)",
            &[period.start.millis().into(), now.millis().into(), user.into(), agent.into()],
        )?
        .map(|mut row| row.integer()),
    )
}

/// The answer to a turn, as the caller gets it and as it is kept.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "Turn"))]
pub struct TurnView<'a> {
    interaction_id: RequestId,
    response: &'a str,
    inferred_emotional_state: Option<&'a json::Text>,
    usage: TurnUsageView<'a>,
    latency_ms: i64,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "TurnUsage"))]
struct TurnUsageView<'a> {
    turns_consumed: u32,
    active_relationship_counted: bool,
    llm_provider: &'a str,
    llm_model: &'a str,
}

/// Counts a turn that was answered. Asked again, it answers the same.
pub fn commit<S: Sql>(
    sql: &S,
    outbox: &mut Outbox,
    settings: Option<&Settings>,
    operation: RequestId,
    answer: &TurnAnswer,
    decay: Decay,
) -> Result<Outcome, SqlError> {
    let Some(settings) = settings else { return Ok(Outcome::NotFound) };
    let now = decay.now;
    let found = sql.first(
        "SELECT state, expires_at, period_start, relationship, user, is_new_active, digest, fingerprint
         FROM ledger WHERE operation = ?",
        &[operation.to_string().as_str().into()],
    )?;
    let Some(mut row) = found else { return Ok(Outcome::TurnExpired) };
    let (state, expires_at) = (row.text()?, row.integer()?);
    let period_start = row.integer()?;
    let (relationship, user, counted) = (row.optional_integer()?, row.optional_integer()?, row.integer()? != 0);
    let key = match (row.optional_text()?, row.optional_text()?) {
        (Some(digest), Some(fingerprint)) => Some(IdempotencyKey { digest, fingerprint }),
        _ => None,
    };
    if state == COMMITTED {
        return respond(sql, settings, operation, answer, counted, now);
    }
    if state != RESERVED || expires_at <= now.millis() {
        return Ok(Outcome::TurnExpired);
    }
    quotas::add(sql, quotas::TURNS, period_start, 1)?;
    let counted = match (relationship, user) {
        (Some(relationship), Some(user)) => {
            let pair = TurnRelationship { relationship, user, period_start };
            interact(sql, outbox, &pair, answer, decay)?
        }
        _ => false,
    };
    sql.run(
        "UPDATE ledger SET state = 'committed', is_new_active = ?2 WHERE operation = ?1",
        &[operation.to_string().as_str().into(), i64::from(counted).into()],
    )?;
    let outcome = respond(sql, settings, operation, answer, counted, now)?;
    if let Some(key) = key {
        idempotency::store(sql, &key, operation, user, &outcome, now)?;
    }
    Ok(outcome)
}

fn respond<S: Sql>(
    sql: &S,
    settings: &Settings,
    operation: RequestId,
    answer: &TurnAnswer,
    counted: bool,
    now: Timestamp,
) -> Result<Outcome, SqlError> {
    let view = TurnView {
        interaction_id: operation,
        response: &answer.response,
        inferred_emotional_state: answer.state.as_ref(),
        usage: TurnUsageView {
            turns_consumed: 1,
            active_relationship_counted: counted,
            llm_provider: &answer.provider,
            llm_model: &answer.model,
        },
        latency_ms: answer.latency_ms,
    };
    let document = json::Text::of(&view).map_err(|error| SqlError::corrupt("turn", error))?;
    Ok(Outcome::Turn { document, quota: Some(quotas::read(sql, settings, now)?) })
}

/// A relationship that a turn was taken in, and the period it counts in.
struct TurnRelationship {
    relationship: i64,
    user: i64,
    period_start: i64,
}

/// Notes a turn with its user and relationship; says whether the relationship became
/// active by it. A person who is being erased is left alone: the turn counts, and
/// leaves no trace of them.
fn interact<S: Sql>(
    sql: &S,
    outbox: &mut Outbox,
    pair: &TurnRelationship,
    answer: &TurnAnswer,
    decay: Decay,
) -> Result<bool, SqlError> {
    let Some(mut row) = UserRow::of_number(sql, pair.user)? else { return Ok(false) };
    if row.takes_no_write() {
        return Ok(false);
    }
    let Some(agent) = relationships::note_turn(sql, pair.relationship, answer, decay)? else { return Ok(false) };
    row.interacted(decay.now);
    row.store(sql)?;
    outbox.append_with_relationships(sql, row.number)?;
    let inserted = sql.first(
        "INSERT INTO active_relationships (period_start, user, agent) VALUES (?, ?, ?)
         ON CONFLICT DO NOTHING RETURNING 1",
        &[pair.period_start.into(), pair.user.into(), agent.into()],
    )?;
    if inserted.is_some() {
        quotas::add(sql, quotas::ACTIVE_RELATIONSHIPS, pair.period_start, 1)?;
    }
    Ok(inserted.is_some())
}

/// Gives a reservation back. Whatever is not reserved is left as it is.
pub fn release<S: Sql>(sql: &S, operation: RequestId) -> Result<Outcome, SqlError> {
    sql.run("DELETE FROM ledger WHERE operation = ? AND state = 'reserved'", &[operation.to_string().as_str().into()])?;
    Ok(Outcome::TurnReleased)
}

/// Removes what has expired, and says when the next expires.
pub fn sweep<S: Sql>(sql: &S, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    sql.run(
        "DELETE FROM ledger WHERE operation IN
         (SELECT operation FROM ledger WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        &[now.millis().into(), SWEEP_MAX.into()],
    )?;
    let next = sql.first("SELECT min(expires_at) FROM ledger", &[])?;
    let next = next.map(|mut row| row.optional_integer()).transpose()?.flatten();
    Ok(next.map(Timestamp::from_millis))
}

/// Takes the turns of some people, given as a list in JSON, out of their relationships,
/// which are forgotten. The number of a relationship may be used again: a turn that kept
/// it would be noted with somebody else's.
pub fn leave<S: Sql>(sql: &S, users: &str) -> Result<(), SqlError> {
    let listed = "IN (SELECT value FROM json_each(?))";
    sql.run(&format!("UPDATE ledger SET relationship = NULL WHERE user {listed}"), &[users.into()])?;
    Ok(())
}

/// Removes what turns under way, and the set of active relationships, know of some
/// people, given as a list in JSON. What was counted stays counted.
pub fn forget<S: Sql>(sql: &S, users: &str) -> Result<(), SqlError> {
    let listed = "IN (SELECT value FROM json_each(?))";
    // Nor is the answer of one under way kept for a retry: it would be about nobody.
    let forget = "user = NULL, relationship = NULL, digest = NULL, fingerprint = NULL";
    sql.run(&format!("UPDATE ledger SET {forget} WHERE user {listed}"), &[users.into()])?;
    sql.run(&format!("DELETE FROM active_relationships WHERE user {listed}"), &[users.into()])?;
    Ok(())
}
