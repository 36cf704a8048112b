//! Requests about many users: up to 500 creations in one commit, up to 500 erasures in one commit, and up to 100 reads
//! in one call. Each user has a result of its own.

use std::collections::HashSet;

use serde::Serialize;

use super::end_users::take_new;
use crate::directory::deletion;
use crate::directory::end_user::EndUser;
use crate::directory::identifiers::DeletionId;
use crate::directory::names::UserId;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::endpoints::row_error::RowError;
use crate::edge::http::body::Body;
use crate::edge::http::response::Response;
use crate::fault::{Fault, internal};
use crate::input::{Fields, string};
use crate::json::{RawValue, list_of};
use crate::organization::protocol::{CreateEndUsers, Creation, DeleteEndUsers, NewEndUser, ReadEndUsers, Resource};
use crate::refusal::Refusal;

/// Most users that one request creates or erases.
const ROWS_MAX: usize = 500;
/// Most users that one request reads. With the longest metadata they make a page of a list.
const READ_MAX: usize = 100;
/// Rows for one token. A batch costs less than single requests because its rows share one call, one commit and one
/// flush.
const ROWS_PER_TOKEN: usize = 10;
/// Bytes of the body for one token, so that few large rows do not fill the database that all organizations share for
/// next to nothing.
const BYTES_PER_TOKEN: usize = 16 * 1024;

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "BatchResult")]
pub struct BatchBody {
    results: Vec<RowResult>,
    created: usize,
    existing: usize,
    failed: usize,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "BatchRow")]
struct RowResult {
    /// As sent; `null` when the row has none, or one that is not a string.
    user_id: Option<String>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RowError")]
    error: Option<RowError>,
}

/// A row that has been read: its id, if it has one, and the new user or the fault.
type BatchRow = (Option<String>, Result<NewEndUser, Fault>);

/// `POST /v1/end-users/batch`: a faulty row does not affect the others.
pub fn create<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let rows = read(&input.body)?;
    let cost = cost(rows.len(), &input.body);
    let (users, rows) = split(rows);
    let plan = Plan::new(CreateEndUsers { users }, |creations| respond(rows, &creations));
    Ok(Plan { cost, ..plan })
}

/// The tokens that a request takes.
fn cost(rows: usize, body: &Body) -> u32 {
    let cost = rows.div_ceil(ROWS_PER_TOKEN).max(body.bytes().len().div_ceil(BYTES_PER_TOKEN));
    u32::try_from(cost).unwrap_or(u32::MAX)
}

fn read(body: &Body) -> Result<Vec<BatchRow>, Fault> {
    let mut fields = body.fields()?;
    let rows = fields.required("users", |value| list_of(value, ROWS_MAX, "users"));
    fields.finish()?;
    let rows = rows.ok_or_else(|| internal("a required field is missing without a fault"))?;
    Ok(rows.into_iter().map(read_row).collect())
}

fn read_row(row: &RawValue) -> BatchRow {
    let mut fields = match Fields::of_element(row) {
        Ok(fields) => fields,
        Err(fault) => return (None, Err(fault)),
    };
    let user_id = fields.peek("user_id").and_then(|value| string(value).ok());
    let new = take_new(&mut fields);
    let new = fields.finish().and_then(|()| new.ok_or_else(|| internal("a required field is missing without a fault")));
    (user_id, new)
}

/// A row's id, and its fault. Without a fault the object decides the outcome.
type Judged = (Option<String>, Option<Fault>);

/// Separates the users that the object is to create from what the edge knows of each row.
fn split(rows: Vec<BatchRow>) -> (Vec<NewEndUser>, Vec<Judged>) {
    let mut users = Vec::with_capacity(rows.len());
    let mut results = Vec::with_capacity(rows.len());
    for (user_id, row) in rows {
        match row {
            Ok(new) => {
                users.push(new);
                results.push((user_id, None));
            }
            Err(fault) => results.push((user_id, Some(fault))),
        }
    }
    (users, results)
}

