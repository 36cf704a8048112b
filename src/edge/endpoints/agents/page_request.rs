//! Pages, as the agents API reads them.

use crate::edge::http::pages::OFFSET_MAX;
use crate::input::{QueryFields, choice_of, query_integer};
use crate::refusal::Refusal;

/// Largest page, in items, and the size of a page when the request names none.
const PAGE_SIZE_MAX: u32 = 500;
const PAGE_SIZE_DEFAULT: u32 = 100;

/// The page that a request asks for.
pub struct PageRequest {
    pub limit: u32,
    /// Where the page begins, if it does not begin at a cursor: after so many rows.
    pub offset: Option<u32>,
    pub cursor: Option<String>,
}

/// Reads `page_size` and `cursor`, and the parameters of old clients: `limit` is another name of `page_size`,
/// `offset` skips so many rows, and `sort_by` and `sort_order` may name the order of the list, which is its only
/// one.
pub fn read(query: &mut QueryFields, order: &'static str) -> PageRequest {
    let page_size = query.optional("page_size", |text| query_integer(text, 1, PAGE_SIZE_MAX));
    let limit = query.optional("limit", |text| query_integer(text, 1, PAGE_SIZE_MAX));
    let offset = query.optional("offset", |text| query_integer(text, 0, OFFSET_MAX));
    let cursor = query.text("cursor");
    query.optional("sort_by", |text| choice_of(text, &[order]));
    query.optional("sort_order", |text| choice_of(text, &["asc"]));
    if offset.is_some() && cursor.is_some() {
        query.refuse("offset", Refusal::new("must not be given with a cursor"), None);
    }
    let limit = page_size.or(limit).unwrap_or(PAGE_SIZE_DEFAULT);
    PageRequest { limit, offset, cursor }
}
