//! Work that several callers wait for and that runs once.
//!
//! Invariant: while the work runs, every caller that starts it joins it.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::JsValue;

use super::promise::prepare;

/// Work that runs at most once at a time. Only for objects: all requests to one object share its I/O context,
/// so one request may wait for the promise of another.
#[derive(Clone, Default)]
pub struct SharedWork(Rc<RefCell<Option<Promise>>>);

impl SharedWork {
    /// Starts the work, or joins it while it runs. The promise gives whether the work succeeded, and never
    /// rejects.
    pub fn share(&self, work: impl Future<Output = bool> + 'static) -> Promise {
        if let Some(running) = self.0.borrow().as_ref() {
            return running.clone();
        }
        let this = self.clone();
        let (promise, start) = prepare(async move {
            let succeeded = work.await;
            this.0.replace(None);
            Ok(JsValue::from_bool(succeeded))
        });
        // Before the start, as the work may end within it.
        self.0.replace(Some(promise.clone()));
        start.now();
        promise
    }
}
