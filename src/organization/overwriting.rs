//! Overwriting before deleting.
//!
//! SQLite leaves the bytes of a deleted or replaced row in the file until it uses the space again, and the
//! runtime refuses the pragma that zeroes them (`secure_delete`). So the object overwrites text about a person
//! with as many blanks first. SQLite writes a row of the same size in place
//! (<https://www.sqlite.org/src/file/src/btree.c>, `btreeOverwriteCell`).
//!
//! Invariant: a statement that deletes or replaces text about a person follows a statement that [`blank`] made,
//! in the same transaction.

/// The assignment `column = blanks`, with as many bytes as the column has. `NULL` becomes the empty text, which
/// has the same size.
pub fn blank(column: &str) -> String {
    format!("{column} = printf('%*s', octet_length({column}), '')")
}
