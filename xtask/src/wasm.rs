//! Building the Worker: worker-build, then wasm-opt.

use std::fs;

use crate::tools::Tools;
use crate::{Result, fingerprint, process, root, step};

/// Everything that the module is made from.
const SOURCES: &[&str] = &["src", "worker", "Cargo.toml", "Cargo.lock", "xtask/src/wasm.rs"];

/// Builds `build/` unless nothing has changed since it was built.
pub fn build(tools: &Tools) -> Result<()> {
    let fingerprint = fingerprint::of(SOURCES, Tools::VERSIONS)?;
    let stamp = root().join("build/.fingerprint");
    fingerprint::unless_done(&stamp, &fingerprint, || {
        step("Building the Worker (wasm, release)");
        let mut worker_build = tools.command(&tools.worker_build);
        worker_build
            .args(["--release", "--no-opt", "--out-dir", "../build", "worker"])
            // A request whose caller hangs up is finished all the same: the runtime
            // would drop it half-way, its memory would never be freed, and its log
            // line never be written.
            .env("RUN_TO_COMPLETION", "1")
            .env("WASM_BINDGEN_BIN", &tools.wasm_bindgen)
            .env("ESBUILD_BIN", tools.binary("esbuild"));
        process::run(&mut worker_build, "Building the Worker")?;
        optimize(tools)
    })
}

/// What the crate `worker` exports of its own accord, and nobody here calls. An export
/// keeps alive all that it leads to.
const UNUSED_EXPORTS: &[&str] = &["*intounderlying*", "*containerstartupoptions*", "*minifyconfig*", "*r2range*"];

/// `worker-build` keeps the names of functions, which are a tenth of the
/// compressed module and of no use to who runs it; so wasm-opt is run here.
fn optimize(tools: &Tools) -> Result<()> {
    let module = root().join("build/index_bg.wasm");
    let optimized = root().join("build/optimized.wasm");
    let mut wasm_opt = tools.command(tools.binary("wasm-opt"));
    wasm_opt.arg(&module).arg("-o").arg(&optimized);
    wasm_opt.args(UNUSED_EXPORTS.iter().map(|pattern| format!("--remove-exports={pattern}")));
    wasm_opt.args(["-Oz", "--strip-debug", "--strip-producers"]).args([
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
