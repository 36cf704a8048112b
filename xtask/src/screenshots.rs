//! `cargo xtask screenshots`: takes the README's pictures of the demo page again.

use std::env;

use serde_json::json;

use crate::admin::Admin;
use crate::browser::{Browser, Page};
use crate::dev::{self, Options, Served};
use crate::{Result, root, step, tools};

/// The messages of the conversation, each with the number of its affect chip.
const MESSAGES: &[(&str, u8)] = &[
    ("Good morning! Can I change my plan?", 2),
    ("I have asked that twice now.", 4),
    ("Oh, there it is. Thank you!", 1),
];

/// Starts a fresh server and a browser, and writes `docs/console-light.webp` and `docs/console-dark.webp`.
pub fn run() -> Result<()> {
    let state = env::temp_dir().join(format!("rollcall-screenshots-{}", std::process::id()));
    let taken = take(Options { port: 0, state: Some(state.clone()) });
    let _ = std::fs::remove_dir_all(state);
    taken
}

fn take(options: Options) -> Result<()> {
    let (served, mut runtime) = dev::start(&options)?;
    let tool = tools::ensure_browser()?;
    step(format!("Looking at the page with {}", tool.path.display()));
    let browser = Browser::start(&tool)?;
    let page = browser.page()?;
    page.size(1440, 900)?;
    page.go(&served.url)?;
    sign_in(&page, &served)?;
    page.click("#samples")?;
    page.wait("document.querySelector('#users button')?.innerText === 'ada'")?;
    for (message, affect) in MESSAGES {
        page.click(&format!("#affects button:nth-child({affect})"))?;
        page.wait("!document.querySelector('#send').disabled")?;
        page.fill("#message", message)?;
        page.click("#send")?;
        page.wait(&format!(
            "[...document.querySelectorAll('.theirs p')].some((one) => one.innerText.endsWith({message:?}))"
        ))?;
    }
    page.fill("#user-id", "ada")?;
    page.click("#register button")?;
    page.wait("document.querySelector('#registered .status')?.innerText === '200'")?;
    page.click("#edge-distance button[value='100']")?;
    page.click("#edge-read")?;
    page.wait("document.querySelector('#edge-said').innerText.startsWith('At the edge')")?;
    page.click("#burst-send")?;
    page.wait("document.querySelector('#burst-said').innerText.includes('admitted and')")?;
    page.click("#exchanges button")?;
    // The picture shows the console from below the page's head down to the reads at the edge.
    page.size(1440, 1640)?;
    page.evaluate(
        "document.activeElement.blur(), document.querySelector('#console').scrollIntoView({ behavior: 'instant' })",
    )?;
    for scheme in ["light", "dark"] {
        page.prefer(scheme, true)?;
        let path = root().join(format!("docs/console-{scheme}.webp"));
        page.picture(&path, false)?;
        step(format!("{}: {} KB", path.display(), path.metadata()?.len() / 1_000));
    }
    drop(page);
    runtime.stop();
    Ok(())
}

/// Signs in with the key of an organization whose bucket every machine can empty, however busy it is.
fn sign_in(page: &Page<'_>, served: &Served) -> Result<()> {
    let admin = Admin::new(&served.url, &served.secrets.admin_token);
    let limits = json!({
        "requests_per_second": 10, "burst": 100, "turns_per_period": 100, "active_relationships": 20,
    });
    let organization = admin.create_organization("Pictures", &limits)?;
    let request = json!({ "kind": "api", "mode": "live", "scope": "read_write", "name": "Pictures" });
    page.wait("document.querySelector('#talk-agent').options.length > 0")?;
    page.click("#sign-out")?;
    page.fill("#key", &admin.issue_key(&organization, &request)?)?;
    page.press("Enter")?;
    page.wait("!document.querySelector('#signed-in').hidden")?;
    page.wait("document.querySelector('#talk-agent').options.length > 0").map(drop)
}
