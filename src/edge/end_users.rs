//! `/v1/end-users`.

use std::pin::pin;

use futures_util::future::{Either, select};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::conditional::{entity_tag, if_match, none_match_names};
use super::exchange::{Exchange, KeyHolder, PatchBody, internal, store_unavailable, unexpected};
use super::fault::{Fault, FieldFault, Location};
use super::fields::{BODY_BYTES_MAX, Fields, QueryFields, both, choice, path_parameter, string};
use super::http::{Incoming, Response};
use super::log::ServedBy;
use super::pages;
use super::runtime::{Door, Runtime};
use crate::directory::Refusal;
use crate::directory::cursor;
use crate::directory::end_user::Revision;
use crate::directory::json;
use crate::directory::metadata::Metadata;
use crate::directory::names::{Name, UserId, UserIdPrefix};
use crate::directory::timestamp::Timestamp;
use crate::organization::protocol::{Command, EndUserChange, NewEndUser, Outcome};
use crate::organization::relationships::Shown;
use crate::projection::listing::{Direction, Position, Query, Range};
use crate::projection::{Cache, Database, cache};

/// What may stand in a path segment as it is (RFC 3986, section 2.3, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `POST /v1/end-users`: 201 when this request made the user, else 200 with the
/// record that was there, whatever was supplied.
pub async fn create<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
) -> Result<Response, Fault> {
    let body = exchange.json_body(BODY_BYTES_MAX).await;
    let request = body.and_then(|body| both(exchange.idempotency_key(&body), read_new(&body)));
    let request = both(QueryFields::none(exchange.target.query), request);
    let (command, idempotency, location) = match request {
        Ok(((), (idempotency, new))) => {
            let location = utf8_percent_encode(new.user_id.as_str(), SEGMENT).to_string();
            (Ok(Command::CreateEndUser(new)), idempotency, location)
        }
        Err(fault) => (Err(fault), None, String::new()),
    };
    let answer = exchange.ask_once(holder, Door::Handle, command, idempotency).await?;
    let response = match &answer.outcome {
        Outcome::EndUserCreated { revision, document } => {
            single(201, *revision, document).with("Location", format!("/v1/end-users/{location}"))
        }
        Outcome::EndUser { revision, document } => single(200, *revision, document),
        Outcome::DeletionPending => return Err(Fault::DeletionPending),
        other => return Err(unexpected(other)),
    };
    Ok(answer.mark(response))
}

fn read_new(body: &[u8]) -> Result<NewEndUser, Fault> {
    let mut fields = Fields::of_body(body)?;
    let new = take_new(&mut fields);
    fields.finish()?;
    new.ok_or_else(|| internal("a required field is missing without a fault"))
}

/// The fields of a user to be made; `None` if any is wrong.
pub fn take_new(fields: &mut Fields<'_>) -> Option<NewEndUser> {
    let user_id = fields.required("user_id", |value| UserId::new(string(value)?));
    let display_name = fields.nullable("display_name", |value| Name::new(string(value)?));
    let metadata = fields.optional("metadata", Metadata::new);
    Some(NewEndUser { user_id: user_id?, display_name: display_name.flatten(), metadata: metadata.unwrap_or_default() })
}

/// `GET /v1/end-users/{user_id}`: strongly consistent.
///
/// The object names the revision in force while KV is already being asked. A
/// record of that revision comes from KV; otherwise a second call fetches it from
/// the object, which is the one case in which a read needs two.
pub async fn get<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let path = path_parameter("user_id", parameters.first(), UserId::new);
    let user_id = match both(path, QueryFields::none(exchange.target.query)) {
        Ok((user_id, ())) => user_id,
        Err(fault) => {
            exchange.ask(holder, Door::Handle, Err(fault)).await?;
            return Err(internal("a faulty request was let through"));
        }
    };
    let Located { revision, shown, cached } = locate(exchange, holder, &user_id).await?;
    let none_match = exchange.incoming.header("If-None-Match");
    if none_match.is_some_and(|header| none_match_names(&header, revision)) {
        return Ok(Response::new(304).with("ETag", entity_tag(revision)));
    }
    if let Some(document) = cached.as_deref().and_then(|value| cache::read(value, revision)) {
        exchange.served_by = Some(ServedBy::Kv);
        return with_relationships(revision, document.get(), &shown);
    }
    exchange.served_by = Some(ServedBy::Object);
    match exchange.ask_further(holder, Command::ReadEndUser { user_id }).await? {
        Outcome::EndUser { revision, document } => with_relationships(revision, document.as_str(), &shown),
        Outcome::NotFound => Err(Fault::NotFound("end user")),
        other => Err(unexpected(&other)),
    }
}

