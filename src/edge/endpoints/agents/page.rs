//! Pages, as the agents API reads them.

use crate::input::{QueryFields, query_integer};

/// Largest page, in items, and the size of a page when the request names none.
const PAGE_SIZE_MAX: u32 = 500;
const PAGE_SIZE_DEFAULT: u32 = 100;

/// Reads `page_size`, or `limit`, which old clients send instead. They also send three parameters that have no
/// effect.
pub fn page_size(fields: &mut QueryFields) -> u32 {
    let page_size = fields.optional("page_size", |text| query_integer(text, 1, PAGE_SIZE_MAX));
    let limit = fields.optional("limit", |text| query_integer(text, 1, PAGE_SIZE_MAX));
    for ignored in ["offset", "sort_by", "sort_order"] {
        fields.optional(ignored, |_| Ok(()));
    }
    page_size.or(limit).unwrap_or(PAGE_SIZE_DEFAULT)
}
