//! What there is for a document to name: files, and commands.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Folders whose files documents name. Others, such as `target`, are made by commands.
const FOLDERS: [&str; 12] =
    [".cargo", ".ci", ".github", "bench", "docs", "examples", "migrations", "src", "tests", "worker", "www", "xtask"];
/// Files of the top folder that documents name.
const EXTENSIONS: [&str; 2] = ["md", "toml"];
/// Subcommands that cargo has by itself, or that rustup brings.
const CARGO: [&str; 9] = ["bench", "build", "check", "clippy", "doc", "fmt", "install", "run", "test"];
const NPM: [&str; 2] = ["ci", "install"];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

pub struct Repository {
    /// Names of files and, with a slash behind them, of folders.
    names: BTreeSet<String>,
    /// Of `.cargo/config.toml`: the name, and what it runs.
    aliases: Vec<(String, String)>,
    /// The source of `cargo xtask`, whose usage lists its subcommands, and of `cargo bench-edge`.
    xtask: String,
    bench: String,
    /// Tools that npm installs.
    npm_tools: BTreeSet<String>,
    npm_scripts: BTreeSet<String>,
}

impl Repository {
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let config = text(".cargo/config.toml");
        let aliases = config.lines().filter_map(|line| line.split_once('='));
        let (mut npm_tools, mut npm_scripts) = (BTreeSet::new(), BTreeSet::new());
        for path in ["package.json", "bench/package.json"] {
            let package: Value = serde_json::from_str(&text(path)).expect("a package.json");
            let names = |member: &str| {
                let members = package[member].as_object();
                members.into_iter().flat_map(|members| members.keys().cloned()).collect::<Vec<_>>()
            };
            npm_tools.extend(["dependencies", "devDependencies"].into_iter().flat_map(names));
            npm_scripts.extend(names("scripts"));
        }
        let sources = fs::read_dir(root().join("bench/src")).expect("the benchmark's sources");
        let bench = sources.map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a source"));
        let mut all = BTreeSet::new();
        for folder in FOLDERS.into_iter().filter(|folder| root().join(folder).exists()) {
            all.insert(format!("{folder}/"));
            gather_names(&root().join(folder), &mut all);
        }
        Self {
            names: all,
            aliases: aliases.map(|(name, runs)| (name.trim().to_owned(), runs.trim().to_owned())).collect(),
            xtask: text("xtask/src/main.rs"),
            bench: bench.collect(),
            npm_tools,
            npm_scripts,
        }
    }

    /// The files and folders that a map names, wherever in the tree they are, and that are nowhere.
    pub fn missing_names(&self, map: &str) -> Vec<String> {
        let words = map.split_whitespace().map(|word| word.trim_end_matches([',', ';', ':']));
        let is_name =
            |word: &&str| word.ends_with('/') || [".rs", ".mjs", ".json"].iter().any(|end| word.ends_with(end));
        let last = |word: &str| {
            let start = word.trim_end_matches('/').rfind('/').map_or(0, |slash| slash + 1);
            word[start..].to_owned()
        };
        words.filter(is_name).map(last).filter(|name| !self.names.contains(name)).collect()
    }

    /// The commands in a line of a shell that do not exist.
    pub fn missing_commands(&self, line: &str) -> Vec<String> {
        let line = line.split(" #").next().unwrap_or_default();
        line.split("&&").filter_map(|command| self.missing_command(command)).collect()
    }

    fn missing_command(&self, command: &str) -> Option<String> {
        let words: Vec<&str> = command.split_whitespace().skip_while(|word| is_assignment(word)).collect();
        let (tool, rest) = words.split_first()?;
        // A word for any command, as in `cargo xtask …`.
        let (name, rest) = rest.split_first().filter(|(name, _)| **name != "…")?;
        let missing = |what: &str| Some(format!("{tool} {what}"));
        match *tool {
            "cargo" if CARGO.contains(name) => missing_test(rest),
            "cargo" if *name == "xtask" => match rest.first() {
                Some(task) if *task != "…" && !self.xtask.contains(&format!("cargo xtask {task}")) => {
                    missing(&format!("xtask {task}"))
                }
                _ => missing_option(&self.xtask, rest).and_then(|option| missing(&format!("xtask {option}"))),
            },
            "cargo" => match self.aliases.iter().find(|(alias, _)| alias == name) {
                None => missing(name),
                Some((_, runs)) => {
                    let source = if runs.contains("--package bench") { &self.bench } else { &self.xtask };
                    missing_option(source, rest).and_then(|option| missing(&format!("{name} {option}")))
                }
            },
            "npx" if !self.npm_tools.contains(*name) => missing(name),
            "npm" if *name == "run" => {
                let script = rest.first()?;
                if self.npm_scripts.contains(*script) { None } else { missing(&format!("run {script}")) }
            }
            "npm" if !NPM.contains(name) => missing(name),
            _ => None,
        }
    }
}

/// The path that a piece of code is, if it is one of the repository's and not there. Without an extension it may be a
/// folder or a module.
pub fn missing_path(folder: &Path, code: &str) -> Option<String> {
    if code.contains(|character: char| !character.is_ascii_alphanumeric() && !"/._-".contains(character)) {
        return None;
    }
    let path = Path::new(code);
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let is_path = match code.split_once('/') {
        Some((first, _)) => FOLDERS.contains(&first),
        None => EXTENSIONS.contains(&extension),
    };
    let is_there = |path: PathBuf| path.exists() || (extension.is_empty() && path.with_extension("rs").exists());
    (is_path && !is_there(root().join(path)) && !is_there(root().join(folder).join(path))).then(|| code.to_owned())
}

/// The paths and texts of all sources in a folder.
pub fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).expect("a folder of sources") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if root().join(&path).is_dir() {
            found.extend(sources(&path));
        } else {
            let text = fs::read_to_string(root().join(&path)).expect("a source");
            found.push((path, text));
        }
    }
    found
}

fn gather_names(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "node_modules" {
            names.insert(format!("{name}/"));
            gather_names(&path, names);
        } else {
            names.insert(name);
        }
    }
}

/// Whether a word sets a variable for the command after it.
fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
}

/// The first option that the source of a command does not know.
fn missing_option(source: &str, words: &[&str]) -> Option<String> {
    let options = words.iter().take_while(|word| **word != "--").filter(|word| word.starts_with("--"));
    options
        .map(|option| option.split('=').next().unwrap_or(option))
        .find(|option| !source.contains(*option))
        .map(str::to_owned)
}

/// `--test NAME`, if there is no such test.
fn missing_test(words: &[&str]) -> Option<String> {
    let place = words.iter().position(|word| *word == "--test")?;
    let name = words.get(place + 1)?;
    let is_there = ["tests", "xtask/tests"].iter().any(|tests| root().join(tests).join(name).join("main.rs").exists());
    (!is_there).then(|| format!("--test {name}"))
}
