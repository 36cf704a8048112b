//! The storage of an object: its SQLite database and its alarm.

use js_sys::Promise;
use wasm_bindgen::prelude::*;

use super::bindings::describe;
use crate::executor::fulfilled;
use rollcall::organization::sql::{Row, Sql, SqlError, SqlValue};

#[wasm_bindgen(module = "/src/platform/sql.js")]
extern "C" {
    #[derive(Debug)]
    pub type ObjectSql;

    /// Runs a statement. Parameters and rows are JSON.
    #[wasm_bindgen(catch)]
    fn execute(sql: &ObjectSql, statement: &str, parameters: &str) -> Result<String, JsValue>;

    #[wasm_bindgen(method, getter, catch, js_name = databaseSize)]
    fn database_size(this: &ObjectSql) -> Result<f64, JsValue>;
}

impl Sql for ObjectSql {
    fn size_bytes(&self) -> Result<u64, SqlError> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size of at most 10 GB")]
        let bytes = self.database_size().map_err(|error| SqlError(describe(&error)))? as u64;
        Ok(bytes)
    }

    fn run(&self, statement: &str, parameters: &[SqlValue<'_>]) -> Result<Vec<Row>, SqlError> {
        let failed = |error: serde_json::Error| SqlError(error.to_string());
        let parameters = serde_json::to_string(parameters).map_err(failed)?;
        let rows = execute(self, statement, &parameters).map_err(|error| SqlError(describe(&error)))?;
        let rows: Vec<Vec<SqlValue<'static>>> = serde_json::from_str(&rows).map_err(failed)?;
        Ok(rows.into_iter().map(Row::new).collect())
    }
}

#[wasm_bindgen]
extern "C" {
    type Storage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(this: &Storage, body: &mut dyn FnMut() -> Result<JsValue, JsValue>)
    -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    fn set_alarm(this: &Storage, at_ms: f64) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = getAlarm)]
    fn get_alarm(this: &Storage) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = deleteAll)]
    fn delete_all(this: &Storage) -> Result<JsValue, JsValue>;
}

/// Sets the object's alarm. The write belongs to the current turn of the event loop. The promise only says when it
/// is durable, for which the output gate waits anyway.
pub fn set_alarm(storage: &JsValue, at_ms: i64) -> Result<(), JsValue> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are far below 2^53")]
    storage.unchecked_ref::<Storage>().set_alarm(at_ms as f64).map(drop)
}

/// When the object's alarm comes, in milliseconds since the epoch; `None` when none is set, or while it runs.
pub async fn alarm_at_ms(storage: &JsValue) -> Result<Option<i64>, JsValue> {
    let alarm = storage.unchecked_ref::<Storage>().get_alarm()?;
    #[expect(clippy::cast_possible_truncation, reason = "whole milliseconds since the epoch")]
    Ok(fulfilled(&alarm).await?.as_f64().map(|at_ms| at_ms as i64))
}

/// Deletes all data of the object and its alarm, and frees the space. The database is empty when this returns. It
/// must not run within a transaction. Writes after it in the same turn of the event loop become durable together
/// with it.
pub fn delete_all(storage: &JsValue) -> Result<(), JsValue> {
    storage.unchecked_ref::<Storage>().delete_all().map(drop)
}

/// Runs a body in one transaction, which is rolled back if the body fails.
pub fn transaction(storage: &JsValue, body: &mut dyn FnMut() -> Result<(), SqlError>) -> Result<(), SqlError> {
    // An exception rolls the transaction back.
    let mut run = || body().map(|()| JsValue::UNDEFINED).map_err(|error| js_sys::Error::new(&error.0).into());
    let committed = storage.unchecked_ref::<Storage>().transaction_sync(&mut run);
    committed.map(drop).map_err(|error| SqlError(describe(&error)))
}
