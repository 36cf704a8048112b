//! A local runtime with the built Worker, and the operator's requests to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use serde_json::{Value, json};
use xtask::runtime::Runtime;
use xtask::tools::Tools;
use xtask::{migrations, secrets};

use crate::client::{Client, Response};
use crate::pages::PageCount;
use crate::wait;

/// A variable of this name is replaced by the binding of Workers AI, and the binding's requests go to the
/// variable's URL.
pub const AI: &str = "AI";

/// The differences between a server and the shared one.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Variables of the Worker, besides its secrets.
    pub vars: Vec<(&'static str, String)>,
    /// The module to serve instead of the shipped entry.
    pub entry: Option<&'static str>,
}

/// What a server holds of the Worker.
#[derive(Debug, Clone, Copy)]
struct Builds {
    /// How many isolates of the edge there are.
    edges: usize,
    /// Whether the former build is there too: see [`crate::upgrade`].
    has_former: bool,
}

pub struct Server {
    url: String,
    /// Where the other isolates of the edge serve.
    others: Vec<String>,
    admin_token: String,
    key_secret: String,
    state: PathBuf,
    options: Options,
    builds: Builds,
    runtime: Mutex<Runtime>,
    /// Log lines that have arrived and were not read yet.
    log: Mutex<Vec<String>>,
    refusals_are_expected: AtomicBool,
}

/// A folder for state, removed after the test. It is in memory where the machine has such a folder, because a local
/// disk answers a hundred times slower than a data centre's.
fn new_state() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let state = parent.join(format!("rollcall-test-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&state).expect("a folder for the state");
    state
}

pub fn tools() -> &'static Tools {
    static TOOLS: OnceLock<Tools> = OnceLock::new();
    TOOLS.get_or_init(|| {
        remove_abandoned_states();
        xtask::prepare().expect("the tools and the Worker")
    })
}

/// Removes the states of earlier runs. The shared server lives as long as its process, so the next run removes its
/// state.
fn remove_abandoned_states() {
    let parents = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
    for entry in parents.iter().filter_map(|parent| parent.read_dir().ok()).flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix("rollcall-test-").and_then(|rest| rest.split('-').next());
        let alive = |process: &str| Path::new("/proc").join(process).is_dir() || !Path::new("/proc/self").exists();
        if process.is_some_and(|process| !alive(process)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Copies the state that the migrations made, which is the same for every server.
fn copy_migrated_state(to: &Path) {
    static MIGRATED: OnceLock<PathBuf> = OnceLock::new();
    let from = MIGRATED.get_or_init(|| {
        let state = new_state();
        migrations::apply(tools(), &state).expect("the migrations");
        state
    });
    copy_folder(from, to);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in from.read_dir().expect("a folder") {
        let entry = entry.expect("an entry");
        let copy = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &copy);
        } else {
            std::fs::copy(entry.path(), copy).expect("a copy");
        }
    }
}

/// The server that tests share. Its public bucket is too large to matter.
pub fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    wait::limit_test();
    SERVER.get_or_init(|| Server::start(Options { vars: roomy(), entry: None }))
}

/// Variables that make the public bucket too large to matter.
pub fn roomy() -> Vec<(&'static str, String)> {
    vec![
        ("PUBLIC_REQUESTS_PER_SECOND", "1000000".to_owned()),
        ("PUBLIC_BURST", "1000000".to_owned()),
        ("ALLOWED_ORIGINS", "https://app.example".to_owned()),
    ]
}

impl Server {
    pub fn start(options: Options) -> Self {
        Self::start_with_edges(options, 1)
    }

    /// Starts a server with several isolates of the edge, over the same stores and objects.
    pub fn start_with_edges(options: Options, edges: usize) -> Self {
        Self::start_builds(options, Builds { edges, has_former: false })
    }

    /// Starts a server that holds the former build too, over a database without tables.
    pub fn start_with_former(options: Options) -> Self {
        Self::start_builds(options, Builds { edges: 1, has_former: true })
    }

