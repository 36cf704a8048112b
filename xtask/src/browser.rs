//! Drives a real browser by its debugging protocol (CDP), for the tests of the pages and for pictures of them.
//!
//! The protocol runs over two pipes (`--remote-debugging-pipe`): JSON messages, each followed by a zero byte. So no
//! other program can take a port, and no WebSocket library is needed. The browser ends when this process ends, for
//! any reason.
//!
//! The protocol is described at <https://chromedevtools.github.io/devtools-protocol/>.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::tools::BrowserTool;
use crate::{Result, process};

/// Longest wait for a reply of the browser.
const ANSWER_LIMIT: Duration = Duration::from_mins(2);
/// Longest wait for something to happen on a page.
const WAIT_LIMIT_MS: u64 = 30_000;

/// Each flag has its reason. Sandboxes need rights that containers do not give, and the browser loads only our own
/// pages.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--remote-debugging-pipe",
    // Containers give 64 MB of shared memory, which is too little for pages.
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    // A host name other than the machine's own, to test what a deployment does.
    "--host-resolver-rules=MAP *.example 127.0.0.1",
    // Text looks the same on every machine.
    "--font-render-hinting=none",
    "--force-color-profile=srgb",
    "about:blank",
];

type Held<T> = Arc<Mutex<T>>;

/// Messages from the browser that the test has not read yet.
#[derive(Debug, Default)]
struct Mail {
    /// The sender of each pending reply, by the id of its message.
    answers: HashMap<u64, Sender<Value>>,
    /// Events by session.
    events: HashMap<String, Vec<Value>>,
}

#[derive(Debug)]
pub struct Browser {
    child: Child,
    /// `None` while the browser is being closed.
    pipe: Mutex<Option<ChildStdin>>,
    mail: Held<Mail>,
    messages: AtomicU64,
    profile: PathBuf,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Browser {
    pub fn start(tool: &BrowserTool) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let profile = std::env::temp_dir().join(format!("rollcall-browser-{}-{count}", std::process::id()));
        fs::create_dir_all(&profile)?;
        let errors = fs::File::create(profile.join("errors.txt"))?;
        // The browser reads its third descriptor and writes its fourth.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>&2"]).arg(&tool.path).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.display())).envs(tool.variables.iter().cloned());
        let command = process::in_group(&mut command).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn()?;
        let pipe = child.stdin.take();
        let output = child.stdout.take().ok_or("the browser has no output")?;
        let mail = Held::<Mail>::default();
        let delivered = Arc::clone(&mail);
        thread::spawn(move || deliver(output, &delivered));
        let browser = Self { child, pipe: Mutex::new(pipe), mail, messages: AtomicU64::new(1), profile };
        browser.send(None, "Browser.getVersion", &json!({})).map_err(|error| {
            let errors = fs::read_to_string(browser.profile.join("errors.txt")).unwrap_or_default();
            format!("{} does not start: {error}\n{errors}", tool.path.display())
        })?;
        Ok(browser)
    }

    /// Sends a message and waits for its answer.
    fn send(&self, session: Option<&str>, method: &str, parameters: &Value) -> Result<Value> {
        let id = self.messages.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = channel();
        lock(&self.mail).answers.insert(id, sender);
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        lock(&self.pipe).as_mut().ok_or("the browser was closed")?.write_all(&bytes)?;
        let answer = answer.recv_timeout(ANSWER_LIMIT).map_err(|_| format!("no answer to {method}"))?;
        match answer.get("error") {
            Some(error) => Err(format!("{method}: {error}").into()),
            None => Ok(answer["result"].clone()),
        }
    }

    /// An empty page that shares nothing with any other: a profile of its own.
    pub fn page(&self) -> Result<Page<'_>> {
        let context = self.send(None, "Target.createBrowserContext", &json!({}))?["browserContextId"].clone();
        let target =
            self.send(None, "Target.createTarget", &json!({ "url": "about:blank", "browserContextId": context }))?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self.send(None, "Target.attachToTarget", &attach)?;
        let session = attached["sessionId"].as_str().ok_or("no session")?.to_owned();
        let page = Page { browser: self, session, context };
        for domain in ["Page", "Runtime", "Log"] {
            page.send(&format!("{domain}.enable"), &json!({}))?;
        }
        page.size(1440, 900)?;
        Ok(page)
    }
}

