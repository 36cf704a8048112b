//! `cargo dev`: everything from nothing to a server that answers.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::demo::{self, Admin, Demo};
use crate::issuer::{self, Issuer};
use crate::runtime::Runtime;
use crate::secrets::{self, Secrets};
use crate::tools::Tools;
use crate::webhooks::Sender;
use crate::{Result, interrupt, migrations, prepare, root, step};

const PORT_DEFAULT: u16 = 8787;
/// Longest wait for the server, which first builds the Worker if it changed.
const READY_LIMIT: Duration = Duration::from_mins(5);

#[derive(Debug, Clone)]
pub struct Options {
    /// 0 is any free port.
    pub port: u16,
    /// `.wrangler/state` of the project when it is not given.
    pub state: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: PORT_DEFAULT, state: None }
    }
}

/// Serves until it is told to stop.
pub fn run(options: &Options) -> Result<()> {
    let dev_json = root().join("target/dev.json");
    let _ = fs::remove_file(&dev_json);
    interrupt::watch()?;
    let tools = prepare()?;
    let secrets = secrets::ensure_all()?;
    let issuer = Issuer::ensure()?;
    let keys_url = issuer.as_ref().map(Issuer::publish).transpose()?;
    // A folder that is named is meant from where one stands; the default is the project's.
    let state = match &options.state {
        Some(state) => std::env::current_dir()?.join(state),
        None => root().join(".wrangler/state"),
    };
    fs::create_dir_all(&state)?;
    migrations::apply(&tools, &state)?;
    let (mut runtime, url) = serve(&tools, &state, options.port, keys_url.as_deref())?;
    let demo = demo::ensure(&Admin::new(&url, &secrets.admin_token), &state)?;
    if issuer.is_some() {
        demo::introduce(&Sender::new(&url, &secrets.webhook_secret))?;
    }
    let session_token = issuer.map(|issuer| issuer.sign_in(&url)).transpose()?;
    announce(&url, &secrets, &demo, session_token.as_deref());
    write_dev_json(&dev_json, &url, &secrets, &demo, session_token.as_deref())?;

    while !interrupt::happened() {
        if let Some(line) = runtime.next_line(Duration::from_millis(100)) {
            println!("{line}");
        } else if let Some(status) = runtime.ended()? {
            let _ = fs::remove_file(&dev_json);
            return Err(format!("the local runtime ended by itself ({status})").into());
        }
    }
    let _ = fs::remove_file(&dev_json);
    step("Stopping");
    runtime.stop();
    Ok(())
}

fn serve(tools: &Tools, state: &Path, port: u16, keys_url: Option<&str>) -> Result<(Runtime, String)> {
    let port = free_port(port)?;
    step(format!("Starting the local runtime on port {port}"));
    let mut command = tools.command(tools.binary("node"));
    command
        .arg(root().join("xtask/src/guard.mjs"))
        .arg(tools.binary("wrangler"))
        .args(["dev", "--ip", "127.0.0.1", "--port", &port.to_string(), "--inspector-port", "0"])
        .args(["--show-interactive-dev-session=false", "--persist-to"])
        .arg(state);
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

/// The port asked for, or a free one if it is taken or 0.
fn free_port(port: u16) -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", port)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
    Ok(listener.local_addr()?.port())
}

fn announce(url: &str, secrets: &Secrets, demo: &Demo, session_token: Option<&str>) {
    let session_token = session_token.unwrap_or("(from the issuer that .dev.vars names)");
    let Demo { organization_id, api_key, read_key, service_key, uniq_key } = demo;
    println!(
        "
Rollcall is serving at {url}

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

/// What programs that drive the server read. Written last, and in one step, so
/// that who sees it sees all of it.
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
