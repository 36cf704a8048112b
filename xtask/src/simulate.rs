//! `cargo xtask simulate`: a long run of the core's simulation, and of the simulation of everything that ships.

use std::process::Command;

use crate::{Result, process, root, step};

/// Seeds when no number is given.
pub const SEEDS_DEFAULT: u64 = 1_000_000;
/// A seed of everything that ships takes as long as so many of the core.
const WORLD_SEED_COST: u64 = 20;

/// Runs the tests with this many seeds of the core, and with as many of everything that ships as take as long. Uses the profile
/// of `cargo test`, which is optimized for it and keeps the overflow checks.
pub fn run(seeds: u64) -> Result<()> {
    let world_seeds = seeds.div_ceil(WORLD_SEED_COST);
    step(format_args!("Simulating {seeds} seeds of the core"));
    simulate("simulation::", "ROLLCALL_SEEDS", seeds)?;
    step(format_args!("Simulating {world_seeds} seeds of everything that ships"));
    simulate("world::the_world", "ROLLCALL_WORLD_SEEDS", world_seeds)
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
