//! The bound of a page that starts after a row (keyset pagination).

/// The lowest bound above an id. An id has no control character, so every longer id that starts with
/// this one is above the id followed by U+0001.
pub fn just_after(user_id: &str) -> String {
    format!("{user_id}\u{1}")
}
