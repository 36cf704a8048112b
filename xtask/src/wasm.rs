//! Builds the Worker: cargo, wasm-bindgen, wasm-opt.
//!
//! `worker-build` does the first two as well, but puts the module behind proxies of classes and of instances, for
//! every request and every call to an object. The entry module needs no such proxies.
//!
//! Invariant: a folder of a built Worker is replaced only by a complete one, and its stamp is written last. So a
//! stamp exists only for a complete build.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wasm_bindgen_cli_support::Bindgen;

use crate::tools::{Tools, WASM_TARGET};
use crate::{Result, fingerprint, process, root, step};

/// All inputs of a Worker, including this recipe and the installed tools.
const SOURCES: &[&str] = &[
    ".cargo/config.toml",
    "Cargo.lock",
    "Cargo.toml",
    "migrations",
    "node_modules/binaryen/package.json",
    "node_modules/esbuild/package.json",
    "package-lock.json",
    "rust-toolchain.toml",
    "src",
    "worker",
    "wrangler.toml",
    "xtask/Cargo.toml",
    "xtask/src/tools.rs",
    "xtask/src/wasm.rs",
];

/// The entry module's name in the folder of a built Worker.
pub const ENTRY: &str = "entry.mjs";
const MODULE: &str = "index_bg.wasm";
const STAMP: &str = ".fingerprint";
/// Variables that override the release profile of Cargo.toml.
const PROFILE_VARIABLES: &str = "CARGO_PROFILE_RELEASE_";
const OPT_LEVEL_VARIABLE: &str = "CARGO_PROFILE_RELEASE_OPT_LEVEL";
pub const OPT_LEVELS: &[&str] = &["0", "1", "2", "3", "s", "z"];

/// Where and how to build the Worker.
#[derive(Debug, Clone)]
pub struct Build {
    pub folder: PathBuf,
    /// One of [`OPT_LEVELS`], or `None` for the profile's.
    pub opt_level: Option<String>,
}

impl Default for Build {
    /// The build that wrangler serves and deploys.
    fn default() -> Self {
        Self { folder: root().join("build"), opt_level: None }
    }
}

impl Build {
    /// Builds, unless nothing has changed since the last build. The folder then holds everything that runs: the
    /// entry module, the module's JavaScript, and the module.
    pub fn run(&self, tools: &Tools) -> Result<()> {
        let stamp = self.folder.join(STAMP);
        refuse_foreign(&self.folder)?;
        if !self.folder.join(MODULE).is_file() {
            let _ = fs::remove_file(&stamp);
        }
        let fingerprint = inputs(&root(), &rustc_version()?, &self.profile())?;
        fingerprint::unless_done(&stamp, &fingerprint, || {
            step("Compiling the Worker (wasm, release)");
            compile(&self.profile())?;
            // A running server reads the former Worker until the new one is complete.
            let staging = self.folder.with_added_extension("new");
            empty(&staging)?;
            bind(&staging)?;
            bundle(tools, &staging)?;
            optimize(tools, &staging)?;
            if self.folder.exists() {
                fs::remove_dir_all(&self.folder)?;
            }
            Ok(fs::rename(staging, &self.folder)?)
        })
    }

    /// The settings of the release profile, from the environment or from the options.
    fn profile(&self) -> Vec<(String, String)> {
        let outside = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(PROFILE_VARIABLES));
        let mut profile: Vec<_> = match &self.opt_level {
            Some(level) => outside
                .filter(|(name, _)| name != OPT_LEVEL_VARIABLE)
                .chain([(OPT_LEVEL_VARIABLE.to_owned(), level.clone())])
                .collect(),
            None => outside.collect(),
        };
        profile.sort();
        profile
    }
}

/// The fingerprint of everything that affects the built Worker.
fn inputs(top: &Path, rustc_version: &str, profile: &[(String, String)]) -> Result<String> {
    let mut words = vec![rustc_version.to_owned()];
    words.extend(profile.iter().map(|(name, value)| format!("{name}={value}")));
    fingerprint::of(top, SOURCES, &words)
}

fn rustc_version() -> Result<String> {
    process::run_quietly(Command::new("rustc").arg("-vV").current_dir(root()), "Asking rustc for its version")
        .map_err(|error| format!("{error}\nInstall Rust: https://rustup.rs").into())
}

