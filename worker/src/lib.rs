//! The Worker that Cloudflare runs: its exports, and all code that knows the platform.
//!
//! On the host only the executor's scheduler is compiled, for its tests.

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

#[cfg(any(target_arch = "wasm32", test))]
mod executor;
#[cfg(target_arch = "wasm32")]
mod exports;
#[cfg(target_arch = "wasm32")]
mod object;
#[cfg(target_arch = "wasm32")]
mod platform;

#[cfg(target_arch = "wasm32")]
const _: () = assert!(
    !rollcall::guards::CAN_BE_SWITCHED_OFF,
    "the Worker must not be built with guards that can be switched off"
);
