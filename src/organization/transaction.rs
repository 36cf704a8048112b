//! One call, executed in one transaction: admission, the kept answer of an earlier call with the
//! same idempotency key, or the command.

use super::admission::{self, Admitted, Credentials};
use super::change_log::{Actor, Origin};
use super::commands;
use super::idempotency::{self, Known};
use super::memory::Memory;
use super::protocol::{Admission, Call, Caller, Command, IdempotencyKey, Outcome, Reply};
use super::quotas;
use super::sql::{Sql, SqlError};
use super::turns::{self, InFlight};
use super::user_row::UserRow;
use crate::directory::identifiers::RequestId;
use crate::directory::mood::Decay;

/// Executes a call on an open object.
pub fn execute<S: Sql>(memory: &mut Memory, sql: &S, call: Call, decay: Decay) -> Result<Reply, SqlError> {
    let Call { request_id, repeated, caller, idempotency, command } = call;
    let (actor, admission) = match caller {
        Caller::Operator => (Actor::Operator, None),
        Caller::Key { digest, kind, scope, cost } => {
            // The caller has paid for a committed attempt whose answer was lost.
            let is_paid = repeated && admission::is_committed(sql, request_id, &command)?;
            let credentials = Credentials { digest, kind, scope, cost: if is_paid { 0 } else { cost } };
            match admission::admit(memory, sql, &credentials, decay.now)? {
                Ok(Admitted { key_id, admission }) => (Actor::Key(key_id), Some(admission)),
                Err(refused) => return Ok(Reply::new(refused.admission, Outcome::Denied(refused.denial))),
            }
        }
    };
    memory.log.begin(Origin { actor, request_id: Some(request_id), at: decay.now });
    match idempotency {
        None => Ok(Reply::new(admission, commands::execute(memory, sql, request_id, command, None, decay)?)),
        Some(key) => execute_once(memory, sql, request_id, command, &key, admission, decay),
    }
}

/// Executes a command, or gives the answer that is kept under its key.
fn execute_once<S: Sql>(
    memory: &mut Memory,
    sql: &S,
    request_id: RequestId,
    command: Command,
    key: &IdempotencyKey,
    admission: Option<Admission>,
    decay: Decay,
) -> Result<Reply, SqlError> {
    let now = decay.now;
    match turns::in_flight(sql, key, request_id, now)? {
        InFlight::No => {}
        InFlight::Same => return Ok(Reply::new(admission, Outcome::IdempotencyInFlight)),
        InFlight::Other => return Ok(Reply::new(admission, Outcome::IdempotencyMismatch)),
    }
    match idempotency::find(sql, key, now)? {
        Known::Mismatch => Ok(Reply::new(admission, Outcome::IdempotencyMismatch)),
        Known::Answered { outcome, request_id: answered } => {
            // The edge repeats a call under the id of its request: that is no retry by the caller.
            let replayed = answered != request_id;
            let outcome = match (outcome, &memory.settings) {
                (Outcome::Turn { document, .. }, Some(settings)) => {
                    Outcome::Turn { document, quota: Some(quotas::read(sql, settings, now)?) }
                }
                (outcome, _) => outcome,
            };
            Ok(Reply { replayed, ..Reply::new(admission, outcome) })
        }
        Known::No => {
            let user_id = match &command {
                Command::CreateEndUser(new) => Some(new.user_id.clone()),
                Command::CreatePrincipal(new) => Some(new.external_id.clone()),
                _ => None,
            };
            let outcome = commands::execute(memory, sql, request_id, command, Some(key), decay)?;
            let user = match &user_id {
                Some(user_id) => UserRow::find(sql, user_id)?.map(|row| row.number),
                None => None,
            };
            if idempotency::store(sql, key, request_id, user, &outcome, now)? {
                memory.expiry_is_scheduled = false;
            }
            Ok(Reply::new(admission, outcome))
        }
    }
}
