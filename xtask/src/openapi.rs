//! `cargo xtask openapi`: writes the published document again.

use std::process::Command;

use crate::{Result, process, root, step};

/// Runs the test that compares the published document with the code, in the mode that writes the document.
pub fn run() -> Result<()> {
    step("Writing www/openapi.json and the JSON Schemas");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["test", "--quiet", "--test", "openapi"]).env("ROLLCALL_UPDATE", "1");
    process::run(&mut cargo, "Writing the OpenAPI document")
}
