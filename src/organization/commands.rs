//! Which module executes which command.

use super::agents::{self, AgentChange};
use super::audit;
use super::erasure::{self, ErasureRequest};
use super::export;
use super::keys;
use super::memory::Memory;
use super::principals;
use super::protocol::{Command, IdempotencyKey, Outcome};
use super::quotas;
use super::relationships;
use super::sql::{Sql, SqlError};
use super::turns;
use super::users;
use crate::directory::identifiers::RequestId;
use crate::directory::mood::Decay;

/// Executes a command of an admitted caller. `key` is the idempotency key of the call.
pub fn execute<S: Sql>(
    memory: &mut Memory,
    sql: &S,
    request_id: RequestId,
    command: Command,
    key: Option<&IdempotencyKey>,
    decay: Decay,
) -> Result<Outcome, SqlError> {
    // A read of a receipt requests no erasure.
    let may_request_erasure = !command.only_reads();
    let outcome = dispatch(memory, sql, request_id, command, key, decay)?;
    match outcome {
        Outcome::Deletion(_) if may_request_erasure => memory.erasure_is_pending = erasure::is_pending(sql)?,
        Outcome::TurnReserved { .. } | Outcome::Turn { .. } => memory.expiry_is_scheduled = false,
        _ => {}
    }
    Ok(outcome)
}

/// The table of commands.
fn dispatch<S: Sql>(
    memory: &mut Memory,
    sql: &S,
    request_id: RequestId,
    command: Command,
    key: Option<&IdempotencyKey>,
    decay: Decay,
) -> Result<Outcome, SqlError> {
    let now = decay.now;
    let (settings, log) = (memory.settings.as_ref(), &mut memory.log);
    match command {
        Command::Admit => Ok(Outcome::Admitted),
        Command::CreateEndUser(new) => users::create(sql, log, request_id, new, now),
        Command::CreateEndUsers { users } => users::create_many(sql, log, request_id, users, now),
        Command::UpdateEndUser { user_id, change, if_match } => {
            users::update(sql, log, &user_id, change, if_match.as_ref(), now)
        }
        Command::ReadEndUser { user_id } => users::read(sql, &user_id, decay),
        Command::ExportEndUser { user_id } => export::export(sql, &user_id, decay),
        Command::DeleteEndUser { user_id, deletion_id, cascade, reason } => {
            let request = ErasureRequest { deletion_id, user_id, cascade, reason };
            erasure::request(sql, log, &request, now)
        }
        Command::ReadDeletion { deletion_id } => erasure::read(sql, deletion_id),
        Command::SaveAgent(new) => agents::save(sql, log, new, now),
        Command::ReadAgent { agent } => agents::read(sql, &agent),
        Command::UpdateAgent { agent, name, metadata, if_match } => {
            let change = AgentChange { name, metadata, owner: None };
            agents::update(sql, log, &agent, change, if_match.as_ref(), now)
        }
        Command::DeleteAgent { agent, deletion_id, reason } => {
            erasure::request_agent(sql, log, &agent, deletion_id, reason.as_deref(), now)
        }
        Command::ListAgents { after, limit } => agents::list(sql, after, limit),
        Command::ListRelationships { user_id, agent, after, limit } => {
            relationships::find(sql, user_id.as_ref(), agent.as_ref(), after, limit, decay)
        }
        Command::ReadRelationship { id } => relationships::read(sql, id, decay),
        Command::DeleteRelationship { id, deletion_id, cascade, reason } => {
            erasure::request_relationship(sql, log, id, deletion_id, cascade, reason.as_deref(), now)
        }
        Command::CreatePrincipal(new) => principals::create(sql, log, request_id, new, now),
        Command::ReadPrincipal { principal } => principals::read(sql, &principal),
        Command::UpdatePrincipal { id, change, if_match } => {
            principals::update(sql, log, id, change, if_match.as_ref(), now)
        }
        Command::DeletePrincipal { id, deletion_id, reason } => {
            principals::delete(sql, log, id, deletion_id, reason, now)
        }
        Command::ListPrincipals { r#type, from, limit } => principals::list(sql, r#type, from, limit),
        Command::ReserveTurn(turn) => turns::reserve(sql, log, settings, request_id, turn, key, now),
        Command::CommitTurn(answer) => turns::commit(sql, log, settings, request_id, &answer, decay),
        Command::ReleaseTurn => turns::release(sql, request_id),
        Command::ReadUsage => quotas::usage(sql, settings, now),
        Command::Configure(settings) => {
            memory.configure(sql, settings, now)?;
            Ok(Outcome::Configured)
        }
        Command::IssueKey { settings, key } => {
            memory.configure(sql, settings, now)?;
            keys::issue(sql, &mut memory.keys, &key)
        }
        Command::ListKeys { after, limit } => keys::list(sql, after, limit).map(Outcome::Keys),
        Command::RevokeKey { key_id } => keys::revoke(sql, &mut memory.keys, key_id, now),
        Command::StartAudit(settings) => {
            memory.configure(sql, settings, now)?;
            memory.audit_is_running = true;
            audit::start(sql, now).map(|report| Outcome::Audit(Some(report)))
        }
        Command::ReadAudit => audit::report(sql).map(Outcome::Audit),
        // The core executes the operator's command to close. No key may close an object.
        Command::Close { .. } => Ok(Outcome::NotFound),
    }
}
