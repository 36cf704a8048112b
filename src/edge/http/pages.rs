//! Pages of lists in dialect 1 and the admin API.

use serde::Serialize;

use super::response::Response;
use crate::fault::Fault;
use crate::field_fault::{FieldFault, Location};
use crate::input::{QueryFields, query_integer};
use crate::refusal::Refusal;

/// The most items on a page. Where these are more than [`crate::organization::page::PAGE_BYTES_MAX`], it has fewer.
pub const LIMIT_MAX: u32 = 200;
pub const LIMIT_DEFAULT: u32 = 50;

/// The largest `offset`. The store reads every row that it skips. A cursor reaches what lies further.
pub const OFFSET_MAX: u32 = 10_000;

pub fn limit(query: &mut QueryFields) -> u32 {
    query.optional("limit", |text| query_integer(text, 1, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT)
}

/// Cuts the records that were read, one more than the limit, to a page. Says whether more records follow.
pub fn cut<T>(records: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = records.len() > limit;
    records.truncate(limit);
    has_more
}

/// Refuses a page at an offset that would end before its limit: a caller who goes on at the offset and the limit would
/// miss the rows between.
pub fn check_whole(offset: Option<u32>, limit: u32, length: usize, has_more: bool) -> Result<(), Fault> {
    let is_short = has_more && u32::try_from(length).is_ok_and(|length| length < limit);
    if !is_short || offset.is_none() {
        return Ok(());
    }
    let reason = format!("leads to rows of which only {length} fit on a page: ask for no more, or use a cursor");
    Err(Fault::Invalid(vec![FieldFault::new(Location::Query, "offset", Refusal::new(reason), None)]))
}

/// A page. `next_cursor` is `null` on the last one, where the pagers of existing clients stop.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "{T}Page")]
pub struct PageBody<T> {
    data: Vec<T>,
    has_more: bool,
    #[schemars(length(min = 1))]
    next_cursor: Option<String>,
}

/// The response with a page.
pub fn respond(data: Vec<impl Serialize>, next_cursor: Option<String>) -> Result<Response, Fault> {
    Response::json(200, &PageBody { data, has_more: next_cursor.is_some(), next_cursor })
}