/// Delivers each message to its receiver. Ends with the browser.
fn deliver(output: ChildStdout, mail: &Mutex<Mail>) {
    let mut output = BufReader::new(output);
    let mut bytes = Vec::new();
    while output.read_until(0, &mut bytes).is_ok_and(|count| count > 0) {
        bytes.pop();
        if let Ok(message) = serde_json::from_slice::<Value>(&bytes) {
            let mut mail = lock(mail);
            if let Some(sender) = message["id"].as_u64().and_then(|id| mail.answers.remove(&id)) {
                let _ = sender.send(message);
            } else if let Some(session) = message["sessionId"].as_str() {
                mail.events.entry(session.to_owned()).or_default().push(message);
            }
        }
        bytes.clear();
    }
    // The browser is gone, so no reply can arrive.
    lock(mail).answers.clear();
}

impl Drop for Browser {
    fn drop(&mut self) {
        *lock(&self.pipe) = None;
        process::kill_group(&mut self.child);
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// A page, closed when it is dropped.
#[derive(Debug)]
pub struct Page<'a> {
    browser: &'a Browser,
    session: String,
    context: Value,
}

impl Page<'_> {
    pub fn send(&self, method: &str, parameters: &Value) -> Result<Value> {
        self.browser.send(Some(&self.session), method, parameters)
    }

    /// Goes to a URL and waits until it is loaded.
    pub fn go(&self, url: &str) -> Result<()> {
        let answer = self.send("Page.navigate", &json!({ "url": url }))?;
        if let Some(error) = answer["errorText"].as_str() {
            return Err(format!("{url}: {error}").into());
        }
        self.wait("location.href !== 'about:blank' && document.readyState === 'complete'")?;
        Ok(())
    }