fn respond(rows: Vec<Judged>, creations: &[Creation]) -> Result<Response, Fault> {
    let mut creations = creations.iter();
    let mut answer = BatchBody { results: Vec::with_capacity(rows.len()), created: 0, existing: 0, failed: 0 };
    for (user_id, fault) in rows {
        let fault = match fault {
            Some(fault) => fault,
            None => match creations.next().ok_or_else(|| internal("a row has no outcome"))? {
                Creation::Created => {
                    answer.created = answer.created.saturating_add(1);
                    answer.results.push(RowResult { user_id, status: 201, error: None });
                    continue;
                }
                Creation::Existing => {
                    answer.existing = answer.existing.saturating_add(1);
                    answer.results.push(RowResult { user_id, status: 200, error: None });
                    continue;
                }
                Creation::DeletionPending { deletion_id } => Fault::DeletionPending { deletion_id: *deletion_id },
                Creation::OtherType => Fault::OtherType,
                Creation::Erased => Fault::IdempotencyOfErased,
                Creation::OverCapacity(capacity) => Fault::OverCapacity(*capacity),
            },
        };
        answer.failed = answer.failed.saturating_add(1);
        answer.results.push(RowResult { user_id, status: fault.status(), error: Some(RowError::new(&fault)) });
    }
    Response::json(200, &answer)
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "BatchGetResult")]
pub struct BatchGetBody {
    /// Who is there, each once, in the order given.
    data: Vec<EndUser>,
    /// Who is not there, each once, in the order given.
    not_found: Vec<UserId>,
}

/// `POST /v1/end-users/batch-get`: strongly consistent, in one call.
pub fn read_many<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let mut fields = input.body.fields()?;
    let user_ids = fields.required("user_ids", |value| user_ids(value, READ_MAX));
    fields.finish()?;
    let user_ids = user_ids.ok_or_else(|| internal("a required field is missing without a fault"))?;
    let cost = cost(user_ids.len(), &input.body);
    let mut not_found = user_ids.clone();
    let plan = Plan::new(ReadEndUsers { user_ids }, |data| {
        let mut named: HashSet<UserId> = data.iter().map(|user| user.user_id.clone()).collect();
        not_found.retain(|user_id| named.insert(user_id.clone()));
        Response::json(200, &BatchGetBody { data, not_found })
    });
    Ok(Plan { cost, ..plan })
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "BatchEraseResult")]
pub struct BatchEraseBody {
    results: Vec<ErasureResult>,
    accepted: usize,
    failed: usize,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "BatchEraseRow")]
struct ErasureResult {
    user_id: UserId,
    status: u16,
    /// The receipt's id; the same again while the erasure lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DeletionId")]
    deletion_id: Option<DeletionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RowError")]
    error: Option<RowError>,
}

/// `POST /v1/end-users/batch-erase`: erases each person and everything about them, as `DELETE` does.
pub fn erase<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let mut fields = input.body.fields()?;
    let user_ids = fields.required("user_ids", |value| user_ids(value, ROWS_MAX));
    let reason = fields.nullable("reason", |value| deletion::reason(string(value)?));
    fields.finish()?;
    let user_ids = user_ids.ok_or_else(|| internal("a required field is missing without a fault"))?;
    let cost = cost(user_ids.len(), &input.body);
    let first_deletion_id = DeletionId::new(input.received_at, input.random);
    let asked = user_ids.clone();
    let command = DeleteEndUsers { user_ids, first_deletion_id, reason: reason.flatten() };
    let plan = Plan::new(command, |erasures| respond_erased(asked, erasures));
    Ok(Plan { cost, ..plan })
}

fn respond_erased(user_ids: Vec<UserId>, erasures: Vec<Option<DeletionId>>) -> Result<Response, Fault> {
    let results = user_ids.into_iter().zip(erasures).map(|(user_id, deletion_id)| {
        let fault = deletion_id.is_none().then(|| Fault::NotFound(Resource::EndUser.into_str()));
        let status = fault.as_ref().map_or(202, Fault::status);
        ErasureResult { user_id, status, deletion_id, error: fault.as_ref().map(RowError::new) }
    });
    let results: Vec<_> = results.collect();
    let failed = results.iter().filter(|result| result.error.is_some()).count();
    let accepted = results.len().saturating_sub(failed);
    Response::json(200, &BatchEraseBody { results, accepted, failed })
}

fn user_ids(value: &RawValue, most: usize) -> Result<Vec<UserId>, Refusal> {
    list_of(value, most, "user ids")?.into_iter().map(|id| UserId::new(string(id)?)).collect()
}