/// Refuses to replace a folder that this command did not make.
fn refuse_foreign(folder: &Path) -> Result<()> {
    let Ok(mut entries) = fs::read_dir(folder) else { return Ok(()) };
    if entries.next().is_none() || folder.join(STAMP).is_file() || folder.join(MODULE).is_file() {
        return Ok(());
    }
    Err(format!("{} holds something else than a built Worker; name another folder", folder.display()).into())
}

fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(fs::create_dir_all(folder)?)
}

fn compile(profile: &[(String, String)]) -> Result<()> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--package", "rollcall-worker", "--lib", "--release", "--locked", "--target", WASM_TARGET])
        // The developer may have set another target directory, but the steps below read this one.
        .arg("--target-dir")
        .arg(target())
        // The developer's own flags are for their machine's target.
        .env("CARGO_ENCODED_RUSTFLAGS", "")
        .envs(profile.iter().cloned())
        .current_dir(root());
    process::run(&mut cargo, "Compiling the Worker")
}

fn target() -> PathBuf {
    root().join("target")
}

/// Writes the module with its JavaScript bindings.
fn bind(to: &Path) -> Result<()> {
    step("Writing the module's JavaScript");
    let module = target().join(WASM_TARGET).join("release/rollcall_worker.wasm");
    let bound = || {
        Bindgen::new()
            .input_path(&module)
            .out_name("index")
            .module(true)?
            .typescript(false)
            // The entry module resets a module that traps.
            .reset_state_function(true)
            .force_enable_abort_handler(true)
            .generate(to)
    };
    bound().map_err(|error| format!("wasm-bindgen: {error:#}"))?;
    // Workers import a compiled module.
    let index = to.join("index.js");
    let script = fs::read_to_string(&index)?;
    Ok(fs::write(&index, script.replace("import source ", "import "))?)
}

/// Bundles the module's JavaScript with the crate's own, which imports from it, and puts the entry module beside
/// it.
fn bundle(tools: &Tools, folder: &Path) -> Result<()> {
    let mut esbuild = tools.command(tools.binary("esbuild"));
    esbuild.args([
        "index.js",
        "--bundle",
        "--minify",
        "--format=esm",
        "--external:./index_bg.wasm",
        "--log-level=error",
        "--outfile=index.js",
        "--allow-overwrite",
    ]);
    process::run_quietly(esbuild.current_dir(folder), "Bundling the module's JavaScript")?;
    let snippets = folder.join("snippets");
    if snippets.exists() {
        fs::remove_dir_all(snippets)?;
    }
    let main = main_module(&fs::read_to_string(root().join("wrangler.toml"))?)?;
    let entry = fs::read_to_string(root().join(&main)).map_err(|error| format!("{main}: {error}"))?;
    Ok(fs::write(folder.join(ENTRY), beside(&main, &entry)?)?)
}

/// The path of the entry module in wrangler's configuration.
fn main_module(configuration: &str) -> Result<String> {
    let value = configuration.lines().find_map(|line| line.strip_prefix("main = \"")?.strip_suffix('"'));
    value.map(str::to_owned).ok_or_else(|| "wrangler.toml names no entry module: main = \"…\"".into())
}

/// The entry module for the folder of a built Worker. In the repository it imports from `build/`.
fn beside(main: &str, entry: &str) -> Result<String> {
    let up = "../".repeat(main.matches('/').count());
    let import = format!("\"{up}build/index.js\"");
    if !entry.contains(&import) {
        return Err(format!("{main} does not import {import}, which the build makes").into());
    }
    Ok(entry.replace(&import, "\"./index.js\""))
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
    step("Optimizing the wasm module");
    let module = folder.join(MODULE);
    fs::rename(&module, folder.join(UNOPTIMIZED))?;
    wasm_opt(tools, folder, &module, &[])
}

/// Writes the module with function names, for profiles. The caller has built the Worker.
pub fn with_names(tools: &Tools, to: &Path) -> Result<()> {
    wasm_opt(tools, &Build::default().folder, to, &["--debuginfo"])
}

