//! Requests to erase users, relationships and agents, and the receipts of erasures.

use serde::Serialize;

use crate::directory::agent::AgentRef;
use crate::directory::deletion::Cascade;
use crate::directory::identifiers::DeletionId;
use crate::directory::names::UserId;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::endpoints::deletion_request::{Accepted, read_options};
use crate::edge::http::response::Response;
use crate::edge::http::schema::{Schema, described};
use crate::fault::Fault;
use crate::input::both;
use crate::organization::protocol::{DeleteAgent, DeleteEndUser, DeleteRelationship, ReadDeletion};

/// `DELETE /v1/end-users/{user_id}`: 202 with the receipt's id. A repetition gets the same answer until the erasure
/// is complete.
pub fn request<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let (user_id, (cascade, reason)) =
        both(input.path("user_id", UserId::new), read_options(&input.body, &Cascade::ALL))?;
    let deletion_id = DeletionId::new(input.received_at, input.random);
    let command = DeleteEndUser { user_id, deletion_id, cascade, reason, if_match: input.if_match.take() };
    Ok(Plan::new(command, |receipt| Response::json(202, &Accepted::of(&receipt))))
}

/// `DELETE /v1/relationships/{relationship_id}`: with `cascade: all` the relationship and its mood, with
/// `memory_only` only what it holds of turns.
pub fn request_relationship<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let options = read_options(&input.body, &[Cascade::All, Cascade::MemoryOnly]);
    let (id, (cascade, reason)) = both(input.path("relationship_id", |text| text.parse()), options)?;
    let deletion_id = DeletionId::new(input.received_at, input.random);
    let command = DeleteRelationship { id, deletion_id, cascade, reason, if_match: input.if_match.take() };
    Ok(Plan::new(command, |receipt| Response::json(202, &Accepted::of(&receipt))))
}

/// The answer to a request to delete an agent.
#[derive(Serialize, schemars::JsonSchema)]
pub struct AgentDeletion {
    /// Always `true`. The clients of this dialect look at nothing else.
    #[schemars(extend("const" = true))]
    success: bool,
    #[serde(flatten)]
    accepted: Accepted,
}

/// `DELETE /api/v1/agents/{agent_id}`: the agent is gone at once, its relationships soon after.
pub fn request_agent<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let options = read_options(&input.body, &[Cascade::All]);
    let (agent, (_, reason)) = both(input.path("agent_id", AgentRef::new), options)?;
    let deletion_id = DeletionId::new(input.received_at, input.random);
    let if_match = input.if_match.take();
    let reader = input.reader;
    Ok(Plan::new(DeleteAgent { agent, deletion_id, reason, if_match }, move |receipt| {
        described(202, Schema::Deletion, reader, AgentDeletion { success: true, accepted: Accepted::of(&receipt) })
    }))
}

/// `GET /v1/deletions/{deletion_id}`: the receipt, which Rollcall keeps after the erasure.
pub fn get<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let deletion_id = input.path("deletion_id", |text| text.parse())?;
    Ok(Plan::new(ReadDeletion { deletion_id }, |receipt| Response::json(200, &receipt)))
}
