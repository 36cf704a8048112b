//! Rollcall: the user directory for AI products that runs at the edge.
//!
//! `ARCHITECTURE.md` has the map and walks one request through it.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod backoff;
pub mod bounded;
pub mod clerk;
pub mod directory;
pub mod edge;
pub mod fault;
pub mod fetch;
pub mod field_fault;
pub mod guards;
pub mod input;
pub mod json;
pub mod object;
pub mod organization;
pub mod projection;
pub mod refusal;
pub mod responder;
