//! `cargo xtask mutants`: changes the core in small ways, one at a time, and says which changes no test notices
//! (<https://mutants.rs>). The native tests judge each change. The end-to-end tests judge those that are left.

use std::process::Command;

use crate::{Result, process, root, step, tools};

const VERSION: &str = "27.1.0";

/// Seeds of each simulation while a change is judged. A test that finds a change does so within few seeds, and hundreds of
/// changes take a night.
const SEEDS: &[(&str, &str)] =
    &[("ROLLCALL_SEEDS", "2000"), ("ROLLCALL_LEDGER_SEEDS", "500"), ("ROLLCALL_EDGE_SEEDS", "100")];

/// The exit code of the command when no test noticed some change.
pub const MISSED_CODE: u8 = 3;

/// The exit codes with which cargo-mutants says that changes were missed, or that tests ran out of time.
const MISSED: i32 = 2;
const TIMED_OUT: i32 = 3;

/// Judges all changes, or those of one of several shards, such as `0/10`. Returns whether the tests noticed all of them.
pub fn run(shard: Option<&str>) -> Result<bool> {
    let mutants = tools::ensure_cargo("cargo-mutants", VERSION)?;
    let folder = root().join("target/mutants");
    let judge = |name: &str, tests: &[&str], is_again: bool| {
        step(format!("Changing the core, judged by {name}"));
        let mut command = Command::new(&mutants);
        command.args(["mutants", "--package", "rollcall", "--test-package", "rollcall", "--no-times", "--output"]);
        command.arg(&folder).args(shard.into_iter().flat_map(|shard| ["--shard", shard]));
        // Leaves out what the tests have noticed before.
        command.args(is_again.then_some("--iterate"));
        command.arg("--").args(tests).current_dir(root()).envs(SEEDS.iter().copied());
        process::run_accepting(&mut command, "Judging changes", &[MISSED, TIMED_OUT])
    };
    if judge("the native tests", &["--lib", "--test", "core"], false)? == 0 {
        return Ok(true);
    }
    let is_complete = judge("the end-to-end tests", &["--test", "e2e"], true)? == 0;
    step(format!("{} has what was changed, and missed.txt what no test noticed", folder.join("mutants.out").display()));
    Ok(is_complete)
}
