//! Runs that are killed.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::assert_first_deployment;
use crate::stand_in::{Run, StandIn, ended};

/// The calls that change something. A run is killed when such a call has had its effect and the run does not know.
const CALLS: [&str; 8] = [
    "POST /d1/database",
    "POST /storage/kv/namespaces",
    "POST /d1/database/:id/query",
    "PUT /workers/scripts/:script",
    "POST /workers/scripts/:script/deployments",
    "PUT /workers/scripts/:script/schedules",
    "Worker: POST /admin/v1/organizations",
    "Worker: POST /admin/v1/organizations/:id/keys",
];
/// More than there are such calls.
const RUNS_MAX: usize = 30;
/// Longest wait for what a run is to do.
const LIMIT: Duration = Duration::from_mins(5);

/// Kills a run and what it started, as a power cut does.
fn kill(run: &mut Child) {
    let children = Command::new("pgrep").arg("-P").arg(run.id().to_string()).output().expect("pgrep");
    let children = String::from_utf8_lossy(&children.stdout).into_owned();
    run.kill().expect("a run to kill");
    // Each leads a group of its own.
    for group in children.split_whitespace() {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
    }
    run.wait().expect("its end");
}

/// Kills a run at the first such call that was never answered late before. What the run printed, if it made none.
fn run_and_kill(stand_in: &StandIn, killed: &mut Vec<String>) -> Option<Run> {
    stand_in.begin_run(&json!({ "kinds": ["hang"], "only": CALLS }));
    let mut run = stand_in.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("xtask");
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < LIMIT, "it does not end: {:?}", stand_in.calls());
        let hanging = stand_in.failed();
        if !hanging.is_empty() {
            kill(&mut run);
            killed.extend(hanging);
            return None;
        }
        if run.try_wait().expect("its state").is_some() {
            return Some(ended(run.wait_with_output().expect("its output")));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_run_that_is_killed_at_any_change_is_continued_by_the_next() {
    let stand_in = StandIn::start();
    let mut killed = Vec::new();
    let last = (0..RUNS_MAX).find_map(|_| run_and_kill(&stand_in, &mut killed));
    assert_first_deployment(&stand_in, &last.expect("a run that is not killed"));
    for call in CALLS {
        assert!(killed.iter().any(|killed| killed.contains(call)), "no run was killed at {call}: {killed:#?}");
    }
}
