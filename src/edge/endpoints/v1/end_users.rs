//! `/v1/end-users`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use strum::{IntoStaticStr, VariantArray};

use crate::directory::cursor::{self, Binding};
use crate::directory::end_user::EndUser;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId, UserIdPrefix};
use crate::directory::relationship::RelationshipView;
use crate::directory::timestamp::Timestamp;
use crate::edge::calls::Request;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::exchange::{Exchange, KeyHolder};
use crate::edge::http::body::Body;
use crate::edge::http::conditional::{entity_tag, weak_entity_tag};
use crate::edge::http::pages;
use crate::edge::http::response::Response;
use crate::edge::runtime::Runtime;
use crate::fault::{Fault, internal};
use crate::input::{Fields, both, choice, string};
use crate::json;
use crate::organization::copies::CopiedUser;
use crate::organization::protocol::{
    Admit, CreatedEndUser, EndUserChange, EndUserView, NewEndUser, ReadEndUser, UpdateEndUser,
};
use crate::projection::listing::pages::{Direction, Page, Position, Query, Range};
use crate::refusal::Refusal;

/// Every character but the unreserved ones (RFC 3986, section 2.3) is escaped in a path segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `POST /v1/end-users`: 201 when this request created the user; else 200 with the stored record, and what the
/// request supplied is ignored.
pub fn create<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let new = read_new(&input.body)?;
    let location = format!("/v1/end-users/{}", utf8_percent_encode(new.user_id.as_str(), SEGMENT));
    Ok(Plan::new(new, |CreatedEndUser { created, user }| {
        let response = single(if created { 201 } else { 200 }, &user)?;
        Ok(if created { response.with("Location", location) } else { response })
    }))
}

fn read_new(body: &Body) -> Result<NewEndUser, Fault> {
    let mut fields = body.fields()?;
    let new = take_new(&mut fields);
    fields.finish()?;
    new.ok_or_else(|| internal("a required field is missing without a fault"))
}

/// Reads the fields of a new user; `None` if one is wrong.
pub fn take_new(fields: &mut Fields<'_>) -> Option<NewEndUser> {
    let user_id = fields.required("user_id", |value| UserId::new(string(value)?));
    let display_name = fields.nullable("display_name", |value| Name::new(string(value)?));
    let metadata = fields.optional("metadata", Metadata::new);
    Some(NewEndUser { user_id: user_id?, display_name: display_name.flatten(), metadata: metadata.unwrap_or_default() })
}

/// `GET /v1/end-users/{user_id}`: strongly consistent, in one call, unless the caller takes an answer from nearby.
pub fn get<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let user_id = input.path("user_id", UserId::new)?;
    let copy = input.copy(&user_id, from_copy);
    let conditions = input.conditions();
    let decay = input.decay();
    let plan = Plan::new(ReadEndUser { user_id }, move |EndUserView { user, relationships, has_more }| {
        // Moods decay without a version, so a body that shows relationships is never the same.
        let is_related = !relationships.is_empty();
        let version = user.version;
        if let Some(response) = conditions.judge(version, !is_related)? {
            return Ok(response);
        }
        let tag = if is_related { weak_entity_tag(version) } else { entity_tag(version) };
        let body = EndUserWithRelationships {
            user,
            relationships: Some(relationships.iter().map(|relationship| relationship.view(decay)).collect()),
            relationships_has_more: Some(has_more),
        };
        Ok(Response::json(200, &body)?.with("ETag", tag))
    });
    Ok(Plan { copy, ..plan })
}

/// Answers with a copy: the record alone, as relationships are nowhere but in the object.
fn from_copy(copy: CopiedUser) -> Result<Response, Fault> {
    Response::json(200, &copy.user)
}

/// `PATCH /v1/end-users/{user_id}`: `application/json` replaces what it names, `application/merge-patch+json` is
/// applied to the record (RFC 7396). Without a body nothing changes.
pub fn update<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let (user_id, change) = both(input.path("user_id", UserId::new), read_change(&input.body))?;
    let if_match = input.if_match.take();
    Ok(Plan::new(UpdateEndUser { user_id, change, if_match }, |user| single(200, &user)))
}

