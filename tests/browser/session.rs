//! Signing in, and the data that the page keeps of it.

use serde_json::json;
use xtask::Result;

use crate::site::{LISTED, NONE, agent, roomy, sign_in, site};
use crate::wait;

/// Everything that a page can store, and everything that it shows.
const KEPT: &str = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, \
    document.documentElement.outerHTML, [...document.querySelectorAll('input')].map((input) => input.value)])";

#[test]
fn a_developer_is_signed_in_without_doing_anything() -> Result<()> {
    let page = site().page()?;
    page.go(site().url())?;
    page.wait("!document.querySelector('#signed-in').hidden")?;
    page.wait(LISTED)?;
    let key = &site().served.demo.api_key;
    assert_eq!(page.text("#session-mode")?, "live");
    assert!(page.text("#session-key")?.ends_with(&key[key.len() - 4..]));
    assert!(!page.evaluate(KEPT)?.to_string().contains(key.as_str()), "the key is in memory alone");
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

#[test]
fn a_deployment_asks_for_a_key_and_forgets_it() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().page()?;
    page.go(&site().deployed_url())?;
    page.wait("!document.querySelector('#sign-in').hidden")?;
    assert_eq!(page.evaluate("document.querySelector('#signed-in').hidden")?, json!(true));
    let given = page.evaluate("fetch('/demo.json').then((answer) => answer.json())")?;
    assert_eq!(given["api_key"], json!(null), "it is not given");

    page.fill("#key", "hunter2")?;
    page.press("Enter")?;
    page.wait("document.querySelector('#sign-in-fault').innerText.includes('not an API key')")?;
    page.fill("#key", &format!("{}x", api.key))?;
    page.press("Enter")?;
    page.wait(
        "/credential|key|token/i.test(document.querySelector('#sign-in-fault').innerText) \
        && !document.querySelector('#sign-in-fault').innerText.includes('they read like')",
    )?;
    assert_eq!(page.evaluate("document.querySelector('#signed-in').hidden")?, json!(true));

    sign_in(&page, &api.key)?;
    assert!(!page.evaluate(KEPT)?.to_string().contains(&api.key));
    page.go(&site().deployed_url())?;
    page.wait("!document.querySelector('#sign-in').hidden")?;
    assert_eq!(page.complaints(&[401]), [""; 0]);
    Ok(())
}

#[test]
fn pages_allow_nothing_inline_and_nothing_from_elsewhere() -> Result<()> {
    let agent = agent();
    for path in ["/", "/errors", "/docs/", "/demo/main.js", "/style.css"] {
        let answer = agent.get(format!("{}{path}", site().url())).call()?;
        let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(answer.status(), 200, "{path}");
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(header(name), value, "{path}");
        }
        assert!(header("permissions-policy").contains("camera=()"), "{path}");
        assert_eq!(header("strict-transport-security"), "", "not of a developer's machine");
    }
    let answer = agent.get(site().url()).header("Host", "rollcall.you.workers.dev").call()?;
    assert!(answer.headers().contains_key("strict-transport-security"));
    // The browser enforces the policy.
    let page = site().page()?;
    page.go(site().url())?;
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), { textContent: 'globalThis.ran = true' }))")?;
    assert_eq!(page.evaluate("globalThis.ran === undefined")?, json!(true));
    wait::until("the browser to complain", || page.complaints(NONE), |complaints| !complaints.is_empty());
    Ok(())
}
