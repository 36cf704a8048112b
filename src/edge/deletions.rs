//! Erasures: of users, relationships and agents; and `GET /v1/deletions/{deletion_id}`.

use serde::Serialize;

use super::exchange::{Exchange, KeyHolder, PatchBody, internal, unexpected};
use super::fault::Fault;
use super::fields::{BODY_BYTES_MAX, Fields, QueryFields, both, choice, path_parameter, string};
use super::http::{Incoming, Response};
use super::runtime::{Door, Runtime};
use super::schemas::{Schema, described};
use crate::directory::agent::AgentRef;
use crate::directory::deletion::{self, Cascade};
use crate::directory::identifiers::DeletionId;
use crate::directory::names::UserId;
use crate::organization::protocol::{Command, Outcome};

/// The answer to a request: the receipt's id.
#[derive(Serialize)]
struct Accepted {
    deletion_id: DeletionId,
    status: &'static str,
}

/// `DELETE /v1/end-users/{user_id}`: 202 with the receipt's id. Asked again while
/// the erasure lasts, it answers the same.
pub async fn request<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let body = exchange.patch_body(BODY_BYTES_MAX).await;
    let path = path_parameter("user_id", parameters.first(), UserId::new);
    let options = body.and_then(|body| read_options(&body, &Cascade::ALL));
    let deletion_id = DeletionId::new(exchange.received_at, exchange.random()?);
    let command = both(both(path, QueryFields::none(exchange.target.query)), options)
        .map(|((user_id, ()), (cascade, reason))| Command::DeleteEndUser { user_id, deletion_id, cascade, reason });
    let outcome = exchange.ask(holder, Door::Handle, command).await?.outcome;
    accepted(&outcome, "end user").map(|body| Response::json(202, body))
}

/// `DELETE /v1/relationships/{relationship_id}`: with `cascade: all` the relationship and its
/// mood, with `memory_only` what it remembers of turns.
pub async fn request_relationship<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let body = exchange.patch_body(BODY_BYTES_MAX).await;
    let path = path_parameter("relationship_id", parameters.first(), |text| text.parse());
    let options = body.and_then(|body| read_options(&body, &[Cascade::All, Cascade::MemoryOnly]));
    let deletion_id = DeletionId::new(exchange.received_at, exchange.random()?);
    let command = both(both(path, QueryFields::none(exchange.target.query)), options)
        .map(|((id, ()), (cascade, reason))| Command::DeleteRelationship { id, deletion_id, cascade, reason });
    let outcome = exchange.ask(holder, Door::Handle, command).await?.outcome;
    accepted(&outcome, "relationship").map(|body| Response::json(202, body))
}

/// `DELETE /api/v1/agents/{agent_id}`: gone at once, its relationships soon after.
pub async fn request_agent<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let body = exchange.patch_body(BODY_BYTES_MAX).await;
    let path = path_parameter("agent_id", parameters.first(), AgentRef::new);
    let options = body.and_then(|body| read_options(&body, &[Cascade::All]));
    let deletion_id = DeletionId::new(exchange.received_at, exchange.random()?);
    let command = both(both(path, QueryFields::none(exchange.target.query)), options)
        .map(|((agent, ()), (_, reason))| Command::DeleteAgent { agent, deletion_id, reason });
    let outcome = exchange.ask(holder, Door::Handle, command).await?.outcome;
    let body = accepted(&outcome, "agent")?;
    Ok(described(202, Schema::Deletion, body.trim_matches(['{', '}'])))
}

fn accepted(outcome: &Outcome, what: &'static str) -> Result<String, Fault> {
    match outcome {
        Outcome::Deletion(receipt) => {
            let status = receipt.cascade.requested_status();
            let accepted = Accepted { deletion_id: receipt.deletion_id, status };
            serde_json::to_string(&accepted).map_err(internal)
        }
        Outcome::NotFound => Err(Fault::NotFound(what)),
        Outcome::Ambiguous => Err(Fault::Ambiguous),
        other => Err(unexpected(other)),
    }
}

fn read_options(body: &PatchBody, cascades: &[Cascade]) -> Result<(Cascade, Option<String>), Fault> {
    let body = match body {
        PatchBody::Empty => return Ok((Cascade::All, None)),
        PatchBody::Replace(body) => body,
        PatchBody::Merge(_) => return Err(Fault::UnsupportedMediaType),
    };
    let choices: Vec<(&str, Cascade)> = cascades.iter().map(|cascade| (cascade.as_str(), *cascade)).collect();
    let mut fields = Fields::of_body(body)?;
    let cascade = fields.optional("cascade", |value| choice(&string(value)?, &choices));
    let reason = fields.nullable("reason", |value| deletion::reason(string(value)?));
    fields.finish()?;
    Ok((cascade.unwrap_or(Cascade::All), reason.flatten()))
}

/// `GET /v1/deletions/{deletion_id}`: the receipt, which outlives what was erased.
pub async fn get<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let path = path_parameter("deletion_id", parameters.first(), |text| text.parse());
    let command = both(path, QueryFields::none(exchange.target.query))
        .map(|(deletion_id, ())| Command::ReadDeletion { deletion_id });
    match exchange.ask(holder, Door::Handle, command).await?.outcome {
        Outcome::Deletion(receipt) => {
            serde_json::to_string(&receipt).map(|body| Response::json(200, body)).map_err(internal)
        }
        Outcome::NotFound => Err(Fault::NotFound("deletion")),
        other => Err(unexpected(&other)),
    }
}