    fn start_builds(options: Options, builds: Builds) -> Self {
        wait::limit_test();
        let state = new_state();
        let key_secret = secrets::random_secret().expect("entropy");
        let admin_token = secrets::random_secret().expect("entropy");
        if !builds.has_former {
            copy_migrated_state(&state);
        }
        let (runtime, url, others) = start_runtime(&state, &options, builds, &key_secret, &admin_token);
        let (runtime, log) = (Mutex::new(runtime), Mutex::default());
        let refusals_are_expected = AtomicBool::default();
        Self { url, others, admin_token, key_secret, state, options, builds, runtime, log, refusals_are_expected }
    }

    /// Kills the runtime with everything in it and starts it again on the same state.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.restart();
    }

    pub fn kill(&self) {
        self.runtime().kill();
    }

    pub fn restart(&mut self) {
        let Self { state, options, builds, key_secret, admin_token, .. } = &*self;
        let (runtime, url, others) = start_runtime(state, options, *builds, key_secret, admin_token);
        *self.runtime() = runtime;
        (self.url, self.others) = (url, others);
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// Where the other isolates of the edge serve.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// The folder in which the runtime keeps its stores.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Says that the front may refuse calls to stores. The Worker repeats them.
    pub fn expect_refusals(&self) {
        self.refusals_are_expected.store(true, Ordering::Relaxed);
    }

    /// The calls to stores that the front refused because the platform would. None when the runtime has ended.
    fn refused(&self) -> Vec<Value> {
        let answer = self.anonymous().try_send("GET", "/__front", None);
        answer.map_or_else(|_| Vec::new(), |answer| answer.json()["refused"].as_array().cloned().unwrap_or_default())
    }

    /// Works after a failed assertion too, so that the runtime ends.
    fn runtime(&self) -> MutexGuard<'_, Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Structured log lines that have arrived since the last call.
    pub fn log_lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.log())
    }

    /// Waits for the log line of a request. Keeps the lines of other requests, which may come before or after it.
    pub fn log_line(&self, request_id: &str) -> Value {
        let take = || {
            let mut log = self.log();
            let place = log.iter().rposition(|line| line.contains(request_id));
            place.map(|place| log.remove(place)).ok_or_else(|| log.last().cloned())
        };
        let line = wait::until(&format!("the log line of {request_id}"), take, Result::is_ok);
        serde_json::from_str(&line.expect("it has come")).expect("a JSON log line")
    }

    /// The log with all lines so far.
    fn log(&self) -> MutexGuard<'_, Vec<String>> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend(self.runtime().drain());
        log
    }

    /// A client without a credential.
    pub fn anonymous(&self) -> Client {
        Client::new(&self.url, None)
    }

    pub fn admin(&self) -> Client {
        Client::new(&self.url, Some(&self.admin_token))
    }

    pub fn with_key(&self, key: &str) -> Client {
        Client::new(&self.url, Some(key))
    }

    /// Creates an organization with a bucket too large to matter.
    pub fn organization(&self) -> Organization {
        self.organization_with(&json!({ "requests_per_second": 100_000, "burst": 1_000_000 }))
    }

    pub fn organization_with(&self, limits: &Value) -> Organization {
        let response =
            self.admin().post("/admin/v1/organizations", &json!({ "name": "Test & Sons", "limits": limits }));
        assert_eq!(response.status, 201, "{response:?}");
        let id = response.json()["id"].as_str().expect("an id").to_owned();
        Organization { id }
    }

    /// Creates an organization with small quotas and a bucket too large to matter.
    pub fn organization_with_quota(&self, turns: u64, relationships: u64) -> Organization {
        self.organization_with(&json!({
            "requests_per_second": 100_000, "burst": 1_000_000,
            "turns_per_period": turns, "active_relationships": relationships,
        }))
    }

    /// Issues a key and returns the whole answer.
    pub fn issue(&self, organization: &Organization, request: &Value) -> Value {
        let response = self.admin().post(&format!("/admin/v1/organizations/{}/keys", organization.id), request);
        assert_eq!(response.status, 201, "{response:?}");
        response.json()
    }

    /// A client with a fresh API key.
    pub fn client(&self, organization: &Organization, mode: &str, scope: &str) -> Client {
        let request = json!({ "kind": "api", "mode": mode, "scope": scope, "name": "test" });
        self.with_key(self.issue(organization, &request)["key"].as_str().expect("a key"))
    }

    /// A client of dialect 3 with a fresh service key. It sends an empty `X-API-Key`, as that dialect's clients do.
    pub fn service(&self, organization: &Organization, mode: &str, scope: &str) -> Client {
        let request = json!({ "kind": "service", "mode": mode, "scope": scope, "name": "test" });
        self.with_service_key(self.issue(organization, &request)["key"].as_str().expect("a key"))
    }

    pub fn with_service_key(&self, key: &str) -> Client {
        self.anonymous().with_header("X-Assistant-Service-Key", key).with_header("X-API-Key", "")
    }

    /// A client with full rights, of a new organization.
    pub fn new_client(&self) -> Client {
        self.client(&self.organization(), "live", "read_write")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The Worker takes a refusal for a failure of the store, and tries again: no other assertion would see it.
        let is_silent = thread::panicking() || self.refusals_are_expected.load(Ordering::Relaxed);
        let refused = if is_silent { Vec::new() } else { self.refused() };
        self.kill();
        let _ = std::fs::remove_dir_all(&self.state);
        assert!(refused.is_empty(), "the front refused calls to stores: {refused:#?}");
    }
}

