//! Building the Worker: cargo, wasm-bindgen, wasm-opt.
//!
//! `worker-build` would do the first two, and put what it makes behind proxies of classes and of
//! instances, for every request and every call to an object; `worker/src/entry.mjs` does without.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{Tools, WASM_TARGET};
use crate::{Result, fingerprint, process, root, step};

/// Everything that the module is made from.
const SOURCES: &[&str] = &["src", "worker", "Cargo.toml", "Cargo.lock", "xtask/src/wasm.rs", "xtask/src/linker.rs"];

/// Builds `build/` unless nothing has changed since it was built.
pub fn build(tools: &Tools) -> Result<()> {
    let fingerprint = fingerprint::of(SOURCES, Tools::VERSIONS)?;
    let stamp = root().join("build/.fingerprint");
    fingerprint::unless_done(&stamp, &fingerprint, || {
        step("Building the Worker (wasm, release)");
        // Who serves the former one meanwhile finds it whole, until this one is.
        let staging = root().join("target/worker");
        compile(tools, &staging)?;
        optimize(tools, &staging)?;
        let build = root().join("build");
        if build.exists() {
            fs::remove_dir_all(&build)?;
        }
        Ok(fs::rename(staging, build)?)
    })
}

fn compile(tools: &Tools, to: &Path) -> Result<()> {
    let linker = build_linker()?;
    let mut cargo = tools.command("cargo");
    cargo
        .args(["build", "--package", "rollcall-worker", "--lib", "--release", "--locked", "--target", WASM_TARGET])
        // Wherever else the developer has theirs: what is linked below is what was built here.
        .arg("--target-dir")
        .arg(root().join("target"))
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags())
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
        .current_dir(root());
    process::run(&mut cargo, "Compiling the Worker")?;
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    let mut wasm_bindgen = tools.command(&tools.wasm_bindgen);
    wasm_bindgen
        .arg(root().join("target").join(WASM_TARGET).join("release/rollcall_worker.wasm"))
        .arg("--out-dir")
        .arg(to)
        // A module that traps is begun anew: see `worker/src/entry.mjs`.
        .args(["--experimental-reset-state-function", "--force-enable-abort-handler"])
        .args(["--out-name", "index", "--target", "module", "--no-typescript"]);
    process::run_quietly(&mut wasm_bindgen, "Writing the module's JavaScript")?;
    // What Workers import is a compiled module already.
    let index = to.join("index.js");
    let script = fs::read_to_string(&index)?;
    fs::write(&index, script.replace("import source ", "import "))?;
    // With the crate's own JavaScript in it, which imports what this exports.
    let mut esbuild = tools.command(tools.binary("esbuild"));
    esbuild.args([
        "index.js",
        "--bundle",
        "--minify",
        "--format=esm",
        "--external:./index_bg.wasm",
        "--log-level=error",
    ]);
    process::run_quietly(esbuild.args(["--outfile=index.js", "--allow-overwrite"]).current_dir(to), "Bundling")?;
    Ok(fs::remove_dir_all(to.join("snippets"))?)
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
/// than the most called in front. Together 3 KB.
const OPTIMIZATIONS: &[&str] = &[
    "-O3",
    "--low-memory-unused",
    "--skip-pass=local-cse",
    "--skip-pass=memory-packing",
    "--reorder-functions-by-name",
    "--enable-mutable-globals",
    "--enable-sign-ext",
    "--enable-nontrapping-float-to-int",
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-reference-types",
    "--enable-exception-handling",
];

const UNOPTIMIZED: &str = "unoptimized.wasm";

/// The names of functions are a tenth of the compressed module, and of no use to who
/// runs it. They go last, as the order is made from them.
fn optimize(tools: &Tools, folder: &Path) -> Result<()> {
    let module = folder.join("index_bg.wasm");
    fs::rename(&module, folder.join(UNOPTIMIZED))?;
    wasm_opt(tools, folder, &module, &["--strip-debug", "--strip-producers"])
}

/// Writes the module with the names of its functions, for profiles. Who runs this has
/// built the Worker.
pub fn with_names(tools: &Tools, to: &Path) -> Result<()> {
    wasm_opt(tools, &root().join("build"), to, &["--debuginfo"])
}

fn wasm_opt(tools: &Tools, folder: &Path, to: &Path, names: &[&str]) -> Result<()> {
    let mut command = tools.command(tools.binary("wasm-opt"));
    command.arg(folder.join(UNOPTIMIZED)).arg("-o").arg(to).args(OPTIMIZATIONS).args(names);
    process::run(&mut command, "Optimizing the wasm module")
}
