//! What is done once, however many need it.
//!
//! Invariant: while a piece of work is under way, whoever starts it joins it.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::JsValue;

use super::task::prepare;

/// Work that is done once at a time, for others to wait for. For objects only: all requests to one
/// share its I/O context, so a promise of one may be awaited by another.
#[derive(Clone, Default)]
pub struct SharedWork(Rc<RefCell<Option<Promise>>>);

impl SharedWork {
    /// Starts the work, or joins the one under way. The promise tells whether it
    /// succeeded; it never rejects.
    pub fn share(&self, work: impl Future<Output = bool> + 'static) -> Promise {
        if let Some(under_way) = self.0.borrow().as_ref() {
            return under_way.clone();
        }
        let this = self.clone();
        let (promise, start) = prepare(async move {
            let succeeded = work.await;
            this.0.replace(None);
            Ok(JsValue::from_bool(succeeded))
        });
        // First, as the work may be done by the time it has begun.
        self.0.replace(Some(promise.clone()));
        start.now();
        promise
    }
}
