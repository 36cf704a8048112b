//! The listing database, in D1. Each isolate checks once that this build may use the tables.

use std::cell::Cell;

use js_sys::Array;
use wasm_bindgen::prelude::*;
use worker::Env;

use super::bindings::{Bindings, binding, describe_unsettled};
use crate::executor::settle;
use rollcall::organization::sql::SqlValue;
use rollcall::projection::listing::schema;
use rollcall::projection::{Database, Rows, Statement, StoreError, Texts};

/// The longest wait for D1, in milliseconds.
const LIMIT_MS: u32 = 10_000;

thread_local! {
    /// Whether this isolate has found that it may use the tables.
    static MAY_USE_TABLES: Cell<bool> = const { Cell::new(false) };
}

#[wasm_bindgen]
extern "C" {
    #[derive(Debug)]
    pub type D1;

    type Prepared;

    #[wasm_bindgen(method, catch)]
    fn prepare(this: &D1, sql: &str) -> Result<Prepared, JsValue>;

    #[wasm_bindgen(method, catch, js_name = batch)]
    fn run_batch(this: &D1, statements: Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, variadic)]
    fn bind(this: &Prepared, values: &Array) -> Result<Prepared, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn all(this: &Prepared) -> Result<JsValue, JsValue>;
}

#[wasm_bindgen(inline_js = "
const encoder = new TextEncoder();
export function texts(answer) {
    return encoder.encode(answer.results.map((row) => row.text + '\\0').join(''));
}
export function figure(answer, name) {
    return answer.meta[name] ?? 0;
}")]
extern "C" {
    /// The column `text` of every row, each followed by a NUL, which no text holds. One piece costs one call
    /// between JavaScript and Rust, and a NUL-separated text, unlike JSON, needs no escapes.
    #[wasm_bindgen(catch)]
    fn texts(answer: &JsValue) -> Result<Vec<u8>, JsValue>;

    /// A number in the metadata of an answer.
    #[wasm_bindgen(catch)]
    fn figure(answer: &JsValue, name: &str) -> Result<f64, JsValue>;
}

impl D1 {
    /// The binding of this name in `wrangler.toml`.
    pub fn of(env: &Env) -> Result<Self, StoreError> {
        binding(env, "LISTING", Bindings::listing)
    }

    fn statement(&self, statement: &Statement<'_>) -> Result<Prepared, StoreError> {
        let values: Array = statement.parameters.iter().map(bound).collect();
        self.prepare(statement.sql.as_ref())
            .and_then(|prepared| prepared.bind(&values))
            .map_err(|error| StoreError(format!("D1: {}", super::describe(&error))))
    }

    async fn check_tables(&self) -> Result<(), StoreError> {
        if !MAY_USE_TABLES.get() {
            schema::check(self.read(&Statement::new(schema::SELECT, [])).await?.rows.first())?;
            MAY_USE_TABLES.set(true);
        }
        Ok(())
    }

    async fn read(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        let prepared = self.statement(statement)?;
        let answer = settle(LIMIT_MS, prepared.all()).await.map_err(failed)?;
        let texts = texts(&answer).map_err(|error| StoreError(format!("D1: {}", super::describe(&error))))?;
        let texts = String::from_utf8(texts).map_err(|error| StoreError(format!("D1: {error}")))?;
        Ok(Texts { rows: Rows::new(texts), rows_read: whole(&answer, "rows_read")? })
    }
}

impl Database for D1 {
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError> {
        self.check_tables().await?;
        let prepared = statements.iter().map(|statement| self.statement(statement).map(JsValue::from));
        let prepared = prepared.collect::<Result<Array, _>>()?;
        let answers = settle(LIMIT_MS, self.run_batch(prepared)).await.map_err(failed)?;
        Array::from(&answers).iter().map(|answer| whole(&answer, "changes")).collect()
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        self.check_tables().await?;
        self.read(statement).await
    }

    async fn query_unchecked(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        self.read(statement).await
    }
}

fn failed(error: crate::executor::PromiseError) -> StoreError {
    describe_unsettled("D1", &error)
}

/// A [`figure`] that counts something.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
fn whole(answer: &JsValue, name: &str) -> Result<u64, StoreError> {
    let figure = figure(answer, name).map_err(|error| StoreError(format!("D1: {}", super::describe(&error))))?;
    Ok(figure as u64)
}

/// A parameter in the form that D1 takes.
fn bound(parameter: &SqlValue<'_>) -> JsValue {
    match parameter {
        SqlValue::Null => JsValue::NULL,
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which `SqlValue` promises")]
        SqlValue::Integer(number) => JsValue::from_f64(*number as f64),
        SqlValue::Text(text) => JsValue::from_str(text),
    }
}
