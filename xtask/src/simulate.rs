//! `cargo xtask simulate`: a long run of the core's simulation.

use std::process::Command;

use crate::{Result, process, root, step};

/// Seeds when no number is given.
pub const SEEDS_DEFAULT: u64 = 1_000_000;

/// Runs the test with this many seeds. Uses the profile of `cargo test`, which is optimized for it and keeps the
/// overflow checks.
pub fn run(seeds: u64) -> Result<()> {
    step(format_args!("Simulating {seeds} seeds"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut test = Command::new(cargo);
    test.args(["test", "--quiet", "--package", "rollcall", "--test", "core", "simulation::", "--", "--nocapture"])
        .current_dir(root())
        .env_remove("ROLLCALL_SEED")
        .env("ROLLCALL_SEEDS", seeds.to_string());
    process::run(&mut test, "Simulating")
}
