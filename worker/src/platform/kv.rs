//! The copies of records, in Workers KV.

use js_sys::{Array, Promise};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use worker::Env;

use super::bindings::{Bindings, binding, describe, describe_unsettled};
use crate::executor::settle;
use rollcall::projection::{Cache, Put, StoreError};

/// The longest wait for a read, in milliseconds. The object has the record too.
const GET_LIMIT_MS: u32 = 1_000;
/// The longest wait for writes or for a list, in milliseconds.
const LIMIT_MS: u32 = 10_000;

#[wasm_bindgen]
extern "C" {
    #[derive(Debug)]
    pub type Kv;

    #[wasm_bindgen(method, catch, js_name = get)]
    fn get_one(this: &Kv, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = get)]
    fn get_map(this: &Kv, keys: Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = put)]
    fn put_one(this: &Kv, key: &str, value: &str, options: JsValue) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = delete)]
    fn delete_one(this: &Kv, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = list)]
    fn list_page(this: &Kv, options: JsValue) -> Result<JsValue, JsValue>;
}

impl Kv {
    /// The binding of this name in `wrangler.toml`.
    pub fn of(env: &Env) -> Result<Self, StoreError> {
        binding(env, "RECORDS", Bindings::records)
    }
}

impl Cache for Kv {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(wait(GET_LIMIT_MS, self.get_one(key)).await?.as_string())
    }

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        let names: Array = keys.iter().map(|key| JsValue::from_str(key)).collect();
        let map: js_sys::Map = wait(LIMIT_MS, self.get_map(names)).await?.unchecked_into();
        Ok(keys.iter().map(|key| map.get(&JsValue::from_str(key)).as_string()).collect())
    }

    async fn put_all(&self, puts: &[Put]) -> Result<(), StoreError> {
        let written = Array::new();
        for Put { key, value, expires_at } in puts {
            let options = object(&PutOptions { expiration: expires_at.millis().div_euclid(1_000) })?;
            written.push(&self.put_one(key, value, options).map_err(|error| store_error(&error))?);
        }
        wait(LIMIT_MS, Ok(Promise::all(&written).into())).await.map(drop)
    }

    async fn delete_all(&self, keys: &[String]) -> Result<(), StoreError> {
        let deleted = keys.iter().map(|key| self.delete_one(key)).collect::<Result<Array, _>>();
        let deleted = deleted.map(|deleted| Promise::all(&deleted).into());
        wait(LIMIT_MS, deleted).await.map(drop)
    }

    async fn list(&self, prefix: &str, cursor: &str, limit: u32) -> Result<(Vec<String>, Option<String>), StoreError> {
        let cursor = Some(cursor).filter(|cursor| !cursor.is_empty());
        let page = wait(LIMIT_MS, self.list_page(object(&ListOptions { prefix, cursor, limit })?)).await?;
        let text = js_sys::JSON::stringify(&page).ok().and_then(|text| text.as_string()).unwrap_or_default();
        let page: ListPage =
            serde_json::from_str(&text).map_err(|_| StoreError("KV: the answer does not read".to_owned()))?;
        let names = page.keys.into_iter().map(|key| key.name).collect();
        Ok((names, page.cursor.filter(|_| !page.list_complete)))
    }
}

#[derive(Serialize)]
struct PutOptions {
    /// In seconds since the epoch. Unlike a time to live, it means the same for a write that arrives late.
    expiration: i64,
}

#[derive(Serialize)]
struct ListOptions<'a> {
    prefix: &'a str,
    cursor: Option<&'a str>,
    limit: u32,
}

#[derive(Deserialize)]
struct ListPage {
    keys: Vec<ListedKey>,
    list_complete: bool,
    cursor: Option<String>,
}

#[derive(Deserialize)]
struct ListedKey {
    name: String,
}

fn object(options: &impl Serialize) -> Result<JsValue, StoreError> {
    let text = serde_json::to_string(options).map_err(|error| StoreError(format!("KV: {error}")))?;
    js_sys::JSON::parse(&text).map_err(|error| store_error(&error))
}

async fn wait(limit_ms: u32, given: Result<JsValue, JsValue>) -> Result<JsValue, StoreError> {
    settle(limit_ms, given).await.map_err(|error| describe_unsettled("KV", &error))
}

fn store_error(error: &JsValue) -> StoreError {
    StoreError(format!("KV: {}", describe(error)))
}
