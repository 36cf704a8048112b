//! The edge: from an HTTP request to a command, and from a reply to a response.

mod calls;
mod closing;
pub mod configuration;
pub mod denial_cache;
mod edge_reads;
mod endpoint;
mod endpoints;
mod exchange;
mod following;
pub mod http;
pub mod leases;
mod log;
pub mod metrics;
pub mod openapi;
mod operators;
mod organizations;
pub mod pipeline;
pub mod public_limiter;
mod render;
pub mod routes;
pub mod runtime;
pub mod scheduled;
mod session;
mod settings;
pub mod waiters;
mod waits;
