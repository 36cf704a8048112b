//! The developer commands of Rollcall, as a library, so that the tests build and
//! start the Worker the very way the commands do.

pub mod browser;
pub mod demo;
pub mod dev;
pub mod fingerprint;
pub mod fuzz;
pub mod import;
pub mod interrupt;
pub mod issuer;
pub mod lock;
pub mod migrations;
pub mod openapi;
pub mod process;
pub mod reference;
pub mod runtime;
pub mod screenshots;
pub mod secrets;
pub mod session;
pub mod simulate;
pub mod tools;
pub mod wasm;
pub mod webhooks;

use std::fs;
use std::path::{Path, PathBuf};

/// What went wrong, in words for the developer who typed the command.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

/// The project's top folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Says what is being done.
pub fn step(text: impl std::fmt::Display) {
    eprintln!("\u{25b8} {text}");
}

/// Tools and Worker, as any command that runs the Worker needs them.
pub fn prepare() -> Result<tools::Tools> {
    prepare_with(&wasm::Build::default())
}

/// Tools, and a Worker that is built as told.
///
/// `cargo test`, `cargo dev` and wrangler may all want this at once: a lock lets
/// one of them do it and the others find it done.
pub fn prepare_with(build: &wasm::Build) -> Result<tools::Tools> {
    let target = root().join("target");
    fs::create_dir_all(&target)?;
    let _lock = lock::wait(&target.join("prepare.lock"), "installing the tools or building the Worker")?;
    let tools = tools::ensure()?;
    reference::place(&tools)?;
    build.run(&tools)?;
    Ok(tools)
}
