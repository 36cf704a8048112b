//! `cargo xtask fuzz`: Schemathesis (<https://schemathesis.io>) against a fresh server: whatever
//! the `OpenAPI` document allows, and what it does not, is sent and the answers are held against it.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::demo::Admin;
use crate::dev::{self, Options, Served};
use crate::{Result, interrupt, process, root, secrets, step, tools};

/// Cases of one operation in each phase when no number is given: some thousands in all.
pub const EXAMPLES_DEFAULT: u32 = 100;

/// At most so many cases of each operation in each phase.
pub fn run(examples: u32) -> Result<()> {
    interrupt::watch()?;
    let schemathesis = tools::ensure_schemathesis()?;
    let state = env::temp_dir().join(format!("rollcall-fuzz-{}", std::process::id()));
    let found = (|| {
        let (served, mut runtime) = dev::start(&Options { port: 0, state: Some(state.clone()) })?;
        let found = against(&served, &schemathesis, &state, examples);
        runtime.stop();
        found
    })();
    let _ = fs::remove_dir_all(state);
    found
}

fn against(served: &Served, schemathesis: &Path, state: &Path, examples: u32) -> Result<()> {
    let Served { url, secrets, demo, session_token } = served;
    // A bucket that is empty would hide everything behind it.
    let limits = json!({
        "requests_per_second": 1_000_000, "burst": 10_000_000, "turns_per_period": 1_000_000_000,
        "active_relationships": 1_000_000_000,
    });
    Admin::new(url, &secrets.admin_token).change_organization(&demo.organization_id, &json!({ "limits": limits }))?;
    let bearer = |scheme: &str, token: &str| format!("[auth.openapi.{scheme}]\nbearer = \"{token}\"\n");
    let configuration = [
        bearer("apiKey", &demo.api_key),
        bearer("adminToken", &secrets.admin_token),
        session_token.as_deref().map_or(String::new(), |token| bearer("sessionToken", token)),
        format!("[auth.openapi.serviceKey]\napi_key = \"{}\"\n", demo.service_key),
    ];
    let file = state.join("schemathesis.toml");
    secrets::write_private(&file, &configuration.concat())?;
    step(format!("Sending up to {examples} cases of each operation in each phase"));
    let mut command = Command::new(schemathesis);
    command.arg("--config-file").arg(&file).arg("run").arg(format!("{url}/openapi.json"));
    command.args(["--checks", "all", "--max-examples", &examples.to_string(), "--no-color"]);
    command.env("SCHEMATHESIS_HOOKS", root().join("tests/schemathesis/hooks.py")).current_dir(state);
    process::run(&mut command, "Schemathesis")
}
