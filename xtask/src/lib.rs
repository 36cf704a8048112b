//! The developer commands of Rollcall as a library, so the tests build and start the Worker exactly as the commands
//! do.

pub mod admin;
pub mod browser;
pub mod clients;
pub mod demo;
pub mod deploy;
pub mod dev;
pub mod fingerprint;
pub mod former;
pub mod fresh;
pub mod fuzz;
pub mod import;
pub mod interrupt;
pub mod issuer;
pub mod lock;
pub mod migrations;
pub mod mutants;
pub mod openapi;
pub mod organizations;
pub mod page_libraries;
pub mod parsers;
pub mod process;
pub mod python;
pub mod runtime;
pub mod screenshots;
pub mod secrets;
pub mod served;
pub mod session;
pub mod simulate;
pub mod tools;
pub mod verify;
pub mod wasm;
pub mod webhooks;

use std::fs;
use std::path::{Path, PathBuf};

/// An error in words for the developer who ran the command.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

/// The project's top folder.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Prints the step that begins.
pub fn step(text: impl std::fmt::Display) {
    eprintln!("\u{25b8} {text}");
}

/// Installs the tools and builds the Worker, for any command that runs the Worker.
pub fn prepare() -> Result<tools::Tools> {
    prepare_with(&wasm::Build::default())
}

/// Installs the tools and builds the Worker with these options.
///
/// `cargo test`, `cargo dev` and wrangler may all call this at once. A lock lets one of them build; the others find
/// the build done.
pub fn prepare_with(build: &wasm::Build) -> Result<tools::Tools> {
    let target = root().join("target");
    fs::create_dir_all(&target)?;
    let _lock = lock::wait(&target.join("prepare.lock"), "installing the tools or building the Worker")?;
    let tools = tools::ensure()?;
    page_libraries::place(&tools)?;
    build.run(&tools)?;
    Ok(tools)
}