/// `GET /v1/end-users/{user_id}/export`: everything that is held about a user.
pub async fn export<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let path = path_parameter("user_id", parameters.first(), UserId::new);
    let command =
        both(path, QueryFields::none(exchange.target.query)).map(|(user_id, ())| Command::ExportEndUser { user_id });
    match exchange.ask(holder, Door::Handle, command).await?.outcome {
        Outcome::Export(document) => Ok(Response::json(200, document.into_string())),
        Outcome::NotFound => Err(Fault::NotFound("end user")),
        other => Err(unexpected(&other)),
    }
}

/// `PATCH /v1/end-users/{user_id}`: `application/json` replaces what it names,
/// `application/merge-patch+json` is applied to the record (RFC 7396). No body is
/// no change.
pub async fn update<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let body = exchange.patch_body(BODY_BYTES_MAX).await;
    let if_match = exchange.incoming.header("If-Match").map(|header| if_match(&header));
    let path = path_parameter("user_id", parameters.first(), UserId::new);
    let change = body.and_then(|body| read_change(&body));
    let command = both(both(path, QueryFields::none(exchange.target.query)), change)
        .map(|((user_id, ()), change)| Command::UpdateEndUser { user_id, change, if_match });
    match exchange.ask(holder, Door::Handle, command).await?.outcome {
        Outcome::EndUser { revision, document } => Ok(single(200, revision, &document)),
        Outcome::NotFound => Err(Fault::NotFound("end user")),
        Outcome::DeletionPending => Err(Fault::DeletionPending),
        Outcome::PreconditionFailed => Err(Fault::PreconditionFailed),
        Outcome::Refused { field, reason } => {
            Err(Fault::Invalid(vec![FieldFault::new(Location::Body, field, Refusal::new(reason), None)]))
        }
        other => Err(unexpected(&other)),
    }
}

fn read_change(body: &PatchBody) -> Result<EndUserChange, Fault> {
    let mut fields = match body {
        PatchBody::Empty => return Ok(EndUserChange::Replace { display_name: None, metadata: None }),
        PatchBody::Replace(body) | PatchBody::Merge(body) => Fields::of_body(body)?,
    };
    let display_name = fields.nullable("display_name", |value| Name::new(string(value)?));
    let change = match body {
        PatchBody::Merge(_) => {
            let metadata =
                fields.optional("metadata", |value| json::Text::of(&value).map_err(|_| Refusal::new("must be JSON")));
            EndUserChange::Merge { display_name, metadata }
        }
        PatchBody::Empty | PatchBody::Replace(_) => {
            EndUserChange::Replace { display_name, metadata: fields.optional("metadata", Metadata::new) }
        }
    };
    fields.finish()?;
    Ok(change)
}

/// What the object says of a user, and what KV has.
struct Located {
    revision: Revision,
    shown: Shown,
    cached: Option<String>,
}

