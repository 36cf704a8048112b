//! The object's own SQLite.

use wasm_bindgen::prelude::*;
use worker::{SqlStorage, SqlStorageValue};

use super::{bind, describe};
use crate::organization::sql::{Parameter, Row, Sql, SqlError, Value};

#[derive(Debug)]
pub struct ObjectSql(pub SqlStorage);

impl Sql for ObjectSql {
    fn run(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, SqlError> {
        let parameters: Vec<JsValue> = parameters.iter().map(bind).collect();
        let cursor = self.0.exec_raw(statement, parameters).map_err(sql_error)?;
        cursor
            .raw()
            .map(|row| row.map_err(sql_error)?.into_iter().map(value).collect::<Result<_, _>>().map(Row::new))
            .collect()
    }
}

fn value(value: SqlStorageValue) -> Result<Value, SqlError> {
    match value {
        SqlStorageValue::Null => Ok(Value::Null),
        SqlStorageValue::Integer(number) => Ok(Value::Integer(number)),
        SqlStorageValue::String(text) => Ok(Value::Text(text)),
        SqlStorageValue::Boolean(_) | SqlStorageValue::Float(_) | SqlStorageValue::Blob(_) => {
            Err(SqlError("a column holds neither a whole number nor text".to_owned()))
        }
    }
}

fn sql_error(error: impl std::fmt::Display) -> SqlError {
    SqlError(error.to_string())
}

#[wasm_bindgen]
extern "C" {
    type Storage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(this: &Storage, body: &mut dyn FnMut() -> Result<JsValue, JsValue>)
    -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    fn set_alarm(this: &Storage, at_ms: f64) -> Result<JsValue, JsValue>;
}

/// Sets the object's alarm. The write belongs to the turn it is made in; the
/// promise it returns says only when it is durable, which the output gate waits
/// for anyway.
pub fn set_alarm(storage: &JsValue, at_ms: i64) -> Result<(), JsValue> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are far below 2^53")]
    storage.unchecked_ref::<Storage>().set_alarm(at_ms as f64).map(drop)
}

/// Runs a body in one transaction: all of it, or, when it fails, nothing.
pub fn transaction<T>(storage: &JsValue, body: impl FnOnce() -> Result<T, SqlError>) -> Result<T, SqlError> {
    let (mut body, mut result) = (Some(body), None);
    let mut run = || {
        let Some(body) = body.take() else { return Ok(JsValue::UNDEFINED) };
        match body() {
            Ok(value) => {
                result = Some(value);
                Ok(JsValue::UNDEFINED)
            }
            // Throwing is what rolls back.
            Err(error) => Err(js_sys::Error::new(&error.0).into()),
        }
    };
    let committed = storage.unchecked_ref::<Storage>().transaction_sync(&mut run);
    committed.map_err(|error| SqlError(describe(&error)))?;
    result.ok_or_else(|| SqlError("a transaction ended without a result".to_owned()))
}
