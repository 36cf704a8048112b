//! Pages of lists in dialect 1 and the admin API.

use super::response::Response;
use crate::input::{QueryFields, query_integer};

/// The most items on a page. A page then has at most 3.8 MB.
pub const LIMIT_MAX: u32 = 200;
pub const LIMIT_DEFAULT: u32 = 50;

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

/// The response with a page. `next_cursor` is `null` on the last page, where the pagers of existing clients stop.
///
/// The records are JSON already. A cursor is URL-safe base64, which needs no escapes.
pub fn render(records: &[String], next_cursor: Option<&str>) -> Response {
    let has_more = next_cursor.is_some();
    let next_cursor = next_cursor.map_or("null".to_owned(), |cursor| format!("\"{cursor}\""));
    let records = records.join(",");
    Response::json(200, format!("{{\"data\":[{records}],\"has_more\":{has_more},\"next_cursor\":{next_cursor}}}"))
}
