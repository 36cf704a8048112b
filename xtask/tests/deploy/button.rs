//! What the "Deploy to Cloudflare" button needs of the repository, and does with it.
//! <https://developers.cloudflare.com/workers/platform/deploy-buttons/>

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn read(path: &str) -> String {
    fs::read_to_string(xtask::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn package() -> Value {
    serde_json::from_str(&read("package.json")).expect("package.json")
}

/// The names and values that become secrets of a deployment.
fn secrets() -> Vec<(String, String)> {
    let text = read(".dev.vars.example");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    lines.map(|line| pair(line).unwrap_or_else(|| panic!("{line}"))).collect()
}

/// A value would be the same in every deployment, and known to everybody.
#[test]
fn it_asks_for_both_secrets_and_suggests_none() {
    let expected = ["KEY_SECRET", "ADMIN_TOKEN"].map(|name| (name.to_owned(), "\"\"".to_owned()));
    assert_eq!(secrets(), expected);
}

#[test]
fn it_explains_every_binding_and_secret() {
    let configuration: Value = toml::from_str(&read("wrangler.toml")).expect("wrangler.toml");
    let tables = ["kv_namespaces", "d1_databases"].map(|table| &configuration[table]);
    let objects = &configuration["durable_objects"]["bindings"];
    let bindings = tables.into_iter().chain([objects]).flat_map(|table| table.as_array().expect("a table"));
    let bindings =
        bindings.map(|table| table["binding"].as_str().or(table["name"].as_str()).expect("a name").to_owned());
    let variables = configuration["vars"].as_object().expect("variables").keys().cloned();
    let names: BTreeSet<String> =
        bindings.chain(variables).chain(secrets().into_iter().map(|(name, _)| name)).collect();
    let package = package();
    let described = package["cloudflare"]["bindings"].as_object().expect("descriptions");
    assert_eq!(names, described.keys().cloned().collect());
    assert!(described.values().all(|text| text["description"].as_str().is_some_and(|text| text.len() > 20)));
}

/// Programs that only say that they were run, in a folder for the search path.
fn programs(folder: &Path, names: &[&str]) {
    fs::create_dir_all(folder).expect("a folder");
    for name in names {
        let path = folder.join(name);
        fs::write(&path, "#!/bin/sh\necho \"$(basename \"$0\") $*\" >> \"$RAN\"\n").expect("a program");
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
    }
}

/// Runs the script where there are these programs, and those of Rust where rustup would install them. Returns what it
/// ran.
fn deploy(names: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, ran) = (folder.path().join("bin"), folder.path().join("ran"));
    programs(&path, names);
    programs(&folder.path().join("cargo/bin"), &["cargo", "rustup"]);
    for program in ["sh", "dirname", "basename"] {
        let which = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().expect("sh");
        let found = String::from_utf8(which.stdout).expect("a path");
        std::os::unix::fs::symlink(found.trim(), path.join(program)).expect("a link");
    }
    let script = package()["scripts"]["deploy"].as_str().expect("a script").to_owned();
    let mut command = Command::new(path.join("sh"));
    command.args(["-c", &script]).current_dir(xtask::root()).env_clear().env("PATH", &path).env("RAN", &ran);
    let output = command.env("CARGO_HOME", folder.path().join("cargo")).output().expect("the script");
    assert!(output.status.success(), "{output:?}");
    fs::read_to_string(ran).expect("what it ran").lines().map(str::to_owned).collect()
}

const DEPLOYS: [&str; 2] = ["npx wrangler d1 migrations apply LISTING --remote", "npx wrangler deploy"];

#[test]
fn it_migrates_and_deploys() {
    assert_eq!(deploy(&["npx", "cargo"]), DEPLOYS);
}

#[test]
fn it_installs_rust_where_there_is_none() {
    let ran = deploy(&["npx", "curl"]);
    assert!(ran[0].starts_with("curl ") && ran[0].ends_with("https://sh.rustup.rs"), "{ran:?}");
    assert_eq!(ran[1], "rustup toolchain install");
    assert_eq!(ran[2..], DEPLOYS);
}
