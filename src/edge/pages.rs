//! Lists, as dialect 1 and the admin API write them.

use serde::Serialize;
use serde_json::value::RawValue;

use super::exchange::internal;
use super::fault::Fault;
use super::fields::{QueryFields, query_integer};
use super::http::Response;

/// Most items on a page; one page is then at most 3.8 MB.
pub const LIMIT_MAX: u32 = 200;
pub const LIMIT_DEFAULT: u32 = 50;

pub fn limit(query: &mut QueryFields) -> u32 {
    query.optional("limit", |text| query_integer(text, 1, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT)
}

/// `next_cursor` is `null` on the last page, never empty: pagers of existing
/// clients stop only on a falsy one.
pub fn render(data: &[Box<RawValue>], next_cursor: Option<String>) -> Result<Response, Fault> {
    #[derive(Serialize)]
    struct Page<'a> {
        data: &'a [Box<RawValue>],
        has_more: bool,
        next_cursor: Option<String>,
    }
    let page = Page { data, has_more: next_cursor.is_some(), next_cursor };
    serde_json::to_string(&page).map(|body| Response::json(200, body)).map_err(internal)
}
