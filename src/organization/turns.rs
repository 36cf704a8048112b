//! The ledger: turns reserved, then counted or released.
//!
//! Invariants:
//!
//! - The object reserves a turn before the edge asks a provider for the answer, if the quotas have room for it
//!   ([`super::turn_quotas`]).
//! - The object counts a turn exactly when it commits the turn, in one transaction with the answer that it keeps
//!   for a retry. It never counts a released or expired turn. It refuses a commit that comes too late, and the
//!   caller does not get the answer.
//! - The relationships that are active in a period are a set ([`super::active_relationships`]).
//! - No reservation outlives its expiry: every query ignores an expired one, and the sweep removes it later.
//! - A request counts once, although its calls may be repeated. A call can arrive after the commit, and the commit may
//!   come just before the expiry. So a row stays for [`KEPT_AFTER_EXPIRY_MS`]: until then a repeated commit gets the
//!   same answer, and a late copy of the reservation reserves nothing.

use serde::Serialize;

use super::active_relationships;
use super::agents;
use super::change_log::{Affected, ChangeKind};
use super::failure::Failure;
use super::idempotency::{self, AnsweredTurn};
use super::protocol::{
    Answer, CountedTurn, IdempotencyKey, NewEndUser, NewTurn, Rejection, ReservedTurn, Resource, Settings, TurnAnswer,
};
use super::quotas::{self, Period};
use super::relationships;
use super::sql::{Row, Sql, SqlError, json_text};
use super::turn_quotas::TurnQuotas;
use super::user_row::{self, UserRow};
use super::users;
use super::writer::Writer;
use crate::directory::identifiers::RequestId;
use crate::directory::metadata::Metadata;
use crate::directory::mood::{Decay, EmotionalState};
use crate::directory::names::UserId;
use crate::directory::quota::Component;
use crate::directory::timestamp::Timestamp;

const RESERVED: &str = "reserved";
const COMMITTED: &str = "committed";

/// Most rows that one sweep removes.
pub const SWEEP_MAX: i64 = 500;

/// How long a row stays after its expiry, in milliseconds. It is longer than any copy of a call lives: the edge repeats a
/// call once, within two seconds, and the platform starts copies of either for ten.
pub const KEPT_AFTER_EXPIRY_MS: i64 = 60_000;

/// Rejects an idempotency key that another turn in progress uses.
pub fn check_not_in_flight(
    sql: &impl Sql,
    key: &IdempotencyKey,
    request_id: RequestId,
    now: Timestamp,
) -> Result<(), Failure> {
    let found = sql.find(
        "SELECT fingerprint FROM ledger WHERE digest = ? AND operation <> ? AND state = 'reserved' AND expires_at > ?",
        &[key.digest.as_str().into(), request_id.to_string().into(), now.into()],
        Row::text,
    )?;
    match found {
        None => Ok(()),
        Some(fingerprint) if fingerprint == key.fingerprint => Err(Rejection::IdempotencyInFlight.into()),
        Some(_) => Err(Rejection::IdempotencyMismatch.into()),
    }
}

/// Whether this request has reserved a turn already.
pub fn was_reserved(sql: &impl Sql, request_id: RequestId) -> Result<bool, SqlError> {
    sql.exists("SELECT 1 FROM ledger WHERE operation = ?", &[request_id.to_string().into()])
}

/// Reserves a turn. When a user takes the turn, the object creates the user and the relationship unless they
/// exist. A refusal writes nothing.
pub fn reserve(
    writer: &mut Writer<'_, impl Sql>,
    settings: Option<&Settings>,
    request_id: RequestId,
    turn: NewTurn,
    key: Option<&IdempotencyKey>,
) -> Result<ReservedTurn, Failure> {
    let Writer { sql, now, .. } = *writer;
    let settings = settings.ok_or(Rejection::NotFound(Resource::Organization))?;
    let agent = agents::find_one(sql, &turn.agent)?;
    let named = turn.user_id.as_ref().map(UserId::digest);
    let user_id = turn.user_id.filter(|_| turn.is_stateful);
    let user = match &user_id {
        Some(user_id) => UserRow::find(sql, user_id)?,
        None => None,
    };
    let display_name = user.as_ref().and_then(|row| row.user.display_name.clone());
    let quota = quotas::read(sql, settings, now)?;
    let reserved = ReservedTurn::New { agent_name: agent.agent.name.clone(), display_name, quota };
    if was_reserved(sql, request_id)? {
        return Ok(reserved);
    }
    user.as_ref().map_or(Ok(()), |row| row.check_takes_writes(sql))?;
    let period = Period::containing(settings.anchor, now);
    let room = TurnQuotas { sql, limits: settings.limits, period, quota, now };
    room.check_turns()?;
    let mut reservation = Reservation { period, relationship: None, user: None, named, is_new_active: false };
    if let Some(user_id) = user_id {
        let held = user.as_ref().map(|row| row.number);
        reservation.is_new_active = room.check_active_relationship(held, agent.number)?;
        user.as_ref().map_or(Ok(()), |row| room.check_turns_of(row))?;
        let (number, relationship) = match held {
            Some(number) => (number, relationships::ensure(writer, turn.relationship_id, number, agent.number)?),
            None if agents::has_external_id(sql, &user_id)? => return Err(Rejection::OtherType.into()),
            None => {
                let number = create_user(writer, request_id, user_id)?;
                (number, relationships::create(writer, turn.relationship_id, number, agent.number)?)
            }
        };
        reservation.user = Some(number);
        reservation.relationship = Some(relationship);
    }
    reservation.store(sql, request_id, key, now.millis().saturating_add(turn.expires_in_ms))?;
    Ok(reserved)
}

