//! `/api/v1/principals`: people and agents under one roof, for other services.

use serde::Serialize;

use crate::directory::agent::AgentId;
use crate::directory::cursor::{self, Binding};
use crate::directory::deletion::Cascade;
use crate::directory::identifiers::{DeletionId, Tenant};
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId};
use crate::directory::principal::{PrincipalId, PrincipalType};
use crate::edge::calls::unexpected;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::endpoints::deletion_request::{accepted, read_options};
use crate::edge::http::body::Body;
use crate::edge::http::conditional::{entity_tag, if_match, none_match_names};
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::fault::internal;
use crate::fault::{Fault, FieldFault, Location};
use crate::input::{both, choice, query_integer, string};
use crate::json;
use crate::organization::protocol::{Command, NewPrincipal, Outcome, PrincipalChange, PrincipalRef, PrincipalsFrom};
use crate::refusal::Refusal;

/// Largest `offset`: what lies further is reached by a cursor.
const OFFSET_MAX: u32 = 10_000;

/// `POST /api/v1/principals`: 201 when this request made the principal, else 200 with the
/// record that was there, whatever was supplied.
pub fn create<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let new = read_new(&input.body, AgentId::new(input.received_at, input.random))?;
    Ok(Plan::new(Command::CreatePrincipal(new), |outcome| respond(outcome, None)))
}

fn read_new(body: &Body, agent_id: AgentId) -> Result<NewPrincipal, Fault> {
    let mut fields = body.fields()?;
    let external_id = fields.required("external_id", |value| UserId::new(string(value)?));
    let r#type = fields.required("type", |value| read_type(&string(value)?));
    let name = fields.required("name", |value| Name::new(string(value)?));
    let metadata = fields.optional("metadata", Metadata::new).unwrap_or_default();
    fields.finish()?;
    let (Some(external_id), Some(r#type), Some(name)) = (external_id, r#type, name) else {
        return Err(internal("a required field is missing without a fault"));
    };
    Ok(NewPrincipal { r#type, external_id, name, metadata, agent_id })
}

fn read_type(text: &str) -> Result<PrincipalType, Refusal> {
    choice(text, &PrincipalType::ALL.map(|r#type| (r#type.as_str(), r#type)))
}

/// `GET /api/v1/principals/{principal_id}`.
pub fn get<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let principal = PrincipalRef::Id(input.path("principal_id", |text| text.parse())?);
    Ok(read(input, principal))
}

/// `GET /api/v1/principals/by-external-id/{external_id}`.
pub fn get_by_external_id<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let principal = PrincipalRef::ExternalId(input.path("external_id", UserId::new)?);
    Ok(read(input, principal))
}

fn read<'a>(input: &mut Input<'a>, principal: PrincipalRef) -> Plan<'a> {
    let none_match = input.if_none_match.take();
    Plan::new(Command::ReadPrincipal { principal }, |outcome| respond(outcome, none_match))
}

/// `PATCH /api/v1/principals/{principal_id}`: changes what is named and leaves the rest.
pub fn update<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let path = input.path("principal_id", |text| text.parse());
    let (id, change) = both(path, read_change(&input.body))?;
    let if_match = input.if_match.as_deref().map(if_match);
    Ok(Plan::new(Command::UpdatePrincipal { id, change, if_match }, |outcome| respond(outcome, None)))
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

fn respond(outcome: Outcome, none_match: Option<String>) -> Result<Response, Fault> {
    match outcome {
        Outcome::Principal { revision, .. } if none_match.is_some_and(|header| none_match_names(&header, revision)) => {
            Ok(Response::new(304).with("ETag", entity_tag(revision)))
        }
        Outcome::Principal { created, revision, document } => {
            let document = document.into_string();
            let members = document.strip_prefix('{').ok_or_else(|| internal("a record is not an object"))?;
            let (status, message) = if created { (201, "Principal created.") } else { (200, "OK.") };
            let response = enveloped(status, &format!("{{\"created\":{created},{members}"), message, "null");
            let response = response.with("ETag", entity_tag(revision));
            if !created {
                return Ok(response);
            }
            // Each record begins with its id.
            let id = members.split('"').nth(3).unwrap_or_default();
            Ok(response.with("Location", format!("/api/v1/principals/{id}")))
        }
        Outcome::NotFound => Err(Fault::NotFound("principal")),
        Outcome::DeletionPending => Err(Fault::DeletionPending),
        Outcome::OtherType => Err(Fault::OtherType),
        Outcome::PreconditionFailed => Err(Fault::PreconditionFailed),
        Outcome::Refused { field, reason } => {
            Err(Fault::Invalid(vec![FieldFault::new(Location::Body, field, Refusal::new(reason), None)]))
        }
        other => Err(unexpected(&other)),
    }
}

/// `DELETE /api/v1/principals/{principal_id}`: erased as the end user or agent that it is.
pub fn delete<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let options = read_options(&input.body, &[Cascade::All]);
    let (id, (_, reason)) = both(input.path("principal_id", |text| text.parse()), options)?;
    let deletion_id = DeletionId::new(input.received_at, input.random);
    Ok(Plan::new(Command::DeletePrincipal { id, deletion_id, reason }, |outcome| {
        let receipt = accepted(&outcome, "principal")?;
        Ok(enveloped(202, &receipt, "The principal is being erased.", "null"))
    }))
}

