//! The two stores behind the projections, as traits, and the values that pass through them.

use std::borrow::Cow;
use std::fmt;

use crate::organization::sql::{Parameter, Value};

/// One statement for the listing database.
#[derive(Debug, Clone)]
pub struct Statement<'a> {
    pub sql: Cow<'static, str>,
    pub parameters: Vec<Parameter<'a>>,
}

impl Statement<'_> {
    pub fn to_bound(&self) -> Bound {
        Bound { sql: self.sql.clone(), values: self.parameters.iter().map(|parameter| (*parameter).into()).collect() }
    }
}

/// A statement that owns what is bound to it.
#[derive(Debug, Clone)]
pub struct Bound {
    pub sql: Cow<'static, str>,
    pub values: Vec<Value>,
}

impl Bound {
    pub fn statement(&self) -> Statement<'_> {
        let parameters = self.values.iter().map(Parameter::from).collect();
        Statement { sql: self.sql.clone(), parameters }
    }
}

/// Texts that a query returned, and what it cost.
#[derive(Debug, Default)]
pub struct Texts {
    /// The column `text` of each row.
    pub rows: Vec<String>,
    /// Rows the database read to answer; what D1 bills.
    pub rows_read: u64,
}

/// A store could not be reached or refused. Says why for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}

/// The listing database.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Database {
    /// Runs statements in one transaction, all or none; for each the number of rows it changed.
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError>;

    /// Runs one query whose only column is called `text`.
    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError>;
}

/// A value to be stored in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub key: String,
    pub value: String,
    /// For how many seconds; for good if `None`.
    pub ttl_s: Option<u64>,
}

/// The record cache.
#[expect(async_fn_in_trait, reason = "an isolate has one thread; no future ever moves to another")]
pub trait Cache {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError>;
    /// Up to 100 values at once, in the order of their keys.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError>;
    /// Stores values at the same time; fails if any was not.
    async fn put_all(&self, puts: &[Put]) -> Result<(), StoreError>;
    /// Removes keys at the same time; fails if any was not.
    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError>;
    /// Keys with a prefix from a cursor on (empty: from the first), and the cursor of
    /// the next page if there is one.
    async fn list(&self, prefix: &str, cursor: &str, limit: u32) -> Result<(Vec<String>, Option<String>), StoreError>;
}