fn read_change(body: &Body) -> Result<EndUserChange, Fault> {
    if matches!(body, Body::Empty) {
        return Ok(EndUserChange::Replace { display_name: None, metadata: None });
    }
    let mut fields = body.fields()?;
    let display_name = fields.nullable("display_name", |value| Name::new(string(value)?));
    let change = match body {
        Body::MergePatch(_) => {
            // Any other value would make a record that is not valid, whatever the present one is.
            let metadata = fields.optional("metadata", |value| {
                if !json::is_object(value) && value.get() != "null" {
                    return Err(Refusal::new("must be a JSON object"));
                }
                Ok(json::Text::from(value))
            });
            EndUserChange::Merge { display_name, metadata }
        }
        Body::Empty | Body::Json(_) => {
            EndUserChange::Replace { display_name, metadata: fields.optional("metadata", Metadata::new) }
        }
    };
    fields.finish()?;
    Ok(change)
}

/// `GET /v1/end-users`: keyset pages over either index, read-your-writes.
pub async fn list(
    exchange: &mut Exchange<'_, impl Runtime>,
    holder: &KeyHolder,
    mut input: Input<'_>,
) -> Result<Response, Fault> {
    let page = read_page(&mut input);
    let planned = input.complete(page).map(|page| (Request::listed(Admit), page));
    let ((), (page, binding)) = exchange.call(holder, planned).await?;
    let texts = exchange.query_listing(&page.statement()).await?;
    let (documents, last) = page.read(&texts.rows).map_err(internal)?;
    let key = last.map(|position| serde_json::to_string(&position)).transpose().map_err(internal)?;
    let next = key.map(|key| cursor::encode(&key, &binding, &input.configuration.key_ring));
    pages::respond(documents, next)
}

/// Reads which page the request asks for, and what the cursor of the next page is bound to.
fn read_page(input: &mut Input<'_>) -> Result<(Page, Binding), Fault> {
    let limit = pages::limit(&mut input.query);
    let cursor = input.query.text("cursor");
    let query = read_query(input)?;
    let binding = query.binding(input.caller);
    let after = input.cursor(cursor, &binding)?;
    let after = after.map(|key| serde_json::from_str::<Position>(&key).map_err(internal)).transpose()?;
    Ok((query.page(input.caller, after.as_ref(), limit), binding))
}

#[derive(Clone, Copy, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum OrderBy {
    UserId,
    CreatedAt,
}

/// Reads the order and its filters, and refuses every other parameter. This happens before the cursor is read: a
/// cursor is bound to them, and would get the blame for a wrong filter.
fn read_query(input: &mut Input<'_>) -> Result<Query, Fault> {
    let fields = &mut input.query;
    let direction = fields.optional("order", choice);
    let order_by = fields.optional("order_by", choice).unwrap_or(OrderBy::UserId);
    let prefix = fields.optional("user_id_prefix", |text| UserIdPrefix::new(text));
    let after = fields.optional("created_after", Timestamp::parse);
    let before = fields.optional("created_before", Timestamp::parse);
    match order_by {
        OrderBy::UserId => {
            let wrong = || Refusal::new("needs order_by=created_at");
            after.is_some().then(|| fields.refuse("created_after", wrong(), None));
            before.is_some().then(|| fields.refuse("created_before", wrong(), None));
        }
        OrderBy::CreatedAt => {
            let wrong = || Refusal::new("needs order_by=user_id");
            prefix.is_some().then(|| fields.refuse("user_id_prefix", wrong(), None));
        }
    }
    fields.finish()?;
    let range = match order_by {
        OrderBy::UserId => Range::UserId { prefix },
        OrderBy::CreatedAt => Range::CreatedAt { after, before },
    };
    Ok(Query { direction: direction.unwrap_or(Direction::Ascending), range })
}

/// Answers with one record.
fn single(status: u16, user: &EndUser) -> Result<Response, Fault> {
    Ok(Response::json(status, user)?.with("ETag", entity_tag(user.version)))
}

/// A record with its relationships.
#[derive(Serialize, schemars::JsonSchema)]
pub struct EndUserWithRelationships<'a> {
    #[serde(flatten)]
    user: EndUser,
    /// Absent from an answer from nearby.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<RelationshipView>", length(max = 100))]
    relationships: Option<Vec<RelationshipView<'a>>>,
    /// Absent from an answer from nearby.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    relationships_has_more: Option<bool>,
}
