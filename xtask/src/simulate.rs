//! `cargo xtask simulate`: a long run of the core's simulation, and of the simulation of reads at the edge.

use std::process::Command;

use crate::{Result, process, root, step};

/// Seeds when no number is given.
pub const SEEDS_DEFAULT: u64 = 1_000_000;
/// A seed of reads at the edge takes as long as so many of the core.
const EDGE_SEED_COST: u64 = 20;

/// Runs the tests with this many seeds of the core, and with as many of reads at the edge as take as long. Uses the profile
/// of `cargo test`, which is optimized for it and keeps the overflow checks.
pub fn run(seeds: u64) -> Result<()> {
    let edge_seeds = seeds.div_ceil(EDGE_SEED_COST);
    step(format_args!("Simulating {seeds} seeds of the core"));
    simulate("simulation::", "ROLLCALL_SEEDS", seeds)?;
    step(format_args!("Simulating {edge_seeds} seeds of reads at the edge"));
    simulate("edge_reads::", "ROLLCALL_EDGE_SEEDS", edge_seeds)
}

fn simulate(tests: &str, variable: &str, seeds: u64) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut test = Command::new(cargo);
    test.args(["test", "--quiet", "--package", "rollcall", "--test", "core", tests, "--", "--nocapture"])
        .current_dir(root())
        .env_remove("ROLLCALL_SEED")
        .env(variable, seeds.to_string());
    process::run(&mut test, "Simulating")
}
