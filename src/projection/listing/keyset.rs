//! Bounds of a page that begins after a row.

/// The least text above an id: ids have no control characters, so nothing that
/// begins with the id lies below its continuation with the lowest of them but NUL.
pub fn just_after(user_id: &str) -> String {
    format!("{user_id}\u{1}")
}
