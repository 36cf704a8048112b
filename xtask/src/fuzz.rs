//! `cargo xtask fuzz`: runs Schemathesis (<https://schemathesis.io>) against a fresh server. Schemathesis sends
//! requests that the `OpenAPI` document allows and requests that it does not, and checks the answers against the
//! document.
//!
//! A round sends a number of cases of each operation. Only the end of a round tells how many cases it sent in all.
//! So rounds repeat, each with a seed of its own, until the requested number of cases is sent.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::dev::Served;
use crate::{Result, fresh, process, python, root, secrets, step};

/// Cases when no number is given.
pub const CASES_DEFAULT: u32 = 10_000;

/// A round sends, of each operation, the missing cases divided by this. It is about the number of operations, so
/// that one or two rounds suffice.
const SHARES: u32 = 40;
/// Most cases of each operation in one round. Schemathesis stops following links at the first request whose answer
/// differs from an earlier one (200 after a 201), so many short rounds follow more links.
const PER_OPERATION_MAX: u32 = 50;

/// Sends at least this many cases. The first seed is `ROLLCALL_SEED` where it is set.
pub fn run(cases: u32) -> Result<()> {
    let seed = seed()?;
    let schemathesis = python::ensure(&python::SCHEMATHESIS)?.join("schemathesis");
    let found = fresh::serve("fuzz", |served, state| {
        configure(served, state)?;
        Fuzzer { schemathesis: &schemathesis, served, state }.run(cases, seed)
    });
    found.map_err(|error| format!("{error}\nThe same again: ROLLCALL_SEED={seed} cargo xtask fuzz {cases}").into())
}

/// The seed of the first round. Each later round uses the next number.
fn seed() -> Result<u32> {
    match env::var("ROLLCALL_SEED") {
        Ok(text) => text.parse().map_err(|_| "ROLLCALL_SEED must be a number below 2^32".into()),
        Err(_) => secrets::random_bytes().map(|[a, b, c, d, ..]| u32::from_le_bytes([a, b, c, d])),
    }
}

/// Passes the credentials on.
fn configure(served: &Served, state: &Path) -> Result<()> {
    let Served { secrets, demo, session_token, .. } = served;
    let bearer = |scheme: &str, token: &str| format!("[auth.openapi.{scheme}]\nbearer = \"{token}\"\n");
    let api_key = |scheme: &str, key: &str| format!("[auth.openapi.{scheme}]\napi_key = \"{key}\"\n");
    let configuration = [
        // A round in which every request is refused tests nothing, so it fails.
        "[warnings]\nfail-on = [\"missing_auth\", \"rate_limited\", \"validation_mismatch\"]\n".to_owned(),
        bearer("apiKey", &demo.api_key),
        bearer("adminToken", &secrets.admin_token),
        session_token.as_deref().map_or(String::new(), |token| bearer("sessionToken", token)),
        api_key("serviceKey", &demo.service_key),
        // The signature covers the request, so the hooks compute it.
        api_key("svixSignature", "to be signed"),
    ];
    secrets::write_private(&state.join("schemathesis.toml"), &configuration.concat())
}

struct Fuzzer<'a> {
    schemathesis: &'a Path,
    served: &'a Served,
    /// The folder of its files.
    state: &'a Path,
}

impl Fuzzer<'_> {
    fn run(&self, cases: u32, seed: u32) -> Result<()> {
        let mut sent = 0;
        for round in 0.. {
            if sent >= cases {
                break;
            }
            let per_operation = ((cases - sent) / SHARES + 1).min(PER_OPERATION_MAX);
            sent += self.round(round, per_operation, seed.wrapping_add(round))?;
        }
        step(format!("{sent} cases, and no failure"));
        Ok(())
    }

    /// Sends one round and returns its number of cases. Any failed case is an error.
    fn round(&self, round: u32, per_operation: u32, seed: u32) -> Result<u32> {
        step(format!("Sending up to {per_operation} cases of each operation in each phase, seed {seed}"));
        let mut command = Command::new(self.schemathesis);
        command.arg("--config-file").arg(self.state.join("schemathesis.toml"));
        command.arg("run").arg(format!("{}/openapi.json", self.served.url)).args(["--checks", "all", "--no-color"]);
        command.args(["--max-examples", &per_operation.to_string(), "--seed", &seed.to_string()]);
        command.args(["--generation-database", "none", "--report", "json", "--report-json-path", "report.json"]);
        // Links are followed from the second round on: they lead to ids that the server makes, so a seed alone does
        // not repeat their results, and the short run in CI must be repeatable. The first two phases would send the
        // same cases again.
        command.args(["--phases", if round == 0 { "examples,coverage,fuzzing" } else { "fuzzing,stateful" }]);
        command.env("SCHEMATHESIS_HOOKS", root().join("tests/schemathesis/hooks.py"));
        command.env("ROLLCALL_API_KEY", &self.served.demo.api_key);
        command.env("ROLLCALL_ORGANIZATION", &self.served.demo.organization_id);
        command.env("ROLLCALL_WEBHOOK_SECRET", &self.served.secrets.webhook_secret);
        process::run(command.current_dir(self.state), "Schemathesis")?;
        generated(&self.state.join("report.json"))
    }
}

/// The number of cases in a round's own report.
fn generated(report: &Path) -> Result<u32> {
    let report: Value = serde_json::from_str(&fs::read_to_string(report)?)?;
    let generated = report.pointer("/test_cases/generated").and_then(Value::as_u64).and_then(|n| n.try_into().ok());
    generated.filter(|generated| *generated > 0).ok_or_else(|| "Schemathesis reports no cases".into())
}
