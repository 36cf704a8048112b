//! What Cloudflare runs: the exports of the crate `rollcall`, linked into a module.

#[cfg(target_arch = "wasm32")]
pub use rollcall;
