//! The executor: runs futures on the promises of the platform.
//!
//! [`scheduler`] keeps the tasks and their waits and knows no platform. [`promise`] binds it to JavaScript,
//! where `waiting.js` waits for promises and keeps the timers.

mod scheduler;

#[cfg(target_arch = "wasm32")]
mod promise;

#[cfg(target_arch = "wasm32")]
pub use promise::{PromiseError, fulfilled, pause, promise, settle, spawn};
