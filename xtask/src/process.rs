//! Running other programs, with errors that say what to do, and without leaving
//! any behind when we are interrupted.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::{Result, interrupt};

/// Runs a command to its end, its output passed on to the terminal's error
/// stream. `purpose` says what failed when it does.
pub fn run(command: &mut Command, purpose: &str) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let child = in_group(command.stdin(Stdio::null()).stdout(std::io::stderr())).spawn();
    let mut child = child.map_err(|error| format!("{purpose}: {program} could not be started: {error}"))?;
    let status = wait(&mut child)?;
    if status.success() { Ok(()) } else { Err(format!("{purpose} failed ({program}: {status})").into()) }
}

/// Runs a short command quietly; what it printed is shown only when it fails.
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

/// Lets a command lead a process group, so that it can be ended with everything
/// it starts.
pub fn in_group(command: &mut Command) -> &mut Command {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command
}

/// Kills a child that leads a group, with the group, and waits until it is gone.
pub fn kill_group(child: &mut Child) {
    #[cfg(unix)]
    {
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn wait(child: &mut Child) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if interrupt::happened() {
            kill_group(child);
            return Err("interrupted".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
}