fn wasm_opt(tools: &Tools, folder: &Path, to: &Path, more: &[&str]) -> Result<()> {
    let mut command = tools.command(tools.binary("wasm-opt"));
    command.arg(folder.join(UNOPTIMIZED)).arg("-o").arg(to).args(OPTIMIZATIONS).args(more);
    process::run_quietly(&mut command, "Optimizing the wasm module").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project in which every source exists; each folder holds files of several kinds.
    fn project() -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
        let top = tempfile::tempdir()?;
        let mut files = Vec::new();
        for source in SOURCES {
            let names: &[&str] = if root().join(source).is_dir() {
                &["lib.rs", "deep/module.rs", "entry.mjs", "src/glue.js", "1.sql"]
            } else {
                &[""]
            };
            for name in names {
                let file = if name.is_empty() { top.path().join(source) } else { top.path().join(source).join(name) };
                fs::create_dir_all(file.parent().ok_or("no parent")?)?;
                fs::write(&file, "before")?;
                files.push(file);
            }
        }
        Ok((top, files))
    }

    #[test]
    fn every_source_is_where_it_is_said_to_be() {
        for source in SOURCES.iter().filter(|source| !source.starts_with("node_modules")) {
            assert!(root().join(source).exists(), "{source}");
        }
    }

    #[test]
    fn a_change_of_any_file_changes_the_fingerprint() -> Result<()> {
        let (top, files) = project()?;
        let fingerprint = || inputs(top.path(), "rustc 1.95.0", &[]);
        let before = fingerprint()?;
        assert_eq!(fingerprint()?, before);
        for file in files {
            fs::write(&file, "after")?;
            assert_ne!(fingerprint()?, before, "{} was changed", file.display());
            fs::remove_file(&file)?;
            assert_ne!(fingerprint()?, before, "{} was removed", file.display());
            fs::write(&file, "before")?;
            assert_eq!(fingerprint()?, before);
        }
        fs::write(top.path().join("src/new.rs"), "")?;
        assert_ne!(fingerprint()?, before, "a file was added");
        Ok(())
    }

    #[test]
    fn another_compiler_or_profile_changes_the_fingerprint() -> Result<()> {
        let (top, _) = project()?;
        let level = |level: &str| vec![(OPT_LEVEL_VARIABLE.to_owned(), level.to_owned())];
        let all = [
            inputs(top.path(), "rustc 1.95.0", &[])?,
            inputs(top.path(), "rustc 1.96.0", &[])?,
            inputs(top.path(), "rustc 1.95.0", &level("3"))?,
            inputs(top.path(), "rustc 1.95.0", &level("s"))?,
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
        Ok(())
    }

    #[test]
    fn an_opt_level_given_is_the_one_of_the_profile() {
        let build = Build { folder: PathBuf::new(), opt_level: Some("z".to_owned()) };
        let levels: Vec<_> = build.profile().into_iter().filter(|(name, _)| name == OPT_LEVEL_VARIABLE).collect();
        assert_eq!(levels, [(OPT_LEVEL_VARIABLE.to_owned(), "z".to_owned())]);
    }

    #[test]
    fn the_entry_module_imports_what_lies_beside_it() -> Result<()> {
        let moved = |main: &str, entry: &str| beside(main, entry).ok();
        let found = Some("import * as rollcall from \"./index.js\";".to_owned());
        assert_eq!(moved("src/entry.mjs", "import * as rollcall from \"../build/index.js\";"), found);
        assert_eq!(moved("worker/src/entry.mjs", "import * as rollcall from \"../../build/index.js\";"), found);
        assert_eq!(moved("src/entry.mjs", "import * as rollcall from \"../../build/index.js\";"), None);
        let main = main_module(&fs::read_to_string(root().join("wrangler.toml"))?)?;
        beside(&main, &fs::read_to_string(root().join(&main))?).map(drop)
    }

    #[test]
    fn a_folder_with_something_else_is_left_alone() -> Result<()> {
        let top = tempfile::tempdir()?;
        assert!(refuse_foreign(&top.path().join("new")).is_ok());
        assert!(refuse_foreign(top.path()).is_ok());
        fs::write(top.path().join("thesis.txt"), "")?;
        assert!(refuse_foreign(top.path()).is_err());
        Ok(())
    }
}