/// How a caller pages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Forward,
    Backward,
    Offset(u32),
}

/// `GET /api/v1/principals`: in the order of their making, by cursor or by offset.
pub fn list<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let fields = &mut input.query;
    let r#type = fields.optional("type", read_type);
    let limit = pages::limit(fields);
    let (after, before) = (fields.text("after"), fields.text("before"));
    let offset = fields.optional("offset", |text| query_integer(text, 0, OFFSET_MAX));
    fields.finish()?;
    if [after.is_some(), before.is_some(), offset.is_some()].into_iter().filter(|given| *given).count() > 1 {
        return Err(Fault::Malformed(Refusal::new("only one of after, before and offset may be given")));
    }
    let binding = binding(input.caller, r#type);
    let style = match offset {
        Some(offset) => Style::Offset(offset),
        None if before.is_some() => Style::Backward,
        None => Style::Forward,
    };
    let is_begun = after.is_some();
    let cursor = input.cursor(after.or(before), &binding)?;
    let cursor: Option<PrincipalId> = cursor.map(|id| id.parse().map_err(internal)).transpose()?;
    let from = match (style, cursor) {
        (Style::Offset(offset), _) => PrincipalsFrom::Offset(offset),
        (Style::Backward, Some(id)) => PrincipalsFrom::Before(id),
        (Style::Forward, Some(id)) => PrincipalsFrom::After(id),
        (_, None) => PrincipalsFrom::Start,
    };
    let ring = &input.configuration.key_ring;
    let command = Command::ListPrincipals { r#type, from, limit: limit.saturating_add(1) };
    Ok(Plan::new(command, move |outcome| {
        let Outcome::Principals { mut items, total } = outcome else { return Err(unexpected(&outcome)) };
        let has_more = pages::cut(&mut items, limit);
        if style == Style::Backward {
            items.reverse();
        }
        let encode =
            |item: Option<&(PrincipalId, _)>| item.map(|(id, _)| cursor::encode(&id.to_string(), &binding, ring));
        let (is_more_before, is_more_after) = match style {
            Style::Forward => (is_begun, has_more),
            Style::Backward => (has_more, true),
            Style::Offset(_) => (false, false),
        };
        let offset = match style {
            Style::Offset(offset) => Some(offset),
            Style::Forward | Style::Backward => None,
        };
        let meta = Meta {
            has_more,
            after: encode(items.last().filter(|_| is_more_after)),
            before: encode(items.first().filter(|_| is_more_before)),
            total,
            offset,
            limit: offset.map(|_| limit),
        };
        let meta = json::write(&meta).map_err(internal)?;
        let records: Vec<String> =
            items.iter().map(|(_, document)| document.as_str().replacen('{', "{\"created\":false,", 1)).collect();
        Ok(enveloped(200, &format!("[{}]", records.join(",")), "OK.", &meta))
    }))
}

fn binding(tenant: Tenant, r#type: Option<PrincipalType>) -> Binding {
    Binding::new(&[&tenant.to_string(), "principals", r#type.map_or("", PrincipalType::as_str)])
}

/// What is said of a list; what its style does not fill is `null`.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "PrincipalMeta"))]
pub struct Meta {
    has_more: bool,
    after: Option<String>,
    before: Option<String>,
    total: Option<u64>,
    offset: Option<u32>,
    limit: Option<u32>,
}

/// The envelope of every success. The parts are JSON already.
fn enveloped(status: u16, result: &str, message: &str, meta: &str) -> Response {
    let body = format!(
        "{{\"result\":{result},\"success\":true,\"message\":\"{message}\",\"suggestion\":null,\"meta\":{meta}}}"
    );
    Response::json(status, body)
}
