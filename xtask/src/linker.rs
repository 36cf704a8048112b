//! The linker of the Worker: `rust-lld`, told of no export that nobody calls.
//!
//! Whatever a crate below exports is linked, with all that it leads to. Once it is in the module, removing
//! the export is not enough: what is called by way of the function table stays.
//!
//! One file without dependencies, as `rustc` alone builds it, for commands and tests alike (`wasm.rs`).

use std::process::{Command, ExitCode};

/// What the crate `worker` exports of its own accord, and nobody here calls: classes for streams that
/// Rust feeds, for containers, and for R2. They take 7 KB of the compressed module.
const UNUSED: &[&str] = &["intounderlying", "containerstartupoptions", "minifyconfig", "r2range"];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    // `rustc` has its tools in the PATH of what it starts.
    let mut linker = Command::new("rust-lld");
    while let Some(argument) = arguments.next() {
        let is_unused = |name: &String| UNUSED.iter().any(|unused| name.contains(unused));
        if argument != "--export" || arguments.next_if(is_unused).is_none() {
            linker.arg(argument);
        }
    }
    match linker.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: rust-lld, which comes with Rust, did not start: {error}");
            ExitCode::FAILURE
        }
    }
}
