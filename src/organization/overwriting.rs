//! Overwriting before deleting.
//!
//! SQLite leaves the bytes of a deleted or replaced row where they were until the
//! space is used again, and the runtime refuses the pragma that would zero them
//! (`secure_delete`). So what is about a person is overwritten with as many blanks
//! first: a row of the same size is written in place
//! (<https://www.sqlite.org/src/file/src/btree.c>, `btreeOverwriteCell`).
//!
//! Invariant: a statement that deletes or replaces text about a person comes after
//! one made here, in the same transaction.

/// `column = blanks`, as many bytes as the column has. `NULL` becomes the empty
/// text, which takes as much room.
pub fn blank(column: &str) -> String {
    format!("{column} = printf('%*s', octet_length({column}), '')")
}
