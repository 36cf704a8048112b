//! `cargo xtask parsers`: has libFuzzer look for bytes that a parser takes amiss. `tests/core/parsers.rs` has the parsers and what
//! must be true of them, `fuzz/corpus` the inputs to begin with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{Result, process, root, step, tools};

const VERSION: &str = "0.13.2";
/// How long it looks for each parser when no time is given, in seconds.
pub const SECONDS_DEFAULT: u32 = 600;
/// The longest input, in bytes: longer than what any bound allows but that of a whole body.
const BYTES_MAX: u32 = 20_000;

/// Looks at each parser for this long.
pub fn run(seconds: u32) -> Result<()> {
    let fuzz = tools::ensure_cargo("cargo-fuzz", VERSION)?;
    let mut parsers: Vec<PathBuf> = fs::read_dir(root().join("fuzz/corpus"))?
        .map(|folder| folder.map(|folder| folder.path()))
        .collect::<std::io::Result<_>>()?;
    parsers.sort();
    for corpus in parsers {
        let name = corpus.file_name().unwrap_or_default().to_string_lossy().into_owned();
        step(format!("Looking for what the parser of {name} takes amiss"));
        // What is found on the way is kept, so the next run begins there.
        let found = root().join("target/parsers").join(&name);
        fs::create_dir_all(&found)?;
        let mut command = Command::new(&fuzz);
        // No sanitizer: that needs a nightly compiler, and safe Rust gains little from it.
        command.args(["fuzz", "run", "--sanitizer", "none", "--target-dir"]).arg(root().join("target/fuzz"));
        command.arg("parsers").arg(&found).arg(&corpus).arg("--");
        command.args([
            format!("-max_total_time={seconds}"),
            format!("-max_len={BYTES_MAX}"),
            "-verbosity=0".into(),
            "-print_final_stats=1".into(),
        ]);
        command.arg(format!("-artifact_prefix={}/failed-", root().join("target/parsers").display()));
        command.current_dir(root().join("fuzz")).env("ROLLCALL_PARSER", &name);
        let failed = format!(
            "{name}: an input is in target/parsers/failed-…, and becomes a file of the corpus once it is mended"
        );
        process::run(&mut command, "Looking").map_err(|error| format!("{error}\n{failed}"))?;
    }
    Ok(())
}
