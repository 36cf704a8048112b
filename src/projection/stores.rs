//! The two stores behind the projections, as traits, and the values that pass through them.

use std::borrow::Cow;
use std::fmt;

use crate::directory::timestamp::Timestamp;
use crate::organization::sql::{SqlError, SqlValue};

/// D1 refuses a parameter of more bytes (<https://developers.cloudflare.com/d1/platform/limits/>).
pub const PARAMETER_BYTES_MAX: usize = 2_000_000;

/// One statement for the listing database.
#[derive(Debug, Clone)]
pub struct Statement<'a> {
    pub sql: Cow<'static, str>,
    pub parameters: Vec<SqlValue<'a>>,
}

impl<'a> Statement<'a> {
    pub fn new(sql: impl Into<Cow<'static, str>>, parameters: impl Into<Vec<SqlValue<'a>>>) -> Self {
        Self { sql: sql.into(), parameters: parameters.into() }
    }
}

/// The column `text` of each row that a query returned, in the one piece in which it came.
#[derive(Debug, Default)]
pub struct Rows(String);

/// Ends each row. No text holds it.
const ROW_END: char = '\0';

impl Rows {
    /// Takes rows that each end with a NUL.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split_terminator(ROW_END)
    }

    pub fn first(&self) -> Option<&str> {
        self.iter().next()
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The texts that a query returned, and its cost.
#[derive(Debug, Default)]
pub struct Texts {
    pub rows: Rows,
    /// The number of rows that the database read, which D1 bills.
    pub rows_read: u64,
}

/// A store was out of reach, or refused. The text is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        Self(error.0)
    }
}

/// The listing database.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Database {
    /// Runs statements in one transaction, all or none. Returns the number of changed rows for each.
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError>;

    /// Runs one query with one column, `text`.
    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError>;

    /// The same for tables that this build may not use, or that are not there ([`super::listing::schema`]).
    async fn query_unchecked(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        self.query(statement).await
    }
}

/// A value to store in KV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub key: String,
    pub value: String,
    /// When the value expires, at least a minute from now.
    pub expires_at: Timestamp,
}

/// The copies of records.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Cache {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError>;
    /// Reads at most 100 values, in the order of their keys.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError>;
    /// Stores values concurrently. Fails if it could not store one of them.
    async fn put_all(&self, puts: &[Put]) -> Result<(), StoreError>;
    /// Removes keys concurrently. Fails if it could not remove one of them.
    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError>;
    /// Lists the keys with a prefix from a cursor on; an empty cursor means the first page. Returns
    /// the cursor of the next page, if there is one.
    async fn list(&self, prefix: &str, cursor: &str, limit: u32) -> Result<(Vec<String>, Option<String>), StoreError>;
}
