//! Who is compared.

use std::path::{Path, PathBuf};

use xtask::tools::Tools;
use xtask::{Result, process, root, step};

/// One of three ways to do the same work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// This project, as `wrangler deploy` would upload it.
    Rollcall,
    /// What a good TypeScript engineer would write: Hono, zod, D1.
    Twin,
    /// No more than the calls that nobody can do without, and a constant answer.
    Floor,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Rollcall, Self::Twin, Self::Floor];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Rollcall => "rollcall",
            Self::Twin => "twin",
            Self::Floor => "floor",
        }
    }

    /// What it has the runtime switch on.
    pub const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Twin => &["nodejs_compat"],
            Self::Rollcall | Self::Floor => &[],
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What is deployed.
#[derive(Debug, Clone)]
pub struct Artefact {
    pub kind: Kind,
    /// The main module.
    pub main: PathBuf,
    pub wasm: Option<PathBuf>,
    /// Makes the tables of D1.
    pub schema: Vec<PathBuf>,
}

impl Artefact {
    /// Builds what is measured. Names of functions make it larger, and a profile legible.
    pub fn build(tools: &Tools, kind: Kind, keep_names: bool) -> Result<Self> {
        let folder = root().join("bench").join(kind.name());
        // The floor has the twin's tables.
        let schema = vec![root().join("bench/twin/schema.sql")];
        let artefact = |main| Self { kind, main, wasm: None, schema };
        match kind {
            Kind::Rollcall => rollcall(tools, keep_names),
            Kind::Twin => twin(tools, &folder, keep_names).map(artefact),
            Kind::Floor => Ok(artefact(folder.join("index.js"))),
        }
    }
}

fn rollcall(tools: &Tools, keep_names: bool) -> Result<Artefact> {
    let folder = root().join("target/bench/rollcall");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let mut command = tools.command(tools.binary("wrangler"));
    command.args(["deploy", "--dry-run", "--outdir"]).arg(&folder);
    process::run_quietly(&mut command, "bundle Rollcall as it is deployed")?;
    let wasm = only(&folder, ".wasm")?;
    if keep_names {
        xtask::wasm::with_names(tools, &wasm)?;
    }
    Ok(Artefact {
        kind: Kind::Rollcall,
        main: only(&folder, ".js")?,
        wasm: Some(wasm),
        schema: sorted(&root().join("migrations"), ".sql")?,
    })
}

fn twin(tools: &Tools, folder: &Path, keep_names: bool) -> Result<PathBuf> {
    let bench = root().join("bench");
    if !bench.join("node_modules/hono").exists() {
        step("Installing what the twin is made of");
        process::run(tools.command("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&bench), "npm ci")?;
    }
    let main = root().join("target/bench/twin/index.js");
    let mut command = tools.command(tools.binary("esbuild"));
    command
        .arg(folder.join("src/index.ts"))
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

fn sorted(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
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
