//! The reference at `/docs`, which can send requests.

use serde_json::json;
use xtask::Result;
use xtask::browser::Page;

use crate::site::{NONE, site};

/// Opens an operation, sends its example request, and returns the status of the answer.
fn status_of(page: &Page<'_>, operation: &str) -> Result<String> {
    let block = format!("#operations-{operation}");
    page.click(&format!("{block} .opblock-summary-control"))?;
    page.wait(&format!("document.querySelector('{block} .execute') !== null"))?;
    page.click(&format!("{block} .execute"))?;
    let status = format!("{block} .live-responses-table .response .response-col_status");
    page.wait(&format!("document.querySelector({status:?})?.innerText"))?;
    page.text(&status)
}

fn opened(url: &str, ready: &str) -> Result<Page<'static>> {
    let page = site().page()?;
    page.go(&format!("{url}/docs"))?;
    page.wait(&format!("document.body.dataset.ready === '{ready}' && document.querySelector('.opblock') !== null"))?;
    Ok(page)
}

#[test]
fn a_developer_can_try_everything_at_once() -> Result<()> {
    let page = opened(site().url(), "authorised")?;
    assert_eq!(status_of(&page, "Turns-getTurnUsage")?, "200");
    let key = &site().served.demo.api_key;
    let kept =
        page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")?;
    assert!(!kept.to_string().contains(key.as_str()), "the key is in memory alone");
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

#[test]
fn a_deployment_authorises_nobody() -> Result<()> {
    let page = opened(&site().deployed_url(), "open")?;
    assert_eq!(status_of(&page, "Turns-getTurnUsage")?, "401");
    let shown = page.evaluate("document.documentElement.outerHTML")?;
    assert_ne!(shown, json!(""));
    assert!(!shown.to_string().contains(site().served.demo.api_key.as_str()));
    assert_eq!(page.complaints(&[401]), [""; 0]);
    Ok(())
}
