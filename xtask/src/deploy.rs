//! `cargo deploy`: from a logged-in wrangler to a serving deployment.
//!
//! Invariants:
//!
//! - Each step finds what an earlier run made, so a run may end anywhere and the next one goes on.
//! - The database is migrated before the build that needs it is deployed.
//! - A secret is printed once, and only if it was made here: see [`credentials`].

mod account;
mod advice;
mod configuration;
mod credentials;
mod organization;

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::admin::Admin;
use crate::served::{ADMIN_TOKEN as TOKEN_VARIABLE, checked_url, operators_token};
use crate::{Result, interrupt, lock, prepare, root, step, tools, verify};
use account::Account;
use advice::again;
use configuration::Configuration;
use credentials::{Credentials, KEY_SECRET};

/// Longest wait until a deployment serves. The name and the certificate of a new one take a few minutes.
const READY_LIMIT: Duration = Duration::from_mins(10);
const READY_PAUSE: Duration = Duration::from_secs(1);
const READY_ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Interval between reports that a deployment does not serve yet.
const READY_REPORT: Duration = Duration::from_secs(20);
const LOST: &str = "If it is lost, set a new one: npx wrangler secret put ADMIN_TOKEN";

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the deployment serves, if not where wrangler says.
    pub url: Option<String>,
    /// Where the credentials are kept until they are shown. `None` means `.deploy` of the project.
    pub state: Option<PathBuf>,
    /// Whether the deployment is not held against the contract in the end.
    pub skips_verification: bool,
}

/// Deploys, and prints where it serves. The first time, prints the credentials too.
pub fn run(options: &Options) -> Result<()> {
    let url = options.url.as_deref().map(checked_url).transpose()?;
    let configuration = Configuration::read()?;
    if url.is_none() && !configuration.is_on_workers_dev() {
        return Err("wrangler.toml serves nothing on workers.dev, so say where: cargo deploy --url https://…".into());
    }
    let folder = match &options.state {
        Some(state) => env::current_dir()?.join(state),
        None => root().join(".deploy"),
    };
    fs::create_dir_all(&folder)?;
    let _lock = lock::wait(&folder.join("lock"), "deploying")?;
    let tools = tools::ensure()?;
    let account = Account { tools: &tools, configuration: &configuration, folder: &folder };

    step(format!("Looking for the Worker {}", configuration.name));
    let held = account.secrets()?;
    let credentials = Credentials::ensure(&folder, &configuration.name, &held)?;
    let made_here = credentials.as_ref().and_then(Credentials::admin_token);
    let admin_token = made_here.map_or_else(given_token, |token| Ok(token.to_owned()))?;

    prepare()?;
    let is_new = !held.iter().any(|name| name == KEY_SECRET);
    // The Worker of an earlier deployment keeps its namespace.
    let namespace_id = if is_new { account.ensure_stores()? } else { None };
    account.migrate()?;
    let secrets = credentials.iter().flat_map(Credentials::secrets);
    let new: Vec<_> = secrets.filter(|(name, _)| !held.iter().any(|held| held == name)).collect();
    let targets = account.deploy(namespace_id.as_deref(), &new)?;
    let url = url.map_or_else(|| on_workers_dev(&targets), Ok)?;

    wait_until_ready(&url)?;
    let admin = Admin::new(&url, &admin_token);
    check_token(&admin, credentials.as_ref())?;
    let credentials = match credentials {
        Some(mut credentials) if credentials.are_of_a_first_deployment() => {
            organization::ensure(&admin, &mut credentials).map_err(again)?;
            Some(credentials)
        }
        credentials => credentials,
    };
    // A fault fails the command only when the credentials are shown: they are shown once.
    let verified = if options.skips_verification { Ok(()) } else { verify::run(&url, &admin_token) };
    match credentials {
        Some(credentials) => {
            announce(&url, &credentials)?;
            credentials.forget()?;
        }
        None => writeln!(io::stdout(), "\nRollcall is serving at {url}")?,
    }
    verified
}

fn on_workers_dev(targets: &[String]) -> Result<String> {
    let found = targets.iter().find(|target| target.starts_with("https://") && target.ends_with(".workers.dev"));
    let targets = targets.join(", ");
    found.cloned().ok_or_else(|| {
        format!(
            "the Worker is deployed, but wrangler names no address on workers.dev, only: {targets}\nSay where it \
             serves: cargo deploy --url https://…"
        )
        .into()
    })
}

/// The operator's token of a deployment that was made before, which cannot be read back.
fn given_token() -> Result<String> {
    operators_token().map_err(|error| format!("{error}. {LOST}").into())
}

/// Waits until the deployment reaches all that it is built on.
fn wait_until_ready(url: &str) -> Result<()> {
    step(format!("Waiting for {url}/ready"));
    let configuration = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = configuration.timeout_global(Some(READY_ANSWER_LIMIT)).build().into();
    let start = Instant::now();
    let mut next_report = READY_REPORT;
    loop {
        let problem = match agent.get(format!("{url}/ready")).call() {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(mut answer) => {
                let body = answer.body_mut().read_to_string().unwrap_or_default();
                format!("it answers {}: {}", answer.status(), body.chars().take(500).collect::<String>())
            }
            Err(error) => error.to_string(),
        };
        if interrupt::happened() {
            return Err(again("interrupted".into()));
        }
        if start.elapsed() > READY_LIMIT {
            let text =
                format!("{url} is deployed and does not serve: {problem}\nIf it serves elsewhere, say where: --url");
            return Err(again(text.into()));
        }
        if start.elapsed() > next_report {
            step(format!("Still waiting: {problem}"));
            next_report += READY_REPORT;
        }
        thread::sleep(READY_PAUSE);
    }
}

fn check_token(admin: &Admin, credentials: Option<&Credentials>) -> Result<()> {
    if admin.accepts_token().map_err(again)? {
        return Ok(());
    }
    Err(match credentials.filter(|credentials| credentials.admin_token().is_some()).map(Credentials::path) {
        Some(path) => format!(
            "the deployment has another ADMIN_TOKEN than {}. It was given one elsewhere: move the file away, and set \
             {TOKEN_VARIABLE}. {LOST}",
            path.display()
        ),
        None => format!("the new version serves, but it has another ADMIN_TOKEN than {TOKEN_VARIABLE}. {LOST}"),
    }
    .into())
}

fn announce(url: &str, credentials: &Credentials) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "\nRollcall is serving at {url}\n\nKeep these, they are shown only now:\n")?;
    let secrets = credentials.secrets();
    let keys = credentials.keys().iter().map(|key| (key.name.as_str(), key.key.as_str()));
    for (name, value) in secrets.chain(keys) {
        writeln!(output, "  {name:<14} {value}")?;
    }
    if !credentials.keys().is_empty() {
        writeln!(
            output,
            "\nRegister a user, with the API key in place of $KEY:\n\n  curl -i {url}/v1/end-users -H \"Authorization: \
             Bearer $KEY\" -H 'Content-Type: application/json' -d '{{\"user_id\":\"ada\"}}'"
        )?;
    }
    Ok(output.flush()?)
}
