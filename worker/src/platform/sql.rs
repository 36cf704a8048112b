//! The storage of an object: its SQLite database and its alarm.

use js_sys::Array;
use wasm_bindgen::prelude::*;

use super::bindings::{bind, describe};
use rollcall::organization::sql::{Parameter, Row, Sql, SqlError, SqlValue};

#[wasm_bindgen]
extern "C" {
    #[derive(Debug)]
    pub type ObjectSql;

    type Cursor;

    #[wasm_bindgen(method, catch, variadic)]
    fn exec(this: &ObjectSql, statement: &str, parameters: &Array) -> Result<Cursor, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn raw(this: &Cursor) -> Result<JsValue, JsValue>;

    /// `Array.from`, which reads the cursor to its end and may fail.
    #[wasm_bindgen(catch, js_namespace = Array, js_name = from)]
    fn collect(rows: &JsValue) -> Result<Array, JsValue>;
}

impl Sql for ObjectSql {
    fn run(&self, statement: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, SqlError> {
        let parameters: Array = parameters.iter().map(bind).collect();
        let rows = self.exec(statement, &parameters).and_then(|cursor| cursor.raw()).and_then(|rows| collect(&rows));
        let rows = rows.map_err(|error| SqlError(describe(&error)))?;
        rows.iter().map(|row| Array::from(&row).iter().map(value).collect::<Result<_, _>>().map(Row::new)).collect()
    }
}

fn value(value: JsValue) -> Result<SqlValue, SqlError> {
    if value.is_null() {
        return Ok(SqlValue::Null);
    }
    if let Some(text) = value.as_string() {
        return Ok(SqlValue::Text(text));
    }
    // Only whole numbers up to 2^53 are stored.
    #[expect(clippy::cast_possible_truncation, reason = "a fraction is refused")]
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 => Ok(SqlValue::Integer(number as i64)),
        _ => Err(SqlError("a column holds neither a whole number nor text".to_owned())),
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

    #[wasm_bindgen(method, catch, js_name = deleteAll)]
    fn delete_all(this: &Storage) -> Result<JsValue, JsValue>;
}

/// Sets the object's alarm. The write belongs to the current turn of the event loop. The promise only says when it
/// is durable, for which the output gate waits anyway.
pub fn set_alarm(storage: &JsValue, at_ms: i64) -> Result<(), JsValue> {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since the epoch are far below 2^53")]
    storage.unchecked_ref::<Storage>().set_alarm(at_ms as f64).map(drop)
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
