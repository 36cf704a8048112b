//! Building the Worker: worker-build, then wasm-opt.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::tools::Tools;
use crate::{Result, fingerprint, process, root, step};

/// Everything that the module is made from.
const SOURCES: &[&str] = &["src", "worker", "Cargo.toml", "Cargo.lock", "xtask/src/wasm.rs", "xtask/src/linker.rs"];

/// Builds `build/` unless nothing has changed since it was built.
pub fn build(tools: &Tools) -> Result<()> {
    let fingerprint = fingerprint::of(SOURCES, Tools::VERSIONS)?;
    let stamp = root().join("build/.fingerprint");
    fingerprint::unless_done(&stamp, &fingerprint, || {
        step("Building the Worker (wasm, release)");
        let linker = build_linker()?;
        let mut worker_build = tools.command(&tools.worker_build);
        worker_build
            .args(["--release", "--no-opt", "--out-dir", "../build", "worker"])
            // A request whose caller hangs up is finished all the same: the runtime
            // would drop it half-way, its memory would never be freed, and its log
            // line never be written.
            .env("RUN_TO_COMPLETION", "1")
            .env("CARGO_ENCODED_RUSTFLAGS", rust_flags())
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
            .env("WASM_BINDGEN_BIN", &tools.wasm_bindgen)
            .env("ESBUILD_BIN", tools.binary("esbuild"));
        process::run(&mut worker_build, "Building the Worker")?;
        optimize(tools)
    })
}

/// The places of panics are in the module: from here they begin at the crate, whoever
/// builds it wherever, which is a kilobyte less. Of SHA-256 the rolled-up version, another
/// kilobyte: what is hashed here are keys and ids.
fn rust_flags() -> String {
    let home = std::env::var("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|_| std::env::var("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let sources = home.unwrap_or_default().join("registry/src");
    let registries = fs::read_dir(sources).into_iter().flatten().flatten().map(|entry| entry.path());
    let remapped = registries.map(|path| format!("--remap-path-prefix={}=", path.display()));
    let root = format!("--remap-path-prefix={}=", root().display());
    let flags = ["--cfg".to_owned(), "sha2_backend_soft=\"compact\"".to_owned(), root];
    remapped.chain(flags).collect::<Vec<_>>().join("\u{1f}")
}

/// Compiles `linker.rs`, without cargo, which may be at work already.
fn build_linker() -> Result<PathBuf> {
    let linker = root().join("target").join(format!("worker-linker{}", std::env::consts::EXE_SUFFIX));
    let mut rustc = Command::new("rustc");
    rustc
        .arg(root().join("xtask/src/linker.rs"))
        .args(["--edition", "2024", "--crate-name", "linker", "-o"])
        .arg(&linker);
    process::run(&mut rustc, "Building the linker of the Worker")?;
    Ok(linker)
}

/// For the smallest module once it is compressed, which is not the smallest: what is written out
/// twice compresses better than what is kept in a local, and functions of a kind, side by side, better
/// than the most called in front. Together 3 KB. Names go last, as the order is made from them.
const OPTIMIZATIONS: &[&str] = &[
    "-Os",
    "--low-memory-unused",
    "--skip-pass=local-cse",
    "--skip-pass=memory-packing",
    "--reorder-functions-by-name",
    "--strip-debug",
    "--strip-producers",
];

/// `worker-build` keeps the names of functions, which are a tenth of the
/// compressed module and of no use to who runs it; so wasm-opt is run here.
fn optimize(tools: &Tools) -> Result<()> {
    let module = root().join("build/index_bg.wasm");
    let optimized = root().join("build/optimized.wasm");
    let mut wasm_opt = tools.command(tools.binary("wasm-opt"));
    wasm_opt.arg(&module).arg("-o").arg(&optimized);
    wasm_opt.args(OPTIMIZATIONS).args([
        "--enable-mutable-globals",
        "--enable-sign-ext",
        "--enable-nontrapping-float-to-int",
        "--enable-bulk-memory",
        "--enable-multivalue",
        "--enable-reference-types",
        "--enable-exception-handling",
    ]);
    process::run(&mut wasm_opt, "Optimizing the wasm module")?;
    Ok(fs::rename(optimized, module)?)
}
