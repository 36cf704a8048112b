//! The storage of an object, as a trait: a statement, its parameters, its rows.
//!
//! The Worker implements it over the object's SQLite, and the tests over `rusqlite`. So the same
//! statements run in both.

use std::fmt;

use serde::de::{DeserializeOwned, IntoDeserializer, value};
use serde::{Deserialize, Serialize};

use crate::directory::timestamp::Timestamp;
use crate::json;

/// A bound parameter.
///
/// Integers must stay within ±2^53: the platform passes them as doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Parameter<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
}

impl From<i64> for Parameter<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl<'a> From<&'a str> for Parameter<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a, T: Into<Parameter<'a>>> From<Option<T>> for Parameter<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The value of a column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum SqlValue {
    Null,
    Integer(i64),
    Text(String),
}

impl From<i64> for SqlValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<String> for SqlValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Option<String>> for SqlValue {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }
}

impl From<Parameter<'_>> for SqlValue {
    fn from(parameter: Parameter<'_>) -> Self {
        match parameter {
            Parameter::Null => Self::Null,
            Parameter::Integer(value) => Self::Integer(value),
            Parameter::Text(value) => Self::Text(value.to_owned()),
        }
    }
}

impl<'a> From<&'a SqlValue> for Parameter<'a> {
    fn from(value: &'a SqlValue) -> Self {
        match value {
            SqlValue::Null => Self::Null,
            SqlValue::Integer(value) => Self::Integer(*value),
            SqlValue::Text(value) => Self::Text(value),
        }
    }
}

/// One row. Each call reads the next column.
#[derive(Debug)]
pub struct Row(std::vec::IntoIter<SqlValue>);

impl Row {
    pub fn new(values: Vec<SqlValue>) -> Self {
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
            Some(SqlValue::Text(value)) => Ok(value),
            other => Err(SqlError::column("text", other)),
        }
    }

    pub fn optional_text(&mut self) -> Result<Option<String>, SqlError> {
        match self.0.next() {
            Some(SqlValue::Null) => Ok(None),
            Some(SqlValue::Text(value)) => Ok(Some(value)),
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

    pub fn timestamp(&mut self) -> Result<Timestamp, SqlError> {
        self.integer().map(Timestamp::from_millis)
    }

    pub fn optional_timestamp(&mut self) -> Result<Option<Timestamp>, SqlError> {
        Ok(self.optional_integer()?.map(Timestamp::from_millis))
    }
}

fn parse<T: DeserializeOwned>(text: String, what: &str) -> Result<T, SqlError> {
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

    fn column(expected: &str, found: Option<SqlValue>) -> Self {
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
    fn run(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, SqlError>;

    /// Runs one statement and returns its first row.
    fn first(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Option<Row>, SqlError> {
        Ok(self.run(statement, parameters)?.into_iter().next())
    }
}
