//! A stand-in of Cloudflare with one account, and runs of `cargo deploy` against it.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::runtime::Runtime;

/// Longest wait for the stand-in to start.
const START_LIMIT: Duration = Duration::from_mins(2);
const TOKEN: &str = "operator";
const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

pub struct StandIn {
    runtime: Runtime,
    pub url: String,
    /// Holds the account's stores, what `cargo deploy` keeps, and what wrangler keeps.
    folder: TempDir,
    agent: ureq::Agent,
}

/// What a run printed, and whether it succeeded.
#[derive(Debug)]
pub struct Run {
    pub succeeded: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn printed(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// The value behind a name of the printed credentials.
    pub fn credential(&self, name: &str) -> String {
        let found = self.stdout.lines().find_map(|line| line.strip_prefix(&format!("  {name} ")));
        found.unwrap_or_else(|| panic!("there is no {name}: {self:?}")).trim().to_owned()
    }
}

impl StandIn {
    pub fn start() -> Self {
        Self::start_with_subdomain("stand-in")
    }

    /// A new account has no subdomain of workers.dev, which is an empty one here.
    pub fn start_with_subdomain(subdomain: &str) -> Self {
        let tools = xtask::prepare().expect("the tools and the Worker");
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a folder");
        let script = xtask::root().join("xtask/tests/deploy/cloudflare.mjs");
        let mut command = tools.command(tools.binary("node"));
        command.arg(script).arg(json!({ "state": folder.path().join("stores"), "subdomain": subdomain }).to_string());
        let runtime = Runtime::start(&mut command).expect("the stand-in");
        let ready = |line: &str| Some(serde_json::from_str::<Value>(line).ok()?["ready"].as_str()?.to_owned());
        let url = runtime.wait_for(START_LIMIT, ready).expect("it serves");
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { runtime, url, folder, agent }
    }

    /// `cargo deploy`, to the end.
    pub fn deploy(&self, admin_token: Option<&str>) -> Run {
        self.deploy_with(admin_token, &json!({}))
    }

    /// `cargo deploy` for the first time, which verifies in the end what it has deployed.
    pub fn deploy_and_verify(&self) -> Run {
        self.begin_run(&json!({}));
        run(self.command().args(["--verify", "yes"]))
    }

    /// `cargo deploy` while calls fail: see `cloudflare.mjs`.
    pub fn deploy_with(&self, admin_token: Option<&str>, faults: &Value) -> Run {
        self.begin_run(faults);
        let mut command = self.command();
        if let Some(token) = admin_token {
            command.env("ROLLCALL_ADMIN_TOKEN", token);
        }
        run(&mut command)
    }

    /// `cargo deploy`, which the caller may change or kill.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(["deploy", "--url", &self.url, "--verify", "no", "--state"])
            .arg(self.kept())
            .env("CLOUDFLARE_API_BASE_URL", format!("{}/client/v4", self.url))
            .env("CLOUDFLARE_API_TOKEN", TOKEN)
            .env("CLOUDFLARE_ACCOUNT_ID", ACCOUNT)
            // Where wrangler keeps a login and its logs.
            .env("XDG_CONFIG_HOME", self.folder.path().join("config"))
            .env_remove("ROLLCALL_ADMIN_TOKEN")
            .stdin(Stdio::null());
        command
    }

    /// The folder of what is not shown yet.
    pub fn kept(&self) -> std::path::PathBuf {
        self.folder.path().join("kept")
    }

    /// Calls fail as the faults say from now on.
    pub fn begin_run(&self, faults: &Value) {
        let answer = self.agent.post(format!("{}/__run", self.url)).send_json(faults).expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
    }

    /// The calls of the run.
    pub fn calls(&self) -> Vec<String> {
        let answer = self.get("/__calls");
        let calls = answer["calls"].as_array().expect("the calls");
        calls.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The calls of the run that failed, and how.
    pub fn failed(&self) -> Vec<String> {
        let answer = self.get("/__calls");
        let failed = answer["failed"].as_array().expect("the failed calls");
        failed.iter().map(|call| format!("{} ({})", call["name"], call["kind"])).collect()
    }

    /// What the account holds.
    pub fn account(&self) -> Value {
        self.get("/__account")
    }

    /// Executes a statement in the account's first database.
    pub fn query(&self, sql: &str) {
        let id = self.account()["databases"][0]["uuid"].as_str().expect("a database").to_owned();
        let url = format!("{}/client/v4/accounts/{ACCOUNT}/d1/database/{id}/query", self.url);
        let request = self.agent.post(url).header("Authorization", format!("Bearer {TOKEN}"));
        let answer = request.send_json(json!({ "sql": sql })).expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
    }

    fn get(&self, path: &str) -> Value {
        let mut answer = self.agent.get(format!("{}{path}", self.url)).call().expect("an answer");
        answer.body_mut().read_json().expect("JSON")
    }

    /// Asks the deployment with a bearer token. Returns the status and the body.
    pub fn ask(&self, method: &str, path: &str, bearer: &str, body: Option<&Value>) -> (u16, Value) {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = request.header("Authorization", format!("Bearer {bearer}"));
        let request = request.header("Content-Type", "application/json");
        let request = request.body(body.map(Value::to_string).unwrap_or_default()).expect("a request");
        let mut answer = self.agent.run(request).expect("an answer");
        let text = answer.body_mut().read_to_string().expect("a body");
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.get("/__unknown"), json!([]), "calls that the stand-in does not know");
        }
        self.runtime.kill();
        let log = self.runtime.drain();
        if std::thread::panicking() && !log.is_empty() {
            eprintln!("the stand-in printed:\n{}", log.join("\n"));
        }
    }
}

pub fn run(command: &mut Command) -> Run {
    ended(command.output().expect("xtask"))
}

pub fn ended(output: Output) -> Run {
    Run {
        succeeded: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
