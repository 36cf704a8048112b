//! The contenders that a benchmark compares.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::tools::Tools;
use xtask::{Result, process, root, step};

/// One of the Workers that do the same work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contender {
    /// This project, as `wrangler deploy` would upload it.
    Rollcall,
    /// The same API in TypeScript, as a good engineer would write it: Hono, zod, D1.
    Twin,
    /// A Worker that only makes the platform calls that every implementation needs, and returns a constant answer.
    Floor,
    /// Another build of this project.
    Build { name: String, folder: PathBuf },
}

impl Contender {
    /// The contenders in this repository.
    pub const OWN: [Self; 3] = [Self::Rollcall, Self::Twin, Self::Floor];

    pub fn name(&self) -> &str {
        match self {
            Self::Rollcall => "rollcall",
            Self::Twin => "twin",
            Self::Floor => "floor",
            Self::Build { name, .. } => name,
        }
    }

    /// The contender of this repository with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::OWN.into_iter().find(|contender| contender.name() == name)
    }

    /// The build that a folder holds, named after the folder.
    pub fn of_folder(folder: &str) -> Result<Self> {
        let path = fs::canonicalize(folder).map_err(|error| format!("--against {folder}: {error}"))?;
        if !path.is_dir() {
            return Err(format!("--against {folder}: it is not a folder").into());
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("--against {folder}: its name is not UTF-8"))?.to_owned();
        Ok(Self::Build { name, folder: path })
    }

    /// Whether it is this project, in whatever build.
    pub const fn is_rollcall(&self) -> bool {
        matches!(self, Self::Rollcall | Self::Build { .. })
    }

    /// The compatibility flags that it needs.
    pub const fn flags(&self) -> &'static [&'static str] {
        match self {
            Self::Twin => &["nodejs_compat"],
            // As in `wrangler.toml`.
            Self::Rollcall | Self::Build { .. } => &["enable_request_signal"],
            Self::Floor => &[],
        }
    }
}

/// A deployable build.
#[derive(Debug, Clone)]
pub struct Artefact {
    pub contender: Contender,
    /// The main module.
    pub main: PathBuf,
    pub wasm: Option<PathBuf>,
    /// SQL files that create the tables of D1.
    pub schema: Vec<PathBuf>,
}

impl Artefact {
    /// Builds a contender. With function names the module is larger and a profile is readable. A build from a
    /// folder keeps the names that it has.
    pub fn build(tools: &Tools, contender: Contender, keep_names: bool) -> Result<Self> {
        let (main, wasm) = match &contender {
            Contender::Rollcall => rollcall(tools, keep_names)?,
            Contender::Build { name, folder } => bundled(tools, name, folder)?,
            Contender::Twin => (twin(tools, keep_names)?, None),
            Contender::Floor => (root().join("bench/floor/index.js"), None),
        };
        let schema = match contender {
            Contender::Rollcall | Contender::Build { .. } => sorted(&root().join("migrations"), ".sql")?,
            Contender::Twin | Contender::Floor => vec![root().join("bench/twin/schema.sql")],
        };
        Ok(Self { contender, main, wasm, schema })
    }
}

fn rollcall(tools: &Tools, keep_names: bool) -> Result<(PathBuf, Option<PathBuf>)> {
    let folder = root().join("target/bench/rollcall");
    remove(&folder)?;
    let mut command = tools.command(tools.binary("wrangler"));
    command.args(["deploy", "--dry-run", "--outdir"]).arg(&folder);
    process::run_quietly(&mut command, "bundle Rollcall as it is deployed")?;
    let wasm = only(&folder, ".wasm")?;
    if keep_names {
        xtask::wasm::with_names(tools, &wasm)?;
    }
    Ok((only(&folder, ".js")?, Some(wasm)))
}

fn bundled(tools: &Tools, name: &str, from: &Path) -> Result<(PathBuf, Option<PathBuf>)> {
    let folder = root().join("target/bench/builds").join(name);
    remove(&folder)?;
    let mut command = tools.command(tools.binary("node"));
    command.arg(root().join("bench/bundle.mjs")).args([from, &folder]);
    process::run_quietly(&mut command, &format!("bundle {}", from.display()))?;
    Ok((only(&folder, ".js")?, Some(only(&folder, ".wasm")?)))
}

fn twin(tools: &Tools, keep_names: bool) -> Result<PathBuf> {
    let bench = root().join("bench");
    if !bench.join("node_modules/hono").exists() {
        step("Installing what the twin is made of");
        process::run(tools.command("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&bench), "npm ci")?;
    }
    let main = root().join("target/bench/twin/index.js");
    let mut command = tools.command(tools.binary("esbuild"));
    command
        .arg(bench.join("twin/src/index.ts"))
        .args([
            "--bundle",
            if keep_names { "--keep-names" } else { "--minify" },
            "--format=esm",
            "--platform=neutral",
            "--main-fields=module,main",
        ])
        .args(["--external:cloudflare:*", "--external:node:*"])
        .arg(format!("--outfile={}", main.display()));
    process::run_quietly(&mut command, "bundle the twin")?;
    Ok(main)
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

fn sorted(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn only(folder: &Path, ending: &str) -> Result<PathBuf> {
    match sorted(folder, ending)?.as_slice() {
        [file] => Ok(file.clone()),
        files => Err(format!("{} holds {} files that end in {ending}", folder.display(), files.len()).into()),
    }
}
