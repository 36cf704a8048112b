//! How long a request has waited for each store. Its log line says so, which tells a slow request from a far one.

use std::cell::Cell;

use serde::Serialize;

use super::runtime::{Runtime, timed};

/// Whom a request waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// The organization's object.
    Object,
    /// D1.
    Listing,
    /// KV.
    Records,
}

/// Milliseconds for each store, all waits together; `None` for a store that was not asked. Waits at the same time add up.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Waited {
    #[serde(rename = "objectMs", skip_serializing_if = "Option::is_none")]
    pub object: Option<i64>,
    #[serde(rename = "listingMs", skip_serializing_if = "Option::is_none")]
    pub listing: Option<i64>,
    #[serde(rename = "recordsMs", skip_serializing_if = "Option::is_none")]
    pub records: Option<i64>,
}

/// What a request has waited so far.
#[derive(Debug, Default)]
pub struct Waits(Cell<Waited>);

impl Waits {
    pub const fn so_far(&self) -> Waited {
        self.0.get()
    }

    /// Waits for a store.
    pub async fn note<T>(&self, store: Store, runtime: &impl Runtime, work: impl Future<Output = T>) -> T {
        let (done, waited_ms) = timed(runtime, work).await;
        let mut waited = self.0.get();
        let sum_ms = match store {
            Store::Object => &mut waited.object,
            Store::Listing => &mut waited.listing,
            Store::Records => &mut waited.records,
        };
        *sum_ms = Some(sum_ms.unwrap_or_default().saturating_add(waited_ms.max(0)));
        self.0.set(waited);
        done
    }
}
