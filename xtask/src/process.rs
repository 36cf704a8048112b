//! Running other programs, with errors that say what to do.

use std::process::{Command, Stdio};

use crate::Result;

/// Runs a command to its end, its output passed on to the terminal's error
/// stream. `purpose` says what failed when it does.
pub fn run(command: &mut Command, purpose: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|error| format!("{purpose}: {program} could not be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{purpose} failed ({program}: {status})").into()) }
}

/// Runs a command quietly; what it printed is shown only when it fails.
pub fn run_quietly(command: &mut Command, purpose: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{purpose}: {program} could not be started: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(text)
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("{purpose} failed ({program}: {}):\n{text}{errors}", output.status).into())
    }
}