    pub fn size(&self, width: u32, height: u32) -> Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.send("Emulation.setDeviceMetricsOverride", &metrics).map(drop)
    }

    /// Emulates a reader's preferences: `light` or `dark`, and whether animations may run.
    pub fn prefer(&self, scheme: &str, motion: bool) -> Result<()> {
        let motion = if motion { "no-preference" } else { "reduce" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": motion },
        ]);
        self.send("Emulation.setEmulatedMedia", &json!({ "features": features })).map(drop)
    }

    /// Evaluates an expression, which may be a promise, and returns its value.
    pub fn evaluate(&self, expression: &str) -> Result<Value> {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let answer = self.send("Runtime.evaluate", &parameters)?;
        match answer.get("exceptionDetails") {
            Some(details) => Err(format!("{expression}: {}", details["exception"]["description"]).into()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is truthy, and returns its value.
    pub fn wait(&self, condition: &str) -> Result<Value> {
        let waiting = format!(
            "(async () => {{
                const end = performance.now() + {WAIT_LIMIT_MS};
                for (;;) {{
                    const value = await ({condition});
                    if (value || performance.now() > end) return value;
                    await new Promise((resolve) => setTimeout(resolve, 25));
                }}
            }})()"
        );
        let value = self.evaluate(&waiting)?;
        let truthy = !(value.is_null() || value == json!(false) || value == json!("") || value == json!(0));
        if truthy { Ok(value) } else { Err(format!("waited in vain for {condition}").into()) }
    }

    /// Clicks with the mouse in the middle of an element. The element must be visible.
    pub fn click(&self, selector: &str) -> Result<()> {
        let place = self.wait(&format!(
            "(() => {{
                const element = document.querySelector({selector:?});
                if (!element || element.disabled) return null;
                element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const box = element.getBoundingClientRect();
                const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
                const hit = document.elementFromPoint(x, y);
                return hit && (element.contains(hit) || hit.contains(element)) ? {{ x, y }} : null;
            }})()"
        ))?;
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1 });
            self.send("Input.dispatchMouseEvent", &event)?;
        }
        Ok(())
    }

    /// Replaces a field's text by typing.
    pub fn fill(&self, selector: &str, text: &str) -> Result<()> {
        self.click(selector)?;
        self.evaluate(&format!("document.querySelector({selector:?}).select()"))?;
        if text.is_empty() { self.press("Delete") } else { self.type_text(text) }
    }

    pub fn type_text(&self, text: &str) -> Result<()> {
        self.send("Input.insertText", &json!({ "text": text })).map(drop)
    }

    /// Sets a list or a slider and sends the page its events. The browser itself draws these controls, so a click
    /// cannot choose in them.
    pub fn choose(&self, selector: &str, value: &str) -> Result<()> {
        self.evaluate(&format!(
            "(() => {{
                const element = document.querySelector({selector:?});
                element.value = {value:?};
                for (const type of ['input', 'change']) element.dispatchEvent(new Event(type, {{ bubbles: true }}));
            }})()"
        ))
        .map(drop)
    }

    /// Presses a key by its name, as `KeyboardEvent.key` has it.
    pub fn press(&self, key: &str) -> Result<()> {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "ArrowLeft" => (37, ""),
            "ArrowRight" => (39, ""),
            "Delete" => (46, ""),
            _ => return Err(format!("the key {key} is not known here").into()),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = text.into();
            }
            self.send("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// The text that an element shows.
    pub fn text(&self, selector: &str) -> Result<String> {
        let text = self.evaluate(&format!("document.querySelector({selector:?}).innerText"))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Saves a picture of the visible part or of the whole page. The file's extension decides the format.
    pub fn picture(&self, path: &Path, whole: bool) -> Result<()> {
        let format = path.extension().and_then(|extension| extension.to_str()).unwrap_or("png");
        let mut parameters = json!({ "format": format, "captureBeyondViewport": whole });
        if format != "png" {
            parameters["quality"] = 82.into();
        }
        if whole {
            let size = "({ x: 0, y: 0, scale: 1, width: innerWidth, height: document.documentElement.scrollHeight })";
            parameters["clip"] = self.evaluate(size)?;
        }
        let answer = self.send("Page.captureScreenshot", &parameters)?;
        let picture = STANDARD.decode(answer["data"].as_str().unwrap_or_default())?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::write(path, picture)?)
    }

    /// Grants the page the clipboard, as a reader does at the browser's prompt.
    pub fn allow_clipboard(&self) -> Result<()> {
        let grant = json!({
            "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "browserContextId": self.context,
        });
        self.browser.send(None, "Browser.grantPermissions", &grant).map(drop)
    }

    /// The console's complaints since the page was opened. The test expects answers of these statuses, so they are
    /// left out.
    pub fn complaints(&self, statuses: &[u16]) -> Vec<String> {
        let mail = lock(&self.browser.mail);
        let events = mail.events.get(&self.session).map_or(&[][..], Vec::as_slice);
        let complaint = |event: &Value| {
            let of = &event["params"];
            // Tests reach the machine by another name to look like a deployment, but without the deployment's
            // https.
            let by_http = |text: &str| text.contains("origin was untrustworthy");
            let meant = |text: &str| {
                by_http(text) || statuses.iter().any(|status| text.contains(&format!("status of {status} ")))
            };
            match event["method"].as_str()? {
                "Runtime.exceptionThrown" => Some(of["exceptionDetails"].to_string()),
                "Runtime.consoleAPICalled" if of["type"] == "error" || of["type"] == "warning" => {
                    Some(of["args"].to_string())
                }
                "Log.entryAdded" if of["entry"]["level"] == "error" || of["entry"]["level"] == "warning" => {
                    let text = of["entry"]["text"].as_str().unwrap_or_default();
                    (!meant(text)).then(|| format!("{text} {}", of["entry"]["url"]))
                }
                _ => None,
            }
        };
        events.iter().filter_map(complaint).collect()
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let _ = self.browser.send(None, "Target.disposeBrowserContext", &json!({ "browserContextId": self.context }));
    }
}
