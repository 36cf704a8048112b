//! One principal: a person or an agent, for other services.

use super::envelope::{Envelope, PrincipalResult};
use crate::directory::agent::AgentId;
use crate::directory::deletion::Cascade;
use crate::directory::identifiers::DeletionId;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::principal::Principal;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::endpoints::deletion_request::{Accepted, read_options};
use crate::edge::http::body::Body;
use crate::edge::http::conditional::entity_tag;
use crate::edge::http::response::Response;
use crate::fault::{Fault, internal};
use crate::input::{both, choice, string};
use crate::organization::copies::CopiedUser;
use crate::organization::protocol::{
    CreatedPrincipal, DeletePrincipal, NewPrincipal, PrincipalChange, PrincipalRef, PrincipalView, ReadPrincipal,
    UpdatePrincipal,
};

/// `POST /api/v1/principals`: 201 when this request created the principal; else 200 with the stored record, and
/// what the request supplied is ignored.
pub fn create<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let new = read_new(&input.body, AgentId::new(input.received_at, input.random))?;
    Ok(Plan::new(new, |CreatedPrincipal { created, view }| {
        let location = format!("/api/v1/principals/{}", view.principal.id);
        let response = respond(created, view)?;
        Ok(if created { response.with("Location", location) } else { response })
    }))
}

fn read_new(body: &Body, agent_id: AgentId) -> Result<NewPrincipal, Fault> {
    let mut fields = body.fields()?;
    let external_id = fields.required("external_id", |value| UserId::new(string(value)?));
    let r#type = fields.required("type", |value| choice(&string(value)?));
    let name = fields.required("name", |value| Name::new(string(value)?));
    let metadata = fields.optional("metadata", Metadata::new).unwrap_or_default();
    fields.finish()?;
    let (Some(external_id), Some(r#type), Some(name)) = (external_id, r#type, name) else {
        return Err(internal("a required field is missing without a fault"));
    };
    Ok(NewPrincipal { r#type, external_id, name, metadata, agent_id })
}

/// `GET /api/v1/principals/{principal_id}`.
pub fn get<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let principal = PrincipalRef::Id(input.path("principal_id", |text| text.parse())?);
    Ok(read(input, principal))
}

/// `GET /api/v1/principals/by-external-id/{external_id}`: strongly consistent, unless the caller takes an answer from
/// nearby.
pub fn get_by_external_id<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let external_id = input.path("external_id", UserId::new)?;
    let copy = input.copy(&external_id, from_copy);
    Ok(Plan { copy, ..read(input, PrincipalRef::ExternalId(external_id)) })
}

/// Answers with a copy. Only humans have one.
fn from_copy(copy: CopiedUser) -> Result<Response, Fault> {
    let principal = Principal::of_human(copy.principal_id, copy.user).map_err(internal)?;
    let result = PrincipalResult { created: false, principal };
    Response::json(200, &Envelope::new(result, "OK.", ()))
}

fn read<'a>(input: &mut Input<'a>, principal: PrincipalRef) -> Plan<'a> {
    let conditions = input.conditions();
    Plan::new(ReadPrincipal { principal }, |view| {
        conditions.judge(view.version, true)?.map_or_else(|| respond(false, view), Ok)
    })
}

/// `PATCH /api/v1/principals/{principal_id}`: changes what is named and leaves the rest.
pub fn update<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let path = input.path("principal_id", |text| text.parse());
    let (id, change) = both(path, read_change(&input.body))?;
    let if_match = input.if_match.take();
    Ok(Plan::new(UpdatePrincipal { id, change, if_match }, |view| respond(false, view)))
}

fn read_change(body: &Body) -> Result<PrincipalChange, Fault> {
    let mut fields = body.fields()?;
    let change = PrincipalChange {
        name: fields.optional("name", |value| Name::new(string(value)?)),
        metadata: fields.optional("metadata", Metadata::new),
        owner: fields.nullable("owner_principal_id", |value| string(value)?.parse()),
    };
    fields.finish()?;
    Ok(change)
}

fn respond(created: bool, view: PrincipalView) -> Result<Response, Fault> {
    let (status, message) = if created { (201, "Principal created.") } else { (200, "OK.") };
    let result = PrincipalResult { created, principal: view.principal };
    let response = Response::json(status, &Envelope::new(result, message, ()))?;
    Ok(response.with("ETag", entity_tag(view.version)))
}

/// `DELETE /api/v1/principals/{principal_id}`: erased as the end user or agent that it is.
pub fn delete<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let options = read_options(&input.body, &[Cascade::All]);
    let (id, (_, reason)) = both(input.path("principal_id", |text| text.parse()), options)?;
    let deletion_id = DeletionId::new(input.received_at, input.random);
    let if_match = input.if_match.take();
    Ok(Plan::new(DeletePrincipal { id, deletion_id, reason, if_match }, |receipt| {
        Response::json(202, &Envelope::new(Accepted::of(&receipt), "The principal is being erased.", ()))
    }))
}
