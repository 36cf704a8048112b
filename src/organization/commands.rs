//! Which module executes which command.

use super::agents::{self, AgentChange};
use super::audit;
use super::change_log::{Affected, ChangeKind, Subject};
use super::erasure;
use super::export::{self, PartBounds};
use super::failure::Failure;
use super::feed;
use super::keys;
use super::memory::Memory;
use super::principals;
use super::protocol::{Answer, Command, IdempotencyKey, IssueKey, Rejection, Resource, UpdateAgent};
use super::quotas;
use super::relationships;
use super::schema;
use super::sql::Sql;
use super::transfer;
use super::turn_quotas;
use super::turns;
use super::users;
use super::writer::Writer;
use crate::directory::epoch::Epoch;
use crate::directory::identifiers::RequestId;
use crate::directory::mood::Decay;

/// Executes a command of an admitted caller. `key` is the idempotency key of the call.
pub fn execute(
    memory: &mut Memory,
    sql: &impl Sql,
    request_id: RequestId,
    command: Command,
    key: Option<&IdempotencyKey>,
    decay: Decay,
) -> Result<Answer, Failure> {
    let answer = dispatch(memory, sql, request_id, command, key, decay)?;
    if answer.is_requested_erasure() {
        memory.erasure_is_pending = erasure::is_pending(sql)?;
    }
    if let Answer::ReserveTurn(_) | Answer::CommitTurn(_) = answer {
        memory.expiry_is_scheduled = false;
    }
    Ok(answer)
}

/// The table of commands.
fn dispatch(
    memory: &mut Memory,
    sql: &impl Sql,
    request_id: RequestId,
    command: Command,
    key: Option<&IdempotencyKey>,
    decay: Decay,
) -> Result<Answer, Failure> {
    let now = decay.now;
    let settings = memory.settings.as_ref();
    let limits = memory.limits();
    let writer = &mut Writer { sql, log: &mut memory.log, copies: &mut memory.copies, limits, now };
    Ok(match command {
        Command::Admit(_) => Answer::Admit(()),
        Command::CreateEndUser(new) => Answer::CreateEndUser(users::create(writer, request_id, new)?),
        Command::CreateEndUsers(new) => Answer::CreateEndUsers(users::create_many(writer, request_id, new.users)?),
        Command::UpdateEndUser(update) => Answer::UpdateEndUser(users::update(writer, update)?),
        Command::ReadEndUser(read) => Answer::ReadEndUser(users::read(sql, &read.user_id)?),
        Command::ReadEndUsers(read) => Answer::ReadEndUsers(users::read_many(sql, &read.user_ids)?),
        Command::ExportPart(part) => {
            Answer::ExportPart(export::part(sql, part, PartBounds::DEFAULT, writer.log.last_sequence(), decay)?)
        }
        Command::DeleteEndUser(delete) => Answer::DeleteEndUser(erasure::request(writer, delete)?),
        Command::DeleteEndUsers(delete) => Answer::DeleteEndUsers(erasure::request_many(writer, delete)?),
        Command::ReadDeletion(read) => Answer::ReadDeletion(erasure::read(sql, read.deletion_id)?),
        Command::SaveAgent(new) => Answer::SaveAgent(agents::save(writer, new)?),
        Command::ReadAgent(read) => Answer::ReadAgent(agents::read(sql, &read.agent)?),
        Command::UpdateAgent(UpdateAgent { agent, name, metadata, if_match }) => {
            let change = AgentChange { name, metadata, owner: None };
            Answer::UpdateAgent(agents::update(writer, &agent, change, if_match.as_ref())?)
        }
        Command::DeleteAgent(delete) => Answer::DeleteAgent(erasure::request_agent(writer, delete)?),
        Command::ListAgents(list) => Answer::ListAgents(agents::list(sql, &list)?),
        Command::ListRelationships(list) => Answer::ListRelationships(relationships::find(sql, &list)?),
        Command::ReadRelationship(read) => Answer::ReadRelationship(relationships::read(sql, read.id)?),
        Command::DeleteRelationship(delete) => {
            Answer::DeleteRelationship(erasure::request_relationship(writer, delete)?)
        }
        Command::CreatePrincipal(new) => Answer::CreatePrincipal(principals::create(writer, request_id, new)?),
        Command::ReadPrincipal(read) => Answer::ReadPrincipal(principals::read(sql, &read.principal)?),
        Command::UpdatePrincipal(update) => Answer::UpdatePrincipal(principals::update(writer, update)?),
        Command::DeletePrincipal(delete) => Answer::DeletePrincipal(principals::delete(writer, delete)?),
        Command::ListPrincipals(list) => Answer::ListPrincipals(principals::list(sql, &list)?),
        Command::ReserveTurn(turn) => Answer::ReserveTurn(turns::reserve(writer, settings, request_id, turn, key)?),
        Command::CommitTurn(answer) => Answer::CommitTurn(turns::commit(writer, settings, request_id, &answer, decay)?),
        Command::ReleaseTurn(_) => Answer::ReleaseTurn(turns::release(sql, request_id)?),
        Command::ReadUsage(_) => Answer::ReadUsage(quotas::usage(sql, settings, now)?),
        Command::ReadUserUsage(read) => Answer::ReadUserUsage(turn_quotas::usage_of_user(sql, settings, &read, now)?),
        Command::Configure(settings) => Answer::Configure(memory.configure(sql, settings, now)?),
        Command::IssueKey(IssueKey { settings, digest, key }) => {
            memory.configure(sql, settings, now)?;
            Answer::IssueKey(keys::issue(sql, &mut memory.keys, &mut memory.log, &digest, &key)?)
        }
        Command::ListKeys(list) => Answer::ListKeys(keys::list(sql, &list)?),
        Command::RevokeKey(revoke) => {
            Answer::RevokeKey(keys::revoke(sql, &mut memory.keys, &mut memory.log, revoke.key_id, now)?)
        }
        Command::StartAudit(start) => {
            let tenant = Subject::new(0, start.settings.tenant);
            memory.configure(sql, start.settings, now)?;
            memory.audit_is_running = true;
            let report = audit::start(sql, now)?;
            if start.is_repair && audit::becomes_repair(sql, &report)? {
                memory.copies.begin_epoch(sql, Epoch::of(request_id), now)?;
                memory.log.append(sql, ChangeKind::CopiesChanged, &tenant, Affected::Nothing)?;
            }
            Answer::StartAudit(Some(report))
        }
        Command::ReadAudit(_) => Answer::ReadAudit(audit::report(sql)?),
        Command::ExportRecords(from) => Answer::ExportRecords(transfer::export(sql, from)?),
        Command::ImportRecords(import) => Answer::ImportRecords(transfer::import(writer, request_id, import)?),
        Command::ReadSchema(_) => Answer::ReadSchema(schema::version(sql)?),
        Command::ReadEvents(read) => Answer::ReadEvents(feed::read(sql, settings, &read)?),
        // The core executes the operator's command to close. No key may close an object.
        Command::Close(_) | Command::CloseAgain(_) => return Err(Rejection::NotFound(Resource::Organization).into()),
    })
}
