//! The record cache over Workers KV.

use serde::Deserialize;
use wasm_bindgen::prelude::*;
use worker::Env;

use super::{RECORDS, describe, within};
use crate::projection::{Cache, StoreError};

/// Longest wait for a read, in milliseconds: the object has the record too.
const GET_LIMIT_MS: u64 = 2_000;
/// Longest wait for a write or a list, in milliseconds.
const LIMIT_MS: u64 = 10_000;

#[wasm_bindgen]
extern "C" {
    #[derive(Debug)]
    pub type Kv;

    #[wasm_bindgen(method, catch, js_name = get)]
    async fn get_one(this: &Kv, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = get)]
    async fn get_map(this: &Kv, keys: js_sys::Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = put)]
    async fn put_one(this: &Kv, key: &str, value: &str, options: JsValue) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = delete)]
    async fn delete_one(this: &Kv, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = list)]
    async fn list_page(this: &Kv, options: JsValue) -> Result<JsValue, JsValue>;
}

impl Kv {
    /// The binding of this name in `wrangler.toml`.
    pub fn of(env: &Env) -> Result<Self, StoreError> {
        js_sys::Reflect::get(env, &JsValue::from_str(RECORDS))
            .ok()
            .filter(JsValue::is_object)
            .map(JsCast::unchecked_into)
            .ok_or_else(|| StoreError(format!("the binding {RECORDS} is missing")))
    }
}

impl Cache for Kv {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(settle(GET_LIMIT_MS, self.get_one(key)).await?.as_string())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        let names: js_sys::Array = keys.iter().map(|key| JsValue::from_str(key)).collect();
        let map: js_sys::Map = settle(LIMIT_MS, self.get_map(names)).await?.unchecked_into();
        Ok(keys.iter().map(|key| map.get(&JsValue::from_str(key)).as_string()).collect())
    }

    async fn put(&self, key: &str, value: &str, ttl_s: Option<u64>) -> Result<(), StoreError> {
        let options = match ttl_s {
            Some(ttl_s) => object(&format!("{{\"expirationTtl\":{ttl_s}}}"))?,
            None => JsValue::UNDEFINED,
        };
        settle(LIMIT_MS, self.put_one(key, value, options)).await.map(drop)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        settle(LIMIT_MS, self.delete_one(key)).await.map(drop)
    }

    async fn list(&self, prefix: &str, cursor: &str, limit: u32) -> Result<(Vec<String>, Option<String>), StoreError> {
        #[derive(Deserialize)]
        struct Page {
            keys: Vec<Key>,
            list_complete: bool,
            cursor: Option<String>,
        }
        #[derive(Deserialize)]
        struct Key {
            name: String,
        }
        let cursor = if cursor.is_empty() { "null".to_owned() } else { quote(cursor) };
        let options = object(&format!("{{\"prefix\":{},\"cursor\":{cursor},\"limit\":{limit}}}", quote(prefix)))?;
        let page = settle(LIMIT_MS, self.list_page(options)).await?;
        let text = js_sys::JSON::stringify(&page).ok().and_then(|text| text.as_string()).unwrap_or_default();
        let page: Page = serde_json::from_str(&text)
            .map_err(|error| StoreError(format!("KV: the answer does not read: {error}")))?;
        let next = page.cursor.filter(|_| !page.list_complete);
        Ok((page.keys.into_iter().map(|key| key.name).collect(), next))
    }
}

fn object(text: &str) -> Result<JsValue, StoreError> {
    js_sys::JSON::parse(text).map_err(|error| store_error(&error))
}

fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

async fn settle(limit_ms: u64, answer: impl Future<Output = Result<JsValue, JsValue>>) -> Result<JsValue, StoreError> {
    let answer = within(limit_ms, answer).await.ok_or_else(|| StoreError("KV: no answer in time".to_owned()))?;
    answer.map_err(|error| store_error(&error))
}

fn store_error(error: &JsValue) -> StoreError {
    StoreError(format!("KV: {}", describe(error)))
}
