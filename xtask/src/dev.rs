//! `cargo dev`: installs, builds and starts everything, until a server answers.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::admin::Admin;
use crate::demo::{self, Demo};
use crate::issuer::{self, Issuer};
use crate::runtime::Runtime;
use crate::secrets::{self, Secrets};
use crate::tools::Tools;
use crate::webhooks::Sender;
use crate::{Result, interrupt, migrations, prepare, root, step};

const PORT_DEFAULT: u16 = 8787;
/// The variable in which the Worker finds the key for the demo page.
const DEMO_API_KEY: &str = "DEMO_API_KEY";
/// The variable by which the Worker lets the demo page say how far away the objects are, and the most it may say, in
/// milliseconds.
const DEMO_DISTANCE: (&str, &str) = ("DEMO_DISTANCE_MS_MAX", "1000");
/// Longest wait for the server, which first builds the Worker if it changed.
const READY_LIMIT: Duration = Duration::from_mins(5);

#[derive(Debug, Clone)]
pub struct Options {
    /// 0 means any free port.
    pub port: u16,
    /// `None` means `.wrangler/state` of the project.
    pub state: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: PORT_DEFAULT, state: None }
    }
}

/// The address and the credentials of a running server.
#[derive(Debug)]
pub struct Served {
    pub url: String,
    pub secrets: Secrets,
    pub demo: Demo,
    /// The demo person's session token. `None` when `.dev.vars` names another issuer.
    pub session_token: Option<String>,
}

/// Serves until the developer interrupts it.
pub fn run(options: &Options) -> Result<()> {
    let dev_json = root().join("target/dev.json");
    let _ = fs::remove_file(&dev_json);
    let (Served { url, secrets, demo, session_token }, mut runtime) = start(options)?;
    announce(&url, &secrets, &demo, session_token.as_deref());
    write_dev_json(&dev_json, &url, &secrets, &demo, session_token.as_deref())?;

    while !interrupt::happened() {
        if let Some(line) = runtime.next_line(Duration::from_millis(100)) {
            println!("{line}");
        } else if let Some(status) = runtime.ended()? {
            let _ = fs::remove_file(&dev_json);
            return Err(format!(
                "the local runtime ended by itself ({status}). The lines above say why; run the same command again."
            )
            .into());
        }
    }
    let _ = fs::remove_file(&dev_json);
    step("Stopping");
    runtime.stop();
    Ok(())
}

/// Starts a server with a demo organization, and gives the demo page that organization's key. The server runs until
/// the caller drops the runtime.
pub fn start(options: &Options) -> Result<(Served, Runtime)> {
    let tools = prepare()?;
    let secrets = secrets::ensure_all()?;
    let issuer = Issuer::ensure()?;
    let keys_url = issuer.as_ref().map(Issuer::publish).transpose()?;
    let keys_url = keys_url.as_deref();
    // A folder on the command line is relative to the current folder; the default is the project's.
    let state = match &options.state {
        Some(state) => std::env::current_dir()?.join(state),
        None => root().join(".wrangler/state"),
    };
    fs::create_dir_all(&state)?;
    migrations::apply(&tools, &state)?;
    if !variables(&state).is_file() {
        // Node reads such files too, and fails when one is missing.
        secrets::write_private(&variables(&state), "")?;
    }
    let port = free_port(options.port)?;
    let (mut runtime, mut url) = serve(&tools, &state, port, keys_url)?;
    let demo = demo::ensure(&Admin::new(&url, &secrets.admin_token), &state).map_err(|error| {
        let state = state.display();
        format!(
            "no demo organization: {error}\nIf this state is of another version or of other secrets, begin with an \
             empty folder (--state), or remove {state}."
        )
    })?;
    if options.state.is_none() {
        // `npx wrangler dev` reads them here; it uses the default state too.
        for (name, value) in variables_of(&demo) {
            secrets::set(name, value)?;
        }
    }
    // The first server makes the key, so it must start again to read it.
    if hand_over(&state, &demo)? {
        step("Starting it again, with the key for the demo page");
        runtime.stop();
        (runtime, url) = serve(&tools, &state, port, keys_url)?;
    }
    if issuer.is_some() {
        demo::introduce(&Sender::new(&url, &secrets.webhook_secret))?;
    }
    let session_token = issuer.map(|issuer| issuer.sign_in(&url)).transpose()?;
    Ok((Served { url, secrets, demo, session_token }, runtime))
}