/// What a turn reserves besides itself.
struct Reservation {
    period: Period,
    relationship: Option<i64>,
    user: Option<i64>,
    /// The digest of the id of the user whom the turn names.
    named: Option<String>,
    /// Whether the turn would make the relationship active in the period.
    is_new_active: bool,
}

impl Reservation {
    fn store(
        &self,
        sql: &impl Sql,
        operation: RequestId,
        key: Option<&IdempotencyKey>,
        expires_at_ms: i64,
    ) -> Result<(), SqlError> {
        sql.execute(
            "INSERT INTO ledger (operation, state, expires_at, period_start, relationship, user, is_new_active, digest,
             fingerprint, about) VALUES (?, 'reserved', ?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                operation.to_string().into(),
                expires_at_ms.into(),
                self.period.start.into(),
                self.relationship.into(),
                self.user.into(),
                i64::from(self.is_new_active).into(),
                key.map(|key| key.digest.as_str()).into(),
                key.map(|key| key.fingerprint.as_str()).into(),
                self.named.as_deref().into(),
            ],
        )
    }
}

fn create_user(writer: &mut Writer<'_, impl Sql>, request_id: RequestId, user_id: UserId) -> Result<i64, Failure> {
    let new = NewEndUser { user_id, display_name: None, metadata: Metadata::default() };
    // The number of a user is that of the change that makes the user.
    let number = writer.log.next_sequence();
    users::create(writer, request_id, new)?;
    Ok(number)
}

/// The answer to a turn, as the caller gets it and as the object keeps it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Turn")]
pub struct TurnView<'a> {
    interaction_id: RequestId,
    response: &'a str,
    inferred_emotional_state: Option<&'a EmotionalState>,
    usage: TurnUsageView<'a>,
    latency_ms: i64,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "TurnUsage")]
pub struct TurnUsageView<'a> {
    turns_consumed: u32,
    active_relationship_counted: bool,
    llm_provider: &'a str,
    llm_model: &'a str,
}

/// Counts an answered turn. A repeated commit gets the same answer.
pub fn commit(
    writer: &mut Writer<'_, impl Sql>,
    settings: Option<&Settings>,
    operation: RequestId,
    answer: &TurnAnswer,
    decay: Decay,
) -> Result<CountedTurn, Failure> {
    let settings = settings.ok_or(Rejection::NotFound(Resource::Organization))?;
    let Writer { sql, now, .. } = *writer;
    let found = sql.first(
        "SELECT state, expires_at, period_start, relationship, user, is_new_active, digest, fingerprint, about
         FROM ledger WHERE operation = ?",
        &[operation.to_string().into()],
    )?;
    let mut row = found.ok_or(Rejection::TurnExpired)?;
    let (state, expires_at) = (row.text()?, row.integer()?);
    let period_start = row.integer()?;
    let (relationship, user, counted) = (row.optional_integer()?, row.optional_integer()?, row.integer()? != 0);
    let key = match (row.optional_text()?, row.optional_text()?) {
        (Some(digest), Some(fingerprint)) => Some(IdempotencyKey { digest, fingerprint }),
        _ => None,
    };
    let named = row.optional_text()?;
    if state == COMMITTED {
        return Ok(respond(sql, settings, operation, answer, counted, now)?);
    }
    if state != RESERVED || expires_at <= now.millis() {
        return Err(Rejection::TurnExpired.into());
    }
    let period_start = Timestamp::from_millis(period_start);
    quotas::count(sql, writer.log, &settings.limits, Component::Turns, period_start)?;
    let counted = match user {
        Some(user) => interact(writer, settings, &UserTurn { user, relationship, period_start }, answer, decay)?,
        None => false,
    };
    sql.execute(
        "UPDATE ledger SET state = 'committed', is_new_active = ?2 WHERE operation = ?1",
        &[operation.to_string().into(), i64::from(counted).into()],
    )?;
    let turn = respond(sql, settings, operation, answer, counted, now)?;
    if let Some(key) = key {
        let answer = Answer::ReserveTurn(ReservedTurn::Answered(turn.clone()));
        idempotency::store(writer, &key, operation, AnsweredTurn { named, relationship }, &answer)?;
    }
    Ok(turn)
}

