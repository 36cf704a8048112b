//! Overwriting before deleting.
//!
//! SQLite leaves the bytes of a deleted or replaced row in the file until it uses the space again, and the
//! runtime refuses the pragma that zeroes them (`secure_delete`). So the object overwrites text about a person
//! with as many blanks first. SQLite writes a row of the same size in place
//! (<https://www.sqlite.org/src/file/src/btree.c>, `btreeOverwriteCell`).
//!
//! Invariant: a statement that deletes or replaces text about a person follows an [`overwrite`] of it, in the same
//! transaction.

use super::sql::{Sql, SqlError, SqlValue};

/// Overwrites columns in the rows of a table for which the condition holds.
pub fn overwrite(
    sql: &impl Sql,
    table: &str,
    columns: &[&str],
    condition: &str,
    parameters: &[SqlValue<'_>],
) -> Result<(), SqlError> {
    sql.execute(&format!("UPDATE {table} SET {} WHERE {condition}", blanks(columns)), parameters)
}

/// What an `UPDATE` sets to fill columns with blanks, as many bytes as each has. `NULL` becomes the empty text, which has
/// the same size.
pub fn blanks(columns: &[&str]) -> String {
    let blank = |column: &&str| format!("{column} = printf('%*s', octet_length({column}), '')");
    columns.iter().map(blank).collect::<Vec<_>>().join(", ")
}
