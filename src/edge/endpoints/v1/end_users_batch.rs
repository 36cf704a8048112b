//! `POST /v1/end-users/batch`: up to 500 creations in one commit. Each row has a result of its own; a faulty row
//! does not affect the others.

use serde::Serialize;

use super::end_users::take_new;
use crate::directory::identifiers::DeletionId;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::http::body::Body;
use crate::edge::http::response::Response;
use crate::fault::{Fault, internal};
use crate::input::{Fields, string};
use crate::json::{RawValue, elements};
use crate::organization::protocol::{CreateEndUsers, Creation, NewEndUser};
use crate::refusal::Refusal;

/// Most rows of one batch.
const ROWS_MAX: usize = 500;
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

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "BatchRowError")]
struct RowError {
    code: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RowErrorDetails")]
    details: Option<RowErrorDetails>,
}

/// The erasure of the row's user.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
struct RowErrorDetails {
    deletion_id: DeletionId,
}

impl RowError {
    fn new(fault: &Fault) -> Self {
        let details = match fault {
            Fault::DeletionPending { deletion_id } => Some(RowErrorDetails { deletion_id: *deletion_id }),
            _ => None,
        };
        Self { code: fault.code(), message: fault.message(), details }
    }
}

/// A row that has been read: its id, if it has one, and the new user or the fault.
type BatchRow = (Option<String>, Result<NewEndUser, Fault>);

pub fn create<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let rows = read(&input.body)?;
    let cost = rows.len().div_ceil(ROWS_PER_TOKEN).max(input.body.bytes().len().div_ceil(BYTES_PER_TOKEN));
    let cost = u32::try_from(cost).unwrap_or(u32::MAX);
    let (users, rows) = split(rows);
    let plan = Plan::new(CreateEndUsers { users }, |creations| respond(rows, &creations));
    Ok(Plan { cost, ..plan })
}

fn read(body: &Body) -> Result<Vec<BatchRow>, Fault> {
    let mut fields = body.fields()?;
    let rows = fields.required("users", |value| {
        let rows = elements(value).ok_or_else(|| Refusal::new("must be an array of users"))?;
        if (1..=ROWS_MAX).contains(&rows.len()) { Ok(rows) } else { Err(Refusal::new("must hold 1 to 500 users")) }
    });
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
