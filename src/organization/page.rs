//! The bound of a page in bytes. Every list keeps it besides its bound in rows, and ends a page early to do so.
//!
//! Users and principals carry metadata, and an entry of an agent's users shows it twice as long where it is full of
//! quotes, so SQL stops reading at the bound. What has no metadata is short: the longest page of agents has 1.3 MB,
//! of relationships 0.8 MB, of organizations and keys less.

/// The most bytes of a page. An isolate has 128 MB for everything that it does at the same time, wasm memory never
/// shrinks, and a page is in the isolate in several forms: as rows, as a body, and in the runtime's hands.
pub const PAGE_BYTES_MAX: u32 = 2_000_000;

/// What a page needs besides its rows, in bytes: at most a cursor of 2,048 characters and the envelope.
const ENVELOPE_BYTES_MAX: u32 = 4_000;

/// The most bytes of the rows of a page.
pub const ROWS_BYTES_MAX: u32 = PAGE_BYTES_MAX - ENVELOPE_BYTES_MAX;

/// A query that reads the rows of another one up to the first with which they are too long. A further column,
/// `bytes`, has the bytes up to and with each row. `weight` is an expression for the bytes of a row, and a bound of
/// what it becomes in the answer.
pub fn bounded(select: &str, weight: &str) -> String {
    format!(
        "SELECT * FROM (SELECT *, sum({weight}) OVER (ROWS UNBOUNDED PRECEDING) AS bytes FROM ({select}))
         WHERE bytes - ({weight}) <= {ROWS_BYTES_MAX}"
    )
}

/// Cuts the rows that [`bounded`] has read, one more than the limit, to a page. Says whether more rows follow.
pub fn cut<T>(rows: &mut Vec<(T, i64)>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let fit = |(_, bytes): &&(T, i64)| *bytes <= i64::from(ROWS_BYTES_MAX);
    let fitting = rows.iter().take(limit).take_while(fit).count();
    let has_more = rows.len() > fitting;
    rows.truncate(fitting);
    has_more
}
