//! The server, the browser, and an API client beside the page.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};
use xtask::Result;
use xtask::admin::Admin;
use xtask::browser::{Browser, Page};
use xtask::dev::{self, Served};
use xtask::runtime::Runtime;
use xtask::tools;

use crate::wait;

/// No status: every failed answer counts as a complaint of the console.
pub const NONE: &[u16] = &[];

pub struct Site {
    pub served: Served,
    /// Keeps the server running.
    _runtime: Mutex<Runtime>,
    browser: Browser,
    admin: Admin,
}

/// The server that tests share. It ends with the process, whose end closes a pipe of the server's.
pub fn site() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    wait::limit_test();
    SITE.get_or_init(|| {
        let (served, runtime) = dev::start(&dev::Options { port: 0, state: Some(state()) }).expect("a server");
        let tool = tools::ensure_browser().expect("a browser");
        println!("browser: {}", tool.path.display());
        let browser = Browser::start(&tool).expect("a browser that starts");
        let admin = Admin::new(&served.url, &served.secrets.admin_token);
        Site { served, _runtime: Mutex::new(runtime), browser, admin }
    })
}

/// A folder for the state. Removes the folders of ended processes.
fn state() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    for entry in parent.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix("rollcall-pages-");
        if process.is_some_and(|process| Path::new("/proc/self").exists() && !Path::new("/proc").join(process).is_dir())
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    parent.join(format!("rollcall-pages-{}", std::process::id()))
}

/// Limits that only a test of limits reaches.
pub fn roomy() -> Value {
    json!({ "requests_per_second": 1_000, "burst": 5_000, "turns_per_period": 500, "active_relationships": 50 })
}

impl Site {
    pub fn url(&self) -> &str {
        &self.served.url
    }

    /// The server's URL under a non-local host name, like a deployment's.
    pub fn deployed_url(&self) -> String {
        self.served.url.replace("127.0.0.1", "rollcall.example")
    }

    pub fn page(&'static self) -> Result<Page<'static>> {
        self.browser.page()
    }

    /// An API client of a new organization.
    pub fn organization(&self, limits: &Value) -> Result<Api> {
        let organization = self.admin.create_organization("Test", limits)?;
        let request = json!({ "kind": "api", "mode": "live", "scope": "read_write", "name": "test" });
        let key = self.admin.issue_key(&organization, &request)?;
        Ok(Api { url: self.served.url.clone(), organization, key, agent: agent() })
    }

    /// Revokes the keys of an organization.
    pub fn revoke_keys(&self, api: &Api) -> Result<()> {
        for key in self.admin.keys(&api.organization)? {
            self.admin.revoke_key(&api.organization, key["id"].as_str().ok_or("no id")?)?;
        }
        Ok(())
    }

    /// A page that is signed in with the key of an organization.
    pub fn console(&'static self, api: &Api) -> Result<Page<'static>> {
        self.console_at(self.url(), api)
    }

    /// The same, where the server is reached at another URL.
    pub fn console_at(&'static self, url: &str, api: &Api) -> Result<Page<'static>> {
        let page = self.page()?;
        page.go(url)?;
        page.wait(
            "!document.querySelector('#session').hidden && document.querySelectorAll('#exchanges li').length > 3",
        )?;
        page.click("#sign-out")?;
        sign_in(&page, &api.key)?;
        page.click("#clear")?;
        Ok(page)
    }
}

/// Types a key and waits until the first page of the list is there.
pub fn sign_in(page: &Page<'_>, key: &str) -> Result<()> {
    page.fill("#key", key)?;
    page.press("Enter")?;
    page.wait("!document.querySelector('#signed-in').hidden")?;
    page.wait(LISTED)?;
    page.wait("document.querySelector('#talk-agent').options.length > 0 && document.querySelector('#over-turns').innerText !== '–'")
        .map(drop)
}

/// A client that returns every status and has a time limit.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(wait::LIMIT)).build().into()
}

/// The list is not loading, and shows users or says that there are none.
pub const LISTED: &str = "!document.querySelector('#directory').hasAttribute('aria-busy') \
    && (document.querySelector('#users button') || document.querySelector('#users-state').innerText)";

pub struct Api {
    url: String,
    organization: String,
    pub key: String,
    agent: ureq::Agent,
}

impl Api {
    pub fn get(&self, path: &str) -> Result<(u16, Value)> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let mut answer = request.header("Authorization", format!("Bearer {}", self.key)).call()?;
        Ok((answer.status().as_u16(), answer.body_mut().read_json()?))
    }

    /// The text of an answer, with every digit of its numbers.
    pub fn text(&self, path: &str) -> Result<String> {
        let request = self.agent.get(format!("{}{path}", self.url));
        Ok(request.header("Authorization", format!("Bearer {}", self.key)).call()?.body_mut().read_to_string()?)
    }

    pub fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.url));
        Ok(request.header("Authorization", format!("Bearer {}", self.key)).send_json(body)?.body_mut().read_json()?)
    }

    pub fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        let request = self.agent.patch(format!("{}{path}", self.url));
        Ok(request.header("Authorization", format!("Bearer {}", self.key)).send_json(body)?.body_mut().read_json()?)
    }

    /// The status of a `DELETE`.
    pub fn delete(&self, path: &str) -> Result<u16> {
        let request = self.agent.delete(format!("{}{path}", self.url));
        Ok(request.header("Authorization", format!("Bearer {}", self.key)).call()?.status().as_u16())
    }

    /// Registers `count` users, `u00` and so on.
    pub fn fill(&self, count: usize) -> Result<()> {
        let users: Vec<Value> = (0..count).map(|index| json!({ "user_id": format!("u{index:02}") })).collect();
        let answer = self.post("/v1/end-users/batch", &json!({ "users": users }))?;
        if answer["created"] == count { Ok(()) } else { Err(answer.to_string().into()) }
    }
}
