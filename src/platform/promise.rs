//! Waiting for the platform.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use worker::Delay;

/// Why a promise gave nothing.
#[derive(Debug)]
pub enum Unsettled {
    Rejected(JsValue),
    /// What it stood for may still happen: nobody waits for it any more, that is all.
    TimedOut,
}

/// Waits for what a method gave, a promise or something that can be waited for like
/// one, but not longer than this. Not generic, as each copy would cost a kilobyte.
pub async fn settle(limit_ms: u32, given: Result<JsValue, JsValue>) -> Result<JsValue, Unsettled> {
    let promise = pin!(JsFuture::from(Promise::resolve(&given.map_err(Unsettled::Rejected)?)));
    let limit = pin!(pause(limit_ms));
    match select(promise, limit).await {
        Either::Left((settled, _)) => settled.map_err(Unsettled::Rejected),
        Either::Right(((), _)) => Err(Unsettled::TimedOut),
    }
}

/// Lets everything else that waits for this thread go first, for at least this long.
pub async fn pause(millis: u32) {
    Delay::from(Duration::from_millis(u64::from(millis))).await;
}
