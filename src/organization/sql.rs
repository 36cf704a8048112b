//! The storage of an object, as a trait: a statement, its parameters, its rows.
//!
//! The Worker implements it over the object's SQLite, and the tests over `rusqlite`. So the same statements run
//! in both.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, IntoDeserializer, value};
use serde::{Deserialize, Serialize};

use crate::directory::timestamp::Timestamp;
use crate::json;

/// A bound parameter, or the value of a column.
///
/// Integers must stay within ±2^53: the platform passes them as doubles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SqlValue<'a> {
    Null,
    Integer(i64),
    Text(Cow<'a, str>),
}

impl From<i64> for SqlValue<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<Timestamp> for SqlValue<'_> {
    fn from(instant: Timestamp) -> Self {
        Self::Integer(instant.millis())
    }
}

impl<'a> From<&'a str> for SqlValue<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }
}

impl From<String> for SqlValue<'_> {
    fn from(value: String) -> Self {
        Self::Text(Cow::Owned(value))
    }
}

impl<'a, T: Into<SqlValue<'a>>> From<Option<T>> for SqlValue<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row. Each call reads the next column.
#[derive(Debug)]
pub struct Row(std::vec::IntoIter<SqlValue<'static>>);

impl Row {
    pub fn new(values: Vec<SqlValue<'static>>) -> Self {
        Self(values.into_iter())
    }

    pub fn integer(&mut self) -> Result<i64, SqlError> {
        match self.0.next() {
            Some(SqlValue::Integer(value)) => Ok(value),
            other => Err(SqlError::column("an integer", other)),
        }
    }

    pub fn optional_integer(&mut self) -> Result<Option<i64>, SqlError> {
        match self.0.next() {
            Some(SqlValue::Null) => Ok(None),
            Some(SqlValue::Integer(value)) => Ok(Some(value)),
            other => Err(SqlError::column("an integer or null", other)),
        }
    }

    pub fn text(&mut self) -> Result<String, SqlError> {
        match self.0.next() {
            Some(SqlValue::Text(value)) => Ok(value.into_owned()),
            other => Err(SqlError::column("text", other)),
        }
    }

    pub fn optional_text(&mut self) -> Result<Option<String>, SqlError> {
        match self.0.next() {
            Some(SqlValue::Null) => Ok(None),
            Some(SqlValue::Text(value)) => Ok(Some(value.into_owned())),
            other => Err(SqlError::column("text or null", other)),
        }
    }

    /// Reads a text as the value that serde writes so, such as an id or the name of a variant.
    pub fn parsed<T: DeserializeOwned>(&mut self, what: &str) -> Result<T, SqlError> {
        parse(self.text()?, what)
    }

    pub fn optional_parsed<T: DeserializeOwned>(&mut self, what: &str) -> Result<Option<T>, SqlError> {
        self.optional_text()?.map(|text| parse(text, what)).transpose()
    }

    /// Reads a text that is JSON.
    pub fn json<T: DeserializeOwned>(&mut self, what: &str) -> Result<T, SqlError> {
        serde_json::from_str(&self.text()?).map_err(|error| SqlError::corrupt(what, error))
    }

    pub fn timestamp(&mut self) -> Result<Timestamp, SqlError> {
        self.integer().map(Timestamp::from_millis)
    }

    pub fn optional_timestamp(&mut self) -> Result<Option<Timestamp>, SqlError> {
        Ok(self.optional_integer()?.map(Timestamp::from_millis))
    }
}

/// Reads a stored text. `what` names it if it is not valid.
pub fn parse<T: DeserializeOwned>(text: String, what: &str) -> Result<T, SqlError> {
    T::deserialize(text.into_deserializer()).map_err(|error: value::Error| SqlError::corrupt(what, error))
}

/// The storage failed, or holds an invalid value. The text is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError(pub String);

impl SqlError {
    /// A stored value that does not parse.
    pub fn corrupt(what: &str, error: impl fmt::Display) -> Self {
        Self(format!("stored {what} does not read back: {error}"))
    }

    fn column(expected: &str, found: Option<SqlValue<'_>>) -> Self {
        // The text names the kind only: it is logged, and a value may be personal.
        let kind = match found {
            None => "no column",
            Some(SqlValue::Null) => "null",
            Some(SqlValue::Integer(_)) => "an integer",
            Some(SqlValue::Text(_)) => "text",
        };
        Self(format!("expected {expected}, found {kind}"))
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SqlError {}

/// A value as JSON.
pub fn json_text(what: &str, value: &impl Serialize) -> Result<json::Text, SqlError> {
    json::Text::of(value).map_err(|error| SqlError(format!("{what} cannot be written: {error}")))
}

/// A list as one parameter, for `json_each`.
pub fn json_list<T: Serialize>(values: &[T]) -> Result<json::Text, SqlError> {
    json_text("a list", &values)
}

/// Runs statements.
pub trait Sql {
    /// Runs one statement and returns all its rows.
    fn run(&self, statement: &str, parameters: &[SqlValue<'_>]) -> Result<Vec<Row>, SqlError>;

    /// The size of the database, in bytes, without what is free in it.
    fn size_bytes(&self) -> Result<u64, SqlError>;

    /// Runs one statement, whatever rows it returns.
    fn execute(&self, statement: &str, parameters: &[SqlValue<'_>]) -> Result<(), SqlError> {
        self.run(statement, parameters).map(drop)
    }

    /// Runs one statement and returns its first row.
    fn first(&self, statement: &str, parameters: &[SqlValue<'_>]) -> Result<Option<Row>, SqlError> {
        Ok(self.run(statement, parameters)?.into_iter().next())
    }

    /// Runs one statement and says whether it returns a row.
    fn exists(&self, statement: &str, parameters: &[SqlValue<'_>]) -> Result<bool, SqlError> {
        Ok(self.first(statement, parameters)?.is_some())
    }

    /// Runs one statement and reads its first row.
    fn find<T>(&self, statement: &str, parameters: &[SqlValue<'_>], read: ReadRow<T>) -> Result<Option<T>, SqlError> {
        self.first(statement, parameters)?.as_mut().map(read).transpose()
    }

    /// Runs one statement that counts something.
    fn count(&self, statement: &str, parameters: &[SqlValue<'_>]) -> Result<u64, SqlError> {
        let counted = self.find(statement, parameters, Row::integer)?.unwrap_or_default();
        Ok(u64::try_from(counted).unwrap_or_default())
    }

    /// Runs one statement and reads all its rows.
    fn list<T>(&self, statement: &str, parameters: &[SqlValue<'_>], read: ReadRow<T>) -> Result<Vec<T>, SqlError> {
        self.run(statement, parameters)?.iter_mut().map(read).collect()
    }
}

/// Reads the columns of a row.
type ReadRow<T> = fn(&mut Row) -> Result<T, SqlError>;