/// What the demo page needs, and no deployment has.
fn variables_of(demo: &Demo) -> [(&'static str, &str); 2] {
    [(DEMO_API_KEY, &demo.api_key), DEMO_DISTANCE]
}

/// The file with the variables of this state, which wrangler reads after the project's own.
fn variables(state: &Path) -> PathBuf {
    state.join("demo.vars")
}

/// Writes the demo page's variables where the server finds them at its start. Returns whether any changed.
fn hand_over(state: &Path, demo: &Demo) -> Result<bool> {
    let text: String = variables_of(demo).map(|(name, value)| format!("{name}=\"{value}\"\n")).concat();
    if fs::read_to_string(variables(state)).is_ok_and(|held| held == text) {
        return Ok(false);
    }
    secrets::write_private(&variables(state), &text)?;
    Ok(true)
}

fn serve(tools: &Tools, state: &Path, port: u16, keys_url: Option<&str>) -> Result<(Runtime, String)> {
    step(format!("Starting the local runtime on port {port}"));
    let mut command = tools.command(tools.binary("node"));
    command
        .arg(root().join("xtask/src/guard.mjs"))
        .arg(tools.binary("wrangler"))
        .args(["dev", "--ip", "127.0.0.1", "--port", &port.to_string(), "--inspector-port", "0"])
        .args(["--show-interactive-dev-session=false", "--persist-to"])
        .arg(state)
        .arg("--env-file")
        .arg(secrets::file())
        .arg("--env-file")
        .arg(variables(state));
    for variable in keys_url.into_iter().flat_map(issuer::variables) {
        command.args(["--var", &variable]);
    }
    let runtime = Runtime::start(&mut command)?;
    let url = runtime.wait_for(READY_LIMIT, |line| {
        let (_, url) = line.split_once("Ready on ")?;
        Some(url.trim().to_owned())
    })?;
    Ok((runtime, url))
}

/// The requested port, or a free one if it is taken or 0.
fn free_port(port: u16) -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", port)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(listener.local_addr()?.port())
}

fn announce(url: &str, secrets: &Secrets, demo: &Demo, session_token: Option<&str>) {
    let session_token = session_token.unwrap_or("(from the issuer that .dev.vars names)");
    let Demo { organization_id, api_key, read_key, service_key, uniq_key } = demo;
    println!(
        "
Rollcall is serving at {url}, the demo page too, signed in

  organization      {organization_id}
  admin token       {}
  API key           {api_key}
  read-only key     {read_key}
  service key       {service_key}
  test-mode key     {uniq_key}
  session token     {session_token}

Register a user (a second time it is 200), list the users, and ask who is signed in:

  curl -i {url}/v1/end-users -H 'Authorization: Bearer {api_key}' -H 'Content-Type: application/json' -d '{{\"user_id\":\"ada\",\"metadata\":{{\"plan\":\"pro\"}}}}'
  curl -i {url}/v1/end-users -H 'Authorization: Bearer {api_key}'
  curl -i {url}/api/v1/me -H 'Authorization: Bearer {session_token}'

Ctrl-C stops it.
",
        secrets.admin_token
    );
}

/// Writes the file that programs read to drive the server. It is written last and in one step, so a reader never
/// sees part of it.
fn write_dev_json(path: &Path, url: &str, secrets: &Secrets, demo: &Demo, session_token: Option<&str>) -> Result<()> {
    let document = json!({
        "url": url,
        "pid": std::process::id(),
        "organization_id": demo.organization_id,
        "admin_token": secrets.admin_token,
        "api_key": demo.api_key,
        "read_key": demo.read_key,
        "service_key": demo.service_key,
        "session_token": session_token,
        "uniq_key": demo.uniq_key,
    });
    let written = path.with_extension("json.new");
    secrets::write_private(&written, &serde_json::to_string_pretty(&document)?)?;
    Ok(fs::rename(written, path)?)
}
