//! Each call to Cloudflare fails, one after the other.

use std::collections::BTreeSet;

use serde_json::json;

use crate::assert_first_deployment;
use crate::stand_in::{Run, StandIn};

/// How calls fail. A call fails in one of these ways; in which, depends on its turn.
const KINDS: [&str; 5] = ["500", "429", "auth", "drop", "lost"];
/// Wrangler repeats an upload until it succeeds, and does without settings.
const MILD: [&str; 3] = [
    "POST /workers/assets/upload",
    "GET /workers/scripts/:script/settings",
    "PATCH /workers/scripts/:script/script-settings",
];
/// A name has no more calls than these in a run: the migrations, for one, are many queries.
const SAME: usize = 8;
/// More than there are calls.
const RUNS_MAX: usize = 60;

/// Has each call fail, one in each run, in one account, until none of this part of all calls is left; of the calls of
/// one name in a run, as many as are to be the same. In the end the deployment is as if nothing had failed.
fn fail_each_call(kinds: &[&str], (part, of): (usize, usize), same: usize) {
    let stand_in = StandIn::start();
    let mut failed = BTreeSet::new();
    // The first run that succeeds.
    let mut first: Option<(Run, Vec<String>)> = None;
    for _ in 0..RUNS_MAX {
        let token = first.as_ref().map(|(_, credentials)| credentials[0].as_str());
        let faults = json!({ "kinds": kinds, "part": part, "of": of, "same": same, "mild": MILD });
        let run = stand_in.deploy_with(token, &faults);
        let in_this_run = stand_in.failed();
        match &first {
            None if run.succeeded => {
                let credentials = assert_first_deployment(&stand_in, &run);
                first = Some((run, credentials));
            }
            None => {
                assert_eq!(run.stdout, "", "a run that failed printed credentials");
                assert!(run.stderr.contains("Run cargo deploy again"), "{in_this_run:?}: {run:?}");
            }
            Some((_, credentials)) => {
                assert!(credentials.iter().all(|value| !run.printed().contains(value)), "printed again: {run:?}");
            }
        }
        if in_this_run.is_empty() {
            assert!(failed.len() > 8, "only these failed: {failed:#?}");
            return assert_as_if_nothing_had_failed(&stand_in, first);
        }
        failed.extend(in_this_run);
    }
    panic!("after {RUNS_MAX} runs there are calls that never failed before: {failed:#?}");
}

fn assert_as_if_nothing_had_failed(stand_in: &StandIn, first: Option<(Run, Vec<String>)>) {
    let (_, credentials) = first.expect("a run that succeeded");
    let account = stand_in.account();
    let count = |what: &str| account[what].as_array().map(Vec::len);
    assert_eq!((count("namespaces"), count("databases"), count("workers")), (Some(1), Some(1), Some(1)), "{account}");
    let bindings = &account["workers"][0]["bindings"];
    assert_eq!(bindings["ADMIN_TOKEN"]["text"], credentials[0]);
    assert_eq!(bindings["KEY_SECRET"]["text"], credentials[1]);
    assert_eq!(crate::register(stand_in, &credentials[2], "ada"), 200);
}

/// In two halves, because most of a run is waiting.
#[test]
fn every_other_call_fails_and_the_next_run_goes_on() {
    fail_each_call(&KINDS, (0, 2), 1);
}

#[test]
fn the_calls_in_between_fail_and_the_next_run_goes_on() {
    fail_each_call(&KINDS, (1, 2), 1);
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn each_call_fails_in_each_way() {
    for kind in KINDS {
        fail_each_call(&[kind], (0, 1), SAME);
    }
}
