//! The version of D1's tables.
//!
//! Invariant: a build reads and writes D1 only if the tables have the version that it knows, or a newer
//! one that allows it. So a build that is rolled back too far refuses, and touches nothing.

use crate::projection::stores::StoreError;

/// The version that the newest file of `migrations/` makes.
pub const VERSION: i64 = 6;

/// Selects the version of the tables, and the oldest build that may use them.
pub const SELECT: &str = "SELECT version || ' ' || served_from AS text FROM schema";

/// Selects whether there is a table that says so. The first migration makes none.
pub const SELECT_IS_THERE: &str = "SELECT name AS text FROM sqlite_schema WHERE type = 'table' AND name = 'schema'";

/// The version of the tables, and the oldest build that may use them, by the row of [`SELECT`].
pub fn versions(row: Option<&str>) -> Option<(i64, i64)> {
    let (version, from) = row?.split_once(' ')?;
    Some((version.parse().ok()?, from.parse().ok()?))
}

/// Whether this build may use the tables, by the row of [`SELECT`].
pub fn check(row: Option<&str>) -> Result<(), StoreError> {
    match versions(row) {
        Some((version, served_from)) if version >= VERSION && served_from <= VERSION => Ok(()),
        Some((version, served_from)) if version > VERSION => Err(StoreError(format!(
            "a newer build made the tables of D1 (version {version}), for builds from version {served_from} on"
        ))),
        _ => Err(StoreError("the migrations of this build are not applied to D1".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_that_allow_this_build_are_used() {
        let judged = |text: &str| check(Some(text));
        for good in ["6 6", "6 3", "7 6", "9 1"] {
            assert_eq!(judged(good), Ok(()), "{good}");
        }
        for bad in ["5 5", "7 7", "", "6", "6 x"] {
            assert!(judged(bad).is_err(), "{bad}");
        }
        assert!(check(None).is_err());
    }
}
