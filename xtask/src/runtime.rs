//! A local runtime as a child process that never outlives its parent.
//!
//! Invariant: this process holds the other end of the child's standard input, which is a pipe. When this process
//! ends, for any reason, the pipe closes, and the script at its other end kills its whole process group.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Result, interrupt, process};

/// A running child and its output, line by line.
#[derive(Debug)]
pub struct Runtime {
    child: Child,
    /// Open for as long as the child must live.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Runtime {
    /// Starts a command in a process group of its own.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child =
            process::in_group(command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let (sender, lines) = channel();
        let stdout = child.stdout.take().ok_or("the child has no output")?;
        let stderr = child.stderr.take().ok_or("the child has no error output")?;
        let errors = sender.clone();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(std::result::Result::ok).all(|line| sender.send(line).is_ok())
        });
        thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(std::result::Result::ok).all(|line| errors.send(line).is_ok())
        });
        Ok(Self { child, stdin, lines })
    }

    /// Waits for a line in which `find` finds something. Gives up when the child ends or the time is over, and then
    /// reports what the child printed.
    pub fn wait_for<T>(&self, limit: Duration, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + limit;
        let mut printed = String::new();
        loop {
            match self.lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    if let Some(found) = find(&line) {
                        return Ok(found);
                    }
                    printed.push_str(&line);
                    printed.push('\n');
                }
                Err(RecvTimeoutError::Timeout) if interrupt::happened() => return Err("interrupted".into()),
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(_) => break,
            }
        }
        Err(format!(
            "the local runtime did not start. Run the same command again when what it printed is put right:\n{printed}"
        )
        .into())
    }

    /// The next line of output, if one arrives in time.
    pub fn next_line(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }

    /// The lines that have arrived and were not read yet.
    pub fn drain(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends the child and everything it started, and waits until it is gone.
    pub fn stop(&mut self) {
        self.stdin = None;
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    /// Kills the child and everything it started without a warning, as a power cut does.
    pub fn kill(&mut self) {
        process::kill_group(&mut self.child);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop();
    }
}