fn start_runtime(
    state: &Path,
    options: &Options,
    builds: Builds,
    key_secret: &str,
    admin_token: &str,
) -> (Runtime, String, Vec<String>) {
    let mut vars = serde_json::Map::new();
    vars.insert("KEY_SECRET".to_owned(), key_secret.into());
    vars.insert("ADMIN_TOKEN".to_owned(), admin_token.into());
    vars.extend(options.vars.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())));
    let ai = vars.remove(AI);
    let Builds { edges, has_former } = builds;
    let configuration = json!({
        "state": state, "vars": vars, "entry": options.entry, "ai": ai, "edges": edges, "hasFormer": has_former,
    });
    let mut command = tools().command(tools().binary("node"));
    command.arg(xtask::root().join("tests/runtime/runtime.mjs")).arg(configuration.to_string());
    // Node compiles the scripts once for all servers.
    command.env("NODE_COMPILE_CACHE", xtask::root().join("target/node-compile-cache"));
    let runtime = Runtime::start(&mut command).expect("the local runtime");
    let (url, others) = runtime
        .wait_for(wait::LIMIT, |line| {
            let ready: Value = serde_json::from_str(line).ok()?;
            let text = |url: &Value| url.as_str().map(str::to_owned);
            Some((text(ready.get("ready")?)?, ready.get("others")?.as_array()?.iter().filter_map(text).collect()))
        })
        .expect("the local runtime");
    (runtime, url, others)
}

#[derive(Debug, Clone)]
pub struct Organization {
    pub id: String,
}

impl Organization {
    pub fn path(&self) -> String {
        format!("/admin/v1/organizations/{}", self.id)
    }
}

/// Asserts a status and returns the body.
pub fn expect(status: u16, response: Response) -> Value {
    assert_eq!(response.status, status, "{response:?}");
    response.json()
}

/// The ids of all users.
pub fn list(client: &Client) -> BTreeSet<String> {
    users(client).into_keys().collect()
}

/// All users by id, read page by page.
pub fn users(client: &Client) -> BTreeMap<String, Value> {
    let mut listed = BTreeMap::new();
    let (mut cursor, mut pages) = (String::new(), PageCount::default());
    loop {
        pages.add();
        let page = expect(200, client.get(&format!("/v1/end-users?limit=200{cursor}")));
        for user in page["data"].as_array().expect("data") {
            let id = user["user_id"].as_str().expect("an id").to_owned();
            assert!(listed.insert(id, user.clone()).is_none(), "listed twice: {user}");
        }
        let Some(next) = page["next_cursor"].as_str() else { return listed };
        cursor = format!("&cursor={next}");
    }
}
