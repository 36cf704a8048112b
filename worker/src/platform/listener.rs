//! Connections by which an object says that there is an event.

use js_sys::Promise;
use wasm_bindgen::prelude::*;

use crate::executor::fulfilled;
use rollcall::edge::runtime::EventListener;

#[wasm_bindgen(module = "/src/platform/listener.js")]
extern "C" {
    pub fn listen(stub: &JsValue) -> Promise;

    /// Tells every reader of the object with this context.
    pub fn announce(context: &JsValue);

    pub type Connection;

    #[wasm_bindgen(method, getter)]
    fn heard(this: &Connection) -> Promise;

    #[wasm_bindgen(method, catch)]
    fn close(this: &Connection) -> Result<(), JsValue>;
}

/// A connection, which ends when it is dropped.
pub struct Listener(pub Connection);

impl EventListener for Listener {
    async fn heard(&self) {
        // The promise is never rejected.
        drop(fulfilled(&self.0.heard()).await);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The object may have ended it.
        drop(self.0.close());
    }
}
