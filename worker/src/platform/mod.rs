//! The ports of the core, implemented by the platform. Types of `worker`, `js-sys`, `web-sys` and `wasm-bindgen`
//! appear only in this crate.

mod ai;
mod bindings;
mod clock;
mod crypto;
mod d1;
mod entropy;
mod fetch;
mod http;
mod kv;
mod listener;
mod metrics;
mod rpc;
mod runtime;
mod sql;

pub use bindings::describe;
pub use clock::now;
pub use d1::D1;
pub use entropy::random;
pub use http::{Context, HttpRequest, into_response};
pub use kv::Kv;
pub use listener::announce;
pub use runtime::{WorkerRuntime, configuration};
pub use sql::{ObjectSql, alarm_at_ms, delete_all, set_alarm, transaction};
