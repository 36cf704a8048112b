//! The listing database over D1.

use js_sys::Array;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;
use worker::Env;

use super::{LISTING, bind, binding, describe_unsettled, settle};
use crate::projection::{Database, Statement, StoreError, Texts};

/// Longest wait for D1, in milliseconds.
const LIMIT_MS: u32 = 10_000;

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

/// A statement's result, as far as it is read.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<TextRow>,
    meta: Figures,
}

#[derive(Deserialize)]
struct TextRow {
    #[serde(default)]
    text: String,
}

#[derive(Deserialize)]
struct Figures {
    #[serde(default)]
    rows_read: u64,
    #[serde(default)]
    changes: u64,
}

impl D1 {
    /// The binding of this name in `wrangler.toml`.
    pub fn of(env: &Env) -> Result<Self, StoreError> {
        binding(env, LISTING).map(JsCast::unchecked_into)
    }

    fn statement(&self, statement: &Statement<'_>) -> Result<Prepared, StoreError> {
        let values: Array = statement.parameters.iter().map(bind).collect();
        self.prepare(statement.sql.as_ref())
            .and_then(|prepared| prepared.bind(&values))
            .map_err(|error| StoreError(format!("D1: {}", super::describe(&error))))
    }
}

impl Database for D1 {
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError> {
        let prepared = statements.iter().map(|statement| self.statement(statement).map(JsValue::from));
        let prepared = prepared.collect::<Result<Array, _>>()?;
        let answers: Vec<Answer> = read(settle(LIMIT_MS, self.run_batch(prepared)).await)?;
        Ok(answers.iter().map(|answer| answer.meta.changes).collect())
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        let prepared = self.statement(statement)?;
        let answer: Answer = read(settle(LIMIT_MS, prepared.all()).await)?;
        Ok(Texts { rows: answer.results.into_iter().map(|row| row.text).collect(), rows_read: answer.meta.rows_read })
    }
}

/// Takes an answer over as one text: for 100 rows 84 µs, against 196 µs value by value.
fn read<T: DeserializeOwned>(answer: Result<JsValue, super::Unsettled>) -> Result<T, StoreError> {
    let answer = answer.map_err(|error| describe_unsettled("D1", &error))?;
    let text = js_sys::JSON::stringify(&answer).ok().and_then(|text| text.as_string());
    serde_json::from_str(&text.unwrap_or_default())
        .map_err(|error| StoreError(format!("D1: the answer does not read: {error}")))
}
