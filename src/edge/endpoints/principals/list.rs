//! `GET /api/v1/principals`: lists of people and agents.

use super::envelope::{Envelope, Meta, PrincipalResult};
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::Tenant;
use crate::directory::principal::{Principal, PrincipalId, PrincipalType};
use crate::edge::endpoint::{Input, Plan};
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::fault::{Fault, internal};
use crate::input::{choice, query_integer};
use crate::organization::protocol::{ListPrincipals, PrincipalPage, PrincipalsFrom};
use crate::refusal::Refusal;

/// How a caller pages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Forward,
    Backward,
    Offset(u32),
}

/// `GET /api/v1/principals`: in the order of creation, by cursor or by offset.
pub fn list<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let fields = &mut input.query;
    let r#type = fields.optional("type", choice);
    let limit = pages::limit(fields);
    let (after, before) = (fields.text("after"), fields.text("before"));
    let offset = fields.optional("offset", |text| query_integer(text, 0, pages::OFFSET_MAX));
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
    let command = ListPrincipals { r#type, from, limit };
    Ok(Plan::new(command, move |PrincipalPage { mut items, has_more, total }| {
        if style == Style::Backward {
            items.reverse();
        }
        let encode = |item: Option<&Principal>| item.map(|item| cursor::encode(&item.id.to_string(), &binding, ring));
        let (is_more_before, is_more_after) = match style {
            Style::Forward => (is_begun, has_more),
            Style::Backward => (has_more, true),
            Style::Offset(_) => (false, false),
        };
        let offset = match style {
            Style::Offset(offset) => Some(offset),
            Style::Forward | Style::Backward => None,
        };
        pages::check_whole(offset, limit, items.len(), has_more)?;
        let meta = Meta {
            has_more,
            after: encode(items.last().filter(|_| is_more_after)),
            before: encode(items.first().filter(|_| is_more_before)),
            total,
            offset,
            limit: offset.map(|_| limit),
        };
        let results: Vec<_> =
            items.into_iter().map(|principal| PrincipalResult { created: false, principal }).collect();
        Response::json(200, &Envelope::new(results, "OK.", meta))
    }))
}

fn binding(tenant: Tenant, r#type: Option<PrincipalType>) -> Binding {
    Binding::new(&[&tenant.to_string(), "principals", r#type.map_or("", |r#type| r#type.into_str())])
}
