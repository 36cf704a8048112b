//! Building the Worker: cargo, wasm-bindgen, wasm-opt.
//!
//! `worker-build` would do the first two, and put what it makes behind proxies of classes and of
//! instances, for every request and every call to an object; `src/entry.mjs` does without.

use std::fs;
use std::path::Path;

use crate::tools::{Tools, WASM_TARGET};
use crate::{Result, fingerprint, process, root, step};

/// Everything that the module is made from.
const SOURCES: &[&str] = &["src", "worker", "Cargo.toml", "Cargo.lock", "xtask/src/wasm.rs"];

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
    let mut cargo = tools.command("cargo");
    cargo
        .args(["build", "--package", "rollcall-worker", "--lib", "--release", "--locked", "--target", WASM_TARGET])
        // Wherever else the developer has theirs: what is linked below is what was built here.
        .arg("--target-dir")
        .arg(root().join("target"))
        // The developer's own flags are meant for their machine.
        .env("CARGO_ENCODED_RUSTFLAGS", "")
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
        // A module that traps is begun anew: see `src/entry.mjs`.
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
    let snippets = to.join("snippets");
    if snippets.exists() {
        fs::remove_dir_all(snippets)?;
    }
    Ok(())
}

/// The features of WebAssembly that rustc uses.
const OPTIMIZATIONS: &[&str] = &[
    "-O3",
    "--enable-bulk-memory",
    "--enable-exception-handling",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

const UNOPTIMIZED: &str = "unoptimized.wasm";

fn optimize(tools: &Tools, folder: &Path) -> Result<()> {
    let module = folder.join("index_bg.wasm");
    fs::rename(&module, folder.join(UNOPTIMIZED))?;
    wasm_opt(tools, folder, &module, &[])
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
