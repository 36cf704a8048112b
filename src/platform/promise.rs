//! Waiting for the platform.

use std::pin::Pin;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

#[wasm_bindgen(inline_js = "
export function within(millis, promise) {
    let timer;
    const late = new Promise((_, reject) => { timer = setTimeout(reject, millis); });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}")]
extern "C" {
    /// What a promise comes to, or a rejection with nothing at all once it is late. In JavaScript,
    /// as each part of it would be a crossing of its own.
    fn within(millis: u32, promise: JsValue) -> Promise;
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Function, millis: u32) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
}

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
    let promise = within(limit_ms, given.map_err(Unsettled::Rejected)?);
    JsFuture::from(promise)
        .await
        .map_err(|reason| if reason.is_undefined() { Unsettled::TimedOut } else { Unsettled::Rejected(reason) })
}

/// A promise of what a future comes to. The future is boxed, as all that surrounds it would
/// be compiled anew for each.
pub fn promise(future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let future: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>> = Box::pin(future);
    future_to_promise(future)
}

/// Lets everything else that waits for this thread go first, for at least this long.
pub async fn pause(millis: u32) {
    let mut timer = None;
    let promise = Promise::new(&mut |resolve, _| timer = Some(Timer(set_timeout(&resolve, millis))));
    drop(JsFuture::from(promise).await);
    drop(timer);
}

/// Gone with whoever waits for it.
struct Timer(JsValue);

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.0);
    }
}