/// Asks the object and KV at once. KV is waited for only when the object knows
/// the user; a KV that fails is one that does not have the record.
async fn locate<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    user_id: &UserId,
) -> Result<Located, Fault> {
    let key = cache::key(holder.tenant, user_id);
    let store = exchange.runtime.cache().map_err(internal)?;
    let cached = pin!(store.get(&key));
    let command = Ok(Command::LocateEndUser { user_id: user_id.clone() });
    let asked = pin!(exchange.ask(holder, Door::Handle, command));
    let (outcome, cached) = match select(asked, cached).await {
        Either::Left((answer, cached)) => match answer?.outcome {
            outcome @ Outcome::EndUserLocated { .. } => (outcome, cached.await),
            outcome => (outcome, Ok(None)),
        },
        Either::Right((cached, asked)) => (asked.await?.outcome, cached),
    };
    match outcome {
        Outcome::EndUserLocated { revision, shown } => {
            Ok(Located { revision, shown, cached: cached.unwrap_or_default() })
        }
        Outcome::NotFound => Err(Fault::NotFound("end user")),
        other => Err(unexpected(&other)),
    }
}

/// `GET /v1/end-users`: keyset pages over either index, read-your-writes.
pub async fn list<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let request = read_list(exchange.target.query, |cursor, query| {
        cursor::decode(cursor, &query.binding(holder.tenant), &configuration.key_ring)
    });
    let (request, command) = match request {
        Ok(request) => (Some(request), Ok(Command::Admit)),
        Err(fault) => (None, Err(fault)),
    };
    let answer = exchange.ask(holder, Door::HandleListed, command).await?;
    let Some(request) = request else { return Err(internal("a faulty request was let through")) };
    if answer.listed != Some(true) {
        return Err(store_unavailable("the listing could not be brought up to date"));
    }
    let page = request.query.page(holder.tenant, request.after.as_ref(), request.limit);
    let database = exchange.runtime.database().map_err(internal)?;
    let texts = database.query(&page.statement()).await.map_err(store_unavailable)?;
    exchange.rows_read = Some(texts.rows_read);
    let (documents, last) = page.read(texts.rows).map_err(internal)?;
    let next_cursor: Option<String> = last
        .map(|position| {
            let key = serde_json::to_string(&position).map_err(internal)?;
            Ok(cursor::encode(&key, &request.query.binding(holder.tenant), &configuration.key_ring))
        })
        .transpose()?;
    Ok(pages::render(&documents, next_cursor.as_deref()))
}

struct ListRequest {
    query: Query,
    after: Option<Position>,
    limit: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OrderBy {
    UserId,
    CreatedAt,
}

fn read_list(query: &str, decode: impl FnOnce(&str, &Query) -> Result<String, Refusal>) -> Result<ListRequest, Fault> {
    let mut fields = QueryFields::parse(query)?;
    let limit = pages::limit(&mut fields);
    let direction = fields
        .optional("order", |text| choice(text, &[("asc", Direction::Ascending), ("desc", Direction::Descending)]));
    let order_by = fields
        .optional("order_by", |text| choice(text, &[("user_id", OrderBy::UserId), ("created_at", OrderBy::CreatedAt)]))
        .unwrap_or(OrderBy::UserId);
    let prefix = fields.optional("user_id_prefix", |text| UserIdPrefix::new(text));
    let after = fields.optional("created_after", Timestamp::parse);
    let before = fields.optional("created_before", Timestamp::parse);
    let cursor = fields.optional("cursor", |text| Ok(text.to_owned()));
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
    let query = Query { direction: direction.unwrap_or(Direction::Ascending), range };
    let after = cursor
        .map(|cursor| {
            let key = decode(&cursor, &query).map_err(Fault::Malformed)?;
            serde_json::from_str(&key).map_err(internal)
        })
        .transpose()?;
    Ok(ListRequest { query, after, limit })
}

/// One record, as it is.
fn single(status: u16, revision: Revision, document: &json::Text) -> Response {
    Response::json(status, document.as_str().to_owned()).with("ETag", entity_tag(revision))
}

/// One record as a single read shows it, with its relationships.
fn with_relationships(revision: Revision, document: &str, shown: &Shown) -> Result<Response, Fault> {
    let record = document.strip_suffix('}').ok_or_else(|| internal("a record is not an object"))?;
    let Shown { relationships, has_more } = shown;
    let body = format!("{record},\"relationships\":{relationships},\"relationships_has_more\":{has_more}}}");
    Ok(Response::json(200, body).with("ETag", entity_tag(revision)))
}
