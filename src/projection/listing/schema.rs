//! The version of D1's tables.
//!
//! Invariant: a build reads and writes D1 only if the tables have the version that it knows, or a newer
//! one that allows it. So a build that is rolled back too far refuses, and touches nothing.

use crate::projection::stores::StoreError;

/// The version that the newest file of `migrations/` makes.
pub const VERSION: i64 = 4;

/// Selects the version of the tables, and the oldest build that may use them.
pub const SELECT: &str = "SELECT version || ' ' || served_from AS text FROM schema";

/// Whether this build may use the tables, by the row of [`SELECT`].
pub fn check(row: Option<&str>) -> Result<(), StoreError> {
    let numbers = row.and_then(|text| text.split_once(' '));
    let numbers = numbers.and_then(|(version, from)| Some((version.parse::<i64>().ok()?, from.parse::<i64>().ok()?)));
    match numbers {
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
        for good in ["4 4", "4 1", "5 4", "9 1"] {
            assert_eq!(judged(good), Ok(()), "{good}");
        }
        for bad in ["3 3", "5 5", "", "4", "4 x"] {
            assert!(judged(bad).is_err(), "{bad}");
        }
        assert!(check(None).is_err());
    }
}
