//! Every exchange, and a line for the shell that repeats it.

use std::process::Command;

use serde_json::json;
use xtask::Result;

use crate::site::{NONE, roomy, site};

#[test]
fn an_exchange_is_shown_and_can_be_repeated_by_curl() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().console(&api)?;
    page.allow_clipboard()?;
    page.fill("#user-id", "it's \"quoted\" $HOME")?;
    page.click("#register button")?;
    page.wait("document.querySelector('#registered .status')?.innerText === '201'")?;
    page.click("#filters [data-filter=writes]")?;
    page.wait("[...document.querySelectorAll('#exchanges li:not([hidden])')].length === 1")?;
    page.click("#exchanges li:not([hidden]) button")?;
    page.wait("!document.querySelector('#exchange').hidden")?;
    let sideways = "document.querySelector('#exchange').scrollWidth > document.querySelector('#exchange').clientWidth";
    assert_eq!(page.evaluate(sideways)?, json!(false));
    let shown = page.text("#exchange")?;
    for part in [
        "POST /v1/end-users",
        "201",
        "request id",
        "x-ratelimit-remaining",
        "ratelimit-policy",
        "location",
        "etag",
        "Request body",
        "Response body",
        "\"status\": \"active\"",
        " ms",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains(&api.key));
    let id = page.evaluate(
        "[...document.querySelectorAll('#exchange dd')].find((one) => /^[0-9A-Z]{26}$/.test(one.innerText))?.innerText",
    )?;
    assert!(id.is_string(), "a request id");

    page.click("#copy-curl")?;
    page.wait("document.querySelector('#copy-curl').innerText === 'Copied'")?;
    let line = page.evaluate("navigator.clipboard.readText()")?;
    let line = line.as_str().unwrap_or_default();
    assert!(!line.contains(&api.key), "it names the key and does not hold it");
    let shell = Command::new("sh").args(["-c", line]).env("ROLLCALL_API_KEY", &api.key).output()?;
    let answer = String::from_utf8_lossy(&shell.stdout);
    assert!(answer.contains(" 200 ") && answer.contains("it's \\\"quoted\\\" $HOME"), "{line}\n{answer}");

    page.click("#filters [data-filter=refused]")?;
    assert_eq!(page.evaluate("document.querySelectorAll('#exchanges li:not([hidden])').length")?, json!(0));
    page.click("#clear")?;
    assert_eq!(page.evaluate("document.querySelector('#no-exchanges').hidden")?, json!(false));
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}