fn respond(
    sql: &impl Sql,
    settings: &Settings,
    operation: RequestId,
    answer: &TurnAnswer,
    counted: bool,
    now: Timestamp,
) -> Result<CountedTurn, SqlError> {
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
    Ok(CountedTurn { document: json_text("a turn", &view)?, quota: Some(quotas::read(sql, settings, now)?) })
}

/// The user who takes a turn, and the period in which the turn counts.
struct UserTurn {
    user: i64,
    /// `None` when the relationship has been erased since.
    relationship: Option<i64>,
    period_start: Timestamp,
}

/// Records a turn with its user and relationship, and returns whether the turn made the relationship active. If
/// the user is being erased, the turn counts for the organization and leaves no trace of the user.
fn interact(
    writer: &mut Writer<'_, impl Sql>,
    settings: &Settings,
    turn: &UserTurn,
    answer: &TurnAnswer,
    decay: Decay,
) -> Result<bool, SqlError> {
    let sql = writer.sql;
    let Some(mut row) = UserRow::of_number(sql, turn.user)? else { return Ok(false) };
    if row.takes_no_write() {
        return Ok(false);
    }
    row.turns.count(turn.period_start);
    let noted = turn.relationship.map(|number| relationships::note_turn(sql, number, answer, decay)).transpose()?;
    let Some(agent) = noted.flatten() else {
        // Without its relationship the turn only counts. That is no change of the record.
        row.store(sql)?;
        return Ok(false);
    };
    row.interacted(decay.now);
    let affected = Affected::UserAndRelationships(row.number);
    row.store_changed(writer, ChangeKind::Turn, affected)?;
    let is_new = active_relationships::add(sql, turn.period_start.millis(), turn.user, agent)?;
    if is_new {
        quotas::count(sql, writer.log, &settings.limits, Component::ActiveRelationships, turn.period_start)?;
    }
    Ok(is_new)
}

/// Releases a reservation. A committed turn stays.
pub fn release(sql: &impl Sql, operation: RequestId) -> Result<(), SqlError> {
    sql.execute("DELETE FROM ledger WHERE operation = ? AND state = 'reserved'", &[operation.to_string().into()])
}

/// Removes turns whose expiry is [`KEPT_AFTER_EXPIRY_MS`] ago, at most [`SWEEP_MAX`], and returns when the next one
/// goes.
pub fn sweep(sql: &impl Sql, now: Timestamp) -> Result<Option<Timestamp>, SqlError> {
    sql.execute(
        "DELETE FROM ledger WHERE operation IN
         (SELECT operation FROM ledger WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        &[now.millis().saturating_sub(KEPT_AFTER_EXPIRY_MS).into(), SWEEP_MAX.into()],
    )?;
    let oldest = sql.find("SELECT min(expires_at) FROM ledger", &[], Row::optional_integer)?.flatten();
    Ok(oldest.map(|expires_at| Timestamp::from_millis(expires_at.saturating_add(KEPT_AFTER_EXPIRY_MS))))
}

/// Detaches the turns of some users from their relationships, which the object removes next. So no turn names a
/// relationship that is gone. `users` is a JSON list of row numbers.
pub fn detach(sql: &impl Sql, users: &str) -> Result<(), SqlError> {
    let update = format!("UPDATE ledger SET relationship = NULL WHERE about {}", user_row::DIGESTS);
    sql.execute(&update, &[users.into()])
}

/// Removes some users from the turns. The counters stay. `users` is a JSON list of row numbers.
pub fn purge_users(sql: &impl Sql, users: &str) -> Result<(), SqlError> {
    // Without its key a turn in progress keeps no answer, which would be about an erased person.
    let blank = "user = NULL, relationship = NULL, digest = NULL, fingerprint = NULL, about = NULL";
    sql.execute(&format!("UPDATE ledger SET {blank} WHERE about {}", user_row::DIGESTS), &[users.into()])
}
