//! Runs other programs. Errors say what to do, long runs report that they go on, and an interrupt leaves no program
//! behind.

use std::io::{IsTerminal, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Result, interrupt};

/// Interval between reports about a program that still runs.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// Shortest run whose duration is reported.
const REPORT_MIN: Duration = Duration::from_secs(2);
/// Longest wait for a killed process group to be gone.
#[cfg(unix)]
const GROUP_LIMIT: Duration = Duration::from_secs(10);

/// Runs a command to its end and passes its output on to the terminal's error stream. The error names `purpose`.
pub fn run(command: &mut Command, purpose: &str) -> Result<()> {
    run_accepting(command, purpose, &[]).map(drop)
}

/// The same for a program that says something by its exit code. Returns 0 or one of the codes that are accepted.
pub fn run_accepting(command: &mut Command, purpose: &str, accepted: &[i32]) -> Result<i32> {
    let program = command.get_program().to_string_lossy().into_owned();
    let child = in_group(command.stdin(Stdio::null()).stdout(std::io::stderr())).spawn();
    let mut child = child.map_err(|error| not_started(purpose, &program, error))?;
    // On a terminal such programs show their own progress.
    let status = wait(&mut child, (!std::io::stderr().is_terminal()).then_some(purpose))?;
    match status.code() {
        Some(code) if code == 0 || accepted.contains(&code) => Ok(code),
        _ => Err(format!("{purpose} failed ({program}: {status})").into()),
    }
}

/// Runs a command and shows its output only when it fails.
pub fn run_quietly(command: &mut Command, purpose: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let child = in_group(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())).spawn();
    let mut child = child.map_err(|error| not_started(purpose, &program, error))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let output = thread::spawn(move || read(stdout));
    let errors = thread::spawn(move || read(stderr));
    let status = wait(&mut child, Some(purpose))?;
    let text = output.join().unwrap_or_default();
    if status.success() {
        Ok(text)
    } else {
        let errors = errors.join().unwrap_or_default();
        Err(format!("{purpose} failed ({program}: {status}):\n{text}{errors}").into())
    }
}

fn not_started(purpose: &str, program: &str, error: std::io::Error) -> String {
    format!("{purpose}: {program} could not be started: {error}. Is it installed, and on the PATH?")
}

fn read(stream: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        // A stream that breaks off still yields its first part.
        let _ = stream.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Makes a command the leader of a process group, so that it can be ended with everything it starts.
pub fn in_group(command: &mut Command) -> &mut Command {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    command
}

/// Kills a child that leads a group, with the group, and waits until all of it is gone. What the child had started may
/// take longer to end than the child itself, and holds its files and their locks until then.
pub fn kill_group(child: &mut Child) {
    #[cfg(unix)]
    {
        let group = child.id();
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
        let deadline = Instant::now() + GROUP_LIMIT;
        while group_runs(group) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Whether a process of a group still runs. One that has ended and that nobody has waited for holds nothing. Without
/// `ps` nobody knows, and it counts as ended.
#[cfg(unix)]
fn group_runs(group: u32) -> bool {
    let listed = Command::new("ps").args(["-A", "-o", "pgid=", "-o", "stat="]).stderr(Stdio::null()).output();
    let text = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let group = group.to_string();
    text.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(&group) && words.next().is_some_and(|state| !state.starts_with('Z'))
    })
}

/// Waits for the end of a child. With a purpose, reports at intervals that it still runs.
fn wait(child: &mut Child, purpose: Option<&str>) -> Result<ExitStatus> {
    let start = Instant::now();
    let mut next_report = REPORT_INTERVAL;
    loop {
        let elapsed = start.elapsed();
        if let Some(status) = child.try_wait()? {
            if purpose.is_some() && status.success() && elapsed >= REPORT_MIN {
                eprintln!("  done in {:.1} s", elapsed.as_secs_f64());
            }
            return Ok(status);
        }
        if interrupt::happened() {
            kill_group(child);
            return Err("interrupted".into());
        }
        if let Some(purpose) = purpose.filter(|_| elapsed >= next_report) {
            eprintln!("  {purpose}: {} s", elapsed.as_secs());
            next_report += REPORT_INTERVAL;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_killed_group_is_gone_with_everything_it_started() {
        let mut command = Command::new("sh");
        let command = command.args(["-c", "sleep 600 & echo started; wait"]).stdout(Stdio::piped());
        let mut child = in_group(command).spawn().expect("a shell");
        let group = child.id();
        let mut output = child.stdout.take().expect("its output");
        output.read_exact(&mut [0; 8]).expect("a line");
        assert!(group_runs(group));
        kill_group(&mut child);
        assert!(!group_runs(group));
    }

    #[test]
    fn a_failure_shows_what_was_printed() {
        let mut command = Command::new("sh");
        let error = run_quietly(command.args(["-c", "echo said; echo complained >&2; exit 3"]), "Trying");
        let text = error.map_or_else(|error| error.to_string(), |_| String::new());
        assert!(text.starts_with("Trying failed (sh: "), "{text}");
        assert!(text.contains("said\n") && text.contains("complained\n"), "{text}");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = run_quietly(&mut Command::new("no-such-program"), "Trying");
        let text = error.map_or_else(|error| error.to_string(), |_| String::new());
        assert!(text.starts_with("Trying: no-such-program could not be started"), "{text}");
    }
}
