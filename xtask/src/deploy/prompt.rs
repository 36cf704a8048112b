//! Asks the operator at the terminal.

use std::io::{self, IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::{Result, interrupt};

/// Asks for a secret, which the terminal does not show. `None` if nobody is at a terminal.
pub fn secret(what: &str) -> Result<Option<String>> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let _silence = Silence::begin();
    eprint!("{what}: ");
    io::stderr().flush()?;
    // A thread, because an interrupt does not end the read.
    let (sender, answer) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        let _ = sender.send(io::stdin().read_line(&mut line).map(|_| line.trim().to_owned()));
    });
    loop {
        match answer.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => return Ok(Some(line?)),
            Err(RecvTimeoutError::Timeout) if interrupt::happened() => return Err("interrupted".into()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err("the answer could not be read".into()),
        }
    }
}

/// The terminal shows nothing of what is typed while this lasts.
struct Silence;

impl Silence {
    fn begin() -> Self {
        set_echo("-echo");
        Self
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        set_echo("echo");
        eprintln!();
    }
}

fn set_echo(setting: &str) {
    // A terminal without `stty` shows what is typed.
    let _ = Command::new("stty").arg(setting).stderr(Stdio::null()).status();
}
