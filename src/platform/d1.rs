//! The listing database over D1.

use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::{D1Database, D1PreparedStatement};

use super::{bind, describe, within};
use crate::projection::{Database, Statement, StoreError, Texts};

/// Longest wait for D1, in milliseconds.
const LIMIT_MS: u64 = 10_000;

#[derive(Debug)]
pub struct D1(pub D1Database);

/// A statement's result, as far as it is read.
#[derive(serde::Deserialize)]
struct Answer {
    #[serde(default)]
    results: Vec<TextRow>,
    meta: Figures,
}

#[derive(serde::Deserialize)]
struct TextRow {
    #[serde(default)]
    text: String,
}

#[derive(serde::Deserialize)]
struct Figures {
    #[serde(default)]
    rows_read: u64,
    #[serde(default)]
    changes: u64,
}

impl D1 {
    fn prepare(&self, statement: &Statement<'_>) -> Result<D1PreparedStatement, StoreError> {
        let parameters: Vec<JsValue> = statement.parameters.iter().map(bind).collect();
        self.0.prepare(statement.sql.as_ref()).bind(&parameters).map_err(|error| StoreError(format!("D1: {error}")))
    }
}

impl Database for D1 {
    async fn batch(&self, statements: &[Statement<'_>]) -> Result<Vec<u64>, StoreError> {
        let prepared = statements.iter().map(|statement| self.prepare(statement)).collect::<Result<Vec<_>, _>>()?;
        let statements: js_sys::Array = prepared.iter().map(|statement| JsValue::from(statement.inner())).collect();
        let batch: js_sys::Function = js_sys::Reflect::get(self.0.as_ref(), &JsValue::from_str("batch"))
            .map_err(|error| store_error(&error))?
            .unchecked_into();
        let promise = batch.call1(self.0.as_ref(), &statements).map_err(|error| store_error(&error))?;
        let answers: Vec<Answer> = settle(promise.unchecked_into()).await?;
        Ok(answers.iter().map(|answer| answer.meta.changes).collect())
    }

    async fn query(&self, statement: &Statement<'_>) -> Result<Texts, StoreError> {
        let prepared = self.prepare(statement)?;
        let promise = prepared.inner().all().map_err(|error| store_error(&error))?;
        let answer: Answer = settle(promise).await?;
        Ok(Texts { rows: answer.results.into_iter().map(|row| row.text).collect(), rows_read: answer.meta.rows_read })
    }
}

/// Waits for an answer and takes it over as one text: for 100 rows 84 µs, against
/// 196 µs value by value.
async fn settle<T: serde::de::DeserializeOwned>(promise: js_sys::Promise) -> Result<T, StoreError> {
    let answer = within(LIMIT_MS, JsFuture::from(promise)).await;
    let answer = answer.ok_or_else(|| StoreError("D1: no answer in time".to_owned()))?;
    let answer = answer.map_err(|error| store_error(&error))?;
    let text = js_sys::JSON::stringify(&answer).ok().and_then(|text| text.as_string());
    serde_json::from_str(&text.unwrap_or_default())
        .map_err(|error| StoreError(format!("D1: the answer does not read: {error}")))
}

fn store_error(error: &JsValue) -> StoreError {
    StoreError(format!("D1: {}", describe(error)))
}
