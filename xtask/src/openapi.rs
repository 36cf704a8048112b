//! `cargo xtask openapi`: writes what is published anew.

use std::process::Command;

use crate::{Result, process, root, step};

/// The test that compares what is published with what the code says, told to write it.
pub fn run() -> Result<()> {
    step("Writing www/openapi.json and the JSON Schemas");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["test", "--quiet", "--test", "openapi"]).env("ROLLCALL_UPDATE", "1");
    process::run(&mut cargo, "Writing the OpenAPI document")
}
