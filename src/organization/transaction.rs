//! One call, executed in one transaction: admission, the kept answer of an earlier call with the same idempotency
//! key, or the command.

use super::admission::{self, Admitted, Credentials};
use super::answer_bounds;
use super::change_log::Origin;
use super::commands;
use super::failure::Failure;
use super::idempotency::{self, AnsweredTurn, Kept};
use super::leases::{self, LeaseLimits};
use super::memory::Memory;
use super::protocol::{
    Actor, Answer, Call, Caller, Command, EdgeCall, IdempotencyKey, Lease, Rejection, Reply, ReservedTurn,
};
use super::quotas;
use super::sql::{Sql, SqlError};
use super::turns;
use super::writer::Writer;
use crate::directory::identifiers::RequestId;
use crate::directory::mood::Decay;
use crate::directory::timestamp::Timestamp;

/// Executes a call on an open object.
pub fn execute(memory: &mut Memory, sql: &impl Sql, call: Call, decay: Decay) -> Result<Reply, SqlError> {
    let Call { request_id, repeated, caller, idempotency, edge, command } = call;
    let (actor, admission, key_expires_at) = match caller {
        Caller::Operator(named) => (Actor::Operator(named), None, None),
        Caller::Key { digest, kind, scope, cost } => {
            // The caller has paid for a committed attempt whose answer was lost.
            let is_paid = repeated && admission::is_committed(sql, request_id, &command)?;
            let credentials = Credentials { digest, kind, scope, cost: if is_paid { 0 } else { cost } };
            match admission::admit(memory, sql, &credentials, decay.now)? {
                Ok(Admitted { key_id, expires_at, admission }) => (Actor::Key(key_id), Some(admission), expires_at),
                Err(refused) => return Ok(Reply::new(refused.admission, Err(Rejection::Denied(refused.denial)))),
            }
        }
    };
    memory.log.begin(Origin { actor, request_id: Some(request_id), at: decay.now });
    let executed = match idempotency {
        None => commands::execute(memory, sql, request_id, command, None, decay).map(|answer| (answer, false)),
        Some(key) => execute_once(memory, sql, request_id, command, &key, decay),
    };
    let (outcome, replayed) = match executed {
        Ok((answer, replayed)) => (Ok(answer), replayed),
        Err(Failure::Rejected(rejection)) => (Err(rejection), false),
        Err(Failure::Sql(error)) => return Err(error),
    };
    let lease = match (edge, &admission) {
        (Some(edge), Some(_)) => lease(memory, sql, &edge, key_expires_at, decay.now)?,
        _ => None,
    };
    Ok(Reply { replayed, lease, ..Reply::new(admission, outcome) })
}

/// Serves what a call says besides its command.
fn lease(
    memory: &mut Memory,
    sql: &impl Sql,
    edge: &EdgeCall,
    key_expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Option<Lease>, SqlError> {
    let (Some(settings), Some(limiter)) = (&memory.settings, &mut memory.limiter) else { return Ok(None) };
    let limits = LeaseLimits { edge_stale_s: settings.limits.edge_stale_s, key_expires_at };
    let mut writer = Writer { sql, log: &mut memory.log, copies: &mut memory.copies, limits: settings.limits, now };
    leases::serve(&mut writer, limiter, edge, limits)
}

/// Executes a command, or gives the answer that is kept under its key. Returns whether the caller has retried and
/// gets a kept answer.
fn execute_once(
    memory: &mut Memory,
    sql: &impl Sql,
    request_id: RequestId,
    command: Command,
    key: &IdempotencyKey,
    decay: Decay,
) -> Result<(Answer, bool), Failure> {
    let now = decay.now;
    turns::check_not_in_flight(sql, key, request_id, now)?;
    if let Some(Kept { mut answer, request_id: answered }) = idempotency::find(sql, key, &command, now)? {
        if let (Answer::ReserveTurn(ReservedTurn::Answered(turn)), Some(settings)) = (&mut answer, &memory.settings) {
            turn.quota = Some(quotas::read(sql, settings, now)?);
        }
        // The edge repeats a call under the id of its request: that is no retry by the caller.
        return Ok((answer, answered != request_id));
    }
    let limits = memory.limits();
    // The answer takes room too. A turn that has been reserved has its room, and an erasure makes some.
    let writer = Writer { sql, log: &mut memory.log, copies: &mut memory.copies, limits, now };
    let room = if let Command::DeleteEndUsers(_) = command { Ok(()) } else { writer.check_storage() };
    let room = room.and_then(|()| answer_bounds::check(sql, memory.settings.as_ref(), &command, now));
    if room.is_err() && !turns::was_reserved(sql, request_id)? {
        room?;
    }
    let answer = commands::execute(memory, sql, request_id, command, Some(key), decay)?;
    let writer = Writer { sql, log: &mut memory.log, copies: &mut memory.copies, limits, now };
    if idempotency::store(&writer, key, request_id, AnsweredTurn::default(), &answer)? {
        memory.expiry_is_scheduled = false;
    }
    Ok((answer, false))
}
