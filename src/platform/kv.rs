//! The record cache over Workers KV.

use worker::KvStore;

use super::within;
use crate::projection::{Cache, StoreError};

/// Longest wait for a read, in milliseconds: the object has the record too.
const GET_LIMIT_MS: u64 = 2_000;
/// Longest wait for a write, in milliseconds.
const PUT_LIMIT_MS: u64 = 10_000;

#[derive(Debug)]
pub struct Kv(pub KvStore);

impl Cache for Kv {
    async fn get(&self, key: &str) -> Result<Option<String>, StoreError> {
        within(GET_LIMIT_MS, self.0.get(key).text()).await.ok_or_else(timed_out)?.map_err(store_error)
    }

    async fn put(&self, key: &str, value: &str, ttl_s: Option<u64>) -> Result<(), StoreError> {
        let mut put = self.0.put(key, value).map_err(store_error)?;
        if let Some(ttl_s) = ttl_s {
            put = put.expiration_ttl(ttl_s);
        }
        within(PUT_LIMIT_MS, put.execute()).await.ok_or_else(timed_out)?.map_err(store_error)
    }
}

fn store_error(error: impl std::fmt::Debug) -> StoreError {
    StoreError(format!("KV: {error:?}"))
}

fn timed_out() -> StoreError {
    StoreError("KV: no answer in time".to_owned())
}
