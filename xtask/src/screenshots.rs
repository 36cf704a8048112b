//! `cargo xtask screenshots`: the README's pictures of the demo page, made anew.

use std::env;

use crate::browser::Browser;
use crate::dev::{self, Options};
use crate::{Result, interrupt, root, step, tools};

/// What is said in the conversation, each with the chip of its affect.
const MESSAGES: &[(&str, u8)] = &[
    ("Good morning! Can I change my plan?", 2),
    ("I have asked that twice now.", 4),
    ("Oh, there it is. Thank you!", 1),
];

/// Fewer would not be seen.
const REFUSED_MIN: u32 = 20;

/// A fresh server and a browser; then `docs/console-light.webp` and `docs/console-dark.webp`.
pub fn run() -> Result<()> {
    interrupt::watch()?;
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
    page.wait("document.querySelector('#talk-agent').options.length > 0")?;
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
    page.click("#burst-send")?;
    page.wait("document.querySelector('#burst-said').innerText.includes('admitted and')")?;
    if page.text("#refused")?.parse::<u32>()? < REFUSED_MIN {
        return Err("this machine is too busy to empty the bucket; try again".into());
    }
    page.click("#exchanges button")?;
    // Of the console, without the page's head: down to the bucket.
    page.size(1440, 1500)?;
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
