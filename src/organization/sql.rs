//! The one door to storage: a statement, its parameters, its rows.
//!
//! Implemented over the object's SQLite in wasm and over `rusqlite` on the host,
//! so that the same statements run in both.

use std::fmt;

/// A bound parameter.
///
/// Integers must stay within ±2^53: the platform carries them as doubles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A column's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        value.map_or(Self::Null, Self::Text)
    }
}

impl From<Parameter<'_>> for Value {
    fn from(parameter: Parameter<'_>) -> Self {
        match parameter {
            Parameter::Null => Self::Null,
            Parameter::Integer(value) => Self::Integer(value),
            Parameter::Text(value) => Self::Text(value.to_owned()),
        }
    }
}

impl<'a> From<&'a Value> for Parameter<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(value) => Self::Integer(*value),
            Value::Text(value) => Self::Text(value),
        }
    }
}

/// One row, read from left to right.
#[derive(Debug)]
pub struct Row(std::vec::IntoIter<Value>);

impl Row {
    pub fn new(values: Vec<Value>) -> Self {
        Self(values.into_iter())
    }

    pub fn integer(&mut self) -> Result<i64, SqlError> {
        match self.0.next() {
            Some(Value::Integer(value)) => Ok(value),
            other => Err(SqlError::column("an integer", other)),
        }
    }

    pub fn optional_integer(&mut self) -> Result<Option<i64>, SqlError> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Integer(value)) => Ok(Some(value)),
            other => Err(SqlError::column("an integer or null", other)),
        }
    }

    pub fn text(&mut self) -> Result<String, SqlError> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(value),
            other => Err(SqlError::column("text", other)),
        }
    }

    pub fn optional_text(&mut self) -> Result<Option<String>, SqlError> {
        match self.0.next() {
            Some(Value::Null) => Ok(None),
            Some(Value::Text(value)) => Ok(Some(value)),
            other => Err(SqlError::column("text or null", other)),
        }
    }
}

/// Storage failed, or holds what it should not. Never the caller's fault; the
/// text is for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError(pub String);

impl SqlError {
    /// A stored value that does not read back as what was stored.
    pub fn corrupt(what: &str, error: impl fmt::Display) -> Self {
        Self(format!("stored {what} does not read back: {error}"))
    }

    fn column(expected: &str, found: Option<Value>) -> Self {
        // The kind only: a value may be personal and this text is logged.
        let kind = match found {
            None => "no column",
            Some(Value::Null) => "null",
            Some(Value::Integer(_)) => "an integer",
            Some(Value::Text(_)) => "text",
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

pub trait Sql {
    /// Runs one statement and returns all its rows.
    fn run(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, SqlError>;

    /// Runs one statement that returns at most one row of interest.
    fn first(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Option<Row>, SqlError> {
        Ok(self.run(statement, parameters)?.into_iter().next())
    }
}
