//! A page of a list as text: what the query reads, and what of it the page holds.

use crate::organization::page::{self, ROWS_BYTES_MAX};
use crate::projection::stores::Rows;

/// Bounds a query of one column, `text`, in bytes. A row for which there is no room comes as an empty text: it only
/// tells that there are more. `weight` is an expression for the bytes that a text becomes in the answer.
pub fn bounded(select: &str, weight: &str) -> String {
    let rows = page::bounded(select, weight);
    format!("SELECT CASE WHEN bytes <= {ROWS_BYTES_MAX} THEN text ELSE '' END AS text FROM ({rows})")
}

/// The texts of a page, and whether more rows follow. The query has read one row more than the limit.
pub fn cut(rows: &Rows, limit: u32) -> (Vec<&str>, bool) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let texts: Vec<&str> = rows.iter().take(limit).take_while(|text| !text.is_empty()).collect();
    let has_more = rows.iter().nth(texts.len()).is_some();
    (texts, has_more)
}
