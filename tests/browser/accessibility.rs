//! The pages for readers who use a keyboard, a screen reader or another colour scheme, or who want no motion.

use serde_json::{Value, json};
use xtask::Result;
use xtask::browser::Page;

use crate::site::{LISTED, NONE, roomy, site};

/// The violations of axe-core's rules in the shown page.
fn violations(page: &Page<'_>, what: &str) -> Result<Vec<String>> {
    let source = std::fs::read_to_string(xtask::root().join("node_modules/axe-core/axe.min.js"))?;
    page.evaluate(&format!("{source}; true"))?;
    let found = page.evaluate(
        "axe.run().then(({ violations, passes }) => ({
            passes: passes.length,
            violations: violations.flatMap(({ id, nodes }) => nodes.map((node) =>
                `${id}: ${node.html.slice(0, 120)} ${[...node.any, ...node.all, ...node.none].map(({ message }) => message)}`)),
        }))",
    )?;
    assert!(found["passes"].as_u64() > Some(10), "{what}: {found}");
    let violations = found["violations"].as_array().into_iter().flatten();
    Ok(violations.map(|violation| format!("{what}: {violation}")).collect())
}

#[test]
fn no_rule_is_violated_in_either_scheme() -> Result<()> {
    let mut found = Vec::new();
    for scheme in ["light", "dark"] {
        for width in [390, 1440] {
            let what = |state: &str| format!("{state}, {scheme}, {width}");
            let api = site().organization(&roomy())?;
            api.fill(10)?;
            let page = site().page()?;
            page.prefer(scheme, true)?;
            page.size(width, 900)?;
            page.go(&site().deployed_url())?;
            page.wait("!document.querySelector('#sign-in').hidden")?;
            found.extend(violations(&page, &what("signed out"))?);
            crate::site::sign_in(&page, &api.key)?;
            page.fill("#user-id", "ada")?;
            page.click("#register button")?;
            page.wait("document.querySelector('#registered .status')")?;
            page.fill("#message", "Hello")?;
            page.press("Enter")?;
            page.wait("document.querySelector('.theirs .meta')?.innerText.includes('1 turn')")?;
            crate::edge::read_both_ways(&page)?;
            page.click("#exchanges button")?;
            page.wait("!document.querySelector('#exchange').hidden")?;
            page.click("#events button")?;
            page.wait("!document.querySelector('#event').hidden")?;
            found.extend(violations(&page, &what("at work"))?);
            page.click("#users button")?;
            page.wait("document.querySelector('#edit-metadata')")?;
            found.extend(violations(&page, &what("a person"))?);
            page.go(&format!("{}/errors", site().deployed_url()))?;
            found.extend(violations(&page, &what("errors"))?);
        }
    }
    assert_eq!(found, [""; 0]);
    Ok(())
}

#[test]
fn a_keyboard_is_enough() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().console(&api)?;
    let focused = |page: &Page<'_>| -> Result<Value> {
        page.evaluate("document.activeElement.id || document.activeElement.className")
    };
    page.evaluate("document.activeElement.blur(), scrollTo({ top: 0, behavior: 'instant' })")?;
    page.evaluate("document.querySelector('.skip').focus()")?;
    page.press("Enter")?;
    page.wait("document.activeElement.id === 'main'")?;
    // All tabs are one tab stop, and arrow keys move between them.
    page.evaluate("document.querySelector('#tab-curl').focus()")?;
    page.press("ArrowRight")?;
    assert_eq!(focused(&page)?, json!("tab-javascript"));
    assert!(page.text("#start-code")?.contains("await fetch("));
    page.press("ArrowLeft")?;
    page.press("ArrowLeft")?;
    assert_eq!(focused(&page)?, json!("tab-python"));
    page.press("Tab")?;
    assert_eq!(focused(&page)?, json!("start-copy"));
    // The test registers a user, opens the record and closes it.
    page.evaluate("document.querySelector('#user-id').focus()")?;
    page.type_text("grace")?;
    page.press("Tab")?;
    assert_eq!(focused(&page)?, json!("display-name"));
    page.press("Enter")?;
    page.wait("document.querySelector('#registered .status')?.innerText === '201'")?;
    page.wait("document.querySelector('#users button')?.innerText === 'grace'")?;
    page.evaluate("document.querySelector('#users button').focus()")?;
    page.press("Enter")?;
    page.wait("document.querySelector('#edit-metadata')")?;
    assert_eq!(page.evaluate("document.querySelector('#person').contains(document.activeElement)")?, json!(true));
    page.press("Escape")?;
    page.wait("!document.querySelector('#person').open")?;
    assert_eq!(page.evaluate("document.activeElement.innerText")?, json!("grace"), "where one was before");
    assert_eq!(api.get("/v1/end-users/grace")?.0, 200);
    // The test opens an event, and pauses the log.
    page.wait("document.querySelector('#events button')?.innerText.includes('grace')")?;
    page.evaluate("document.querySelector('#log-pause').focus()")?;
    page.press("Enter")?;
    page.wait("document.querySelector('#log-state').innerText === 'paused'")?;
    page.press("Tab")?;
    assert_eq!(focused(&page)?, json!("events"));
    page.press("Tab")?;
    page.press("Enter")?;
    assert!(page.text("#event pre")?.contains("\"user_id\": \"grace\""));
    page.press("Enter")?;
    assert_eq!(page.evaluate("document.querySelector('#event').hidden")?, json!(true));
    // The test reads both ways over a distance. The user is chosen already.
    page.evaluate("document.querySelector('#edge-user').focus()")?;
    page.press("Tab")?;
    page.press("Tab")?;
    assert_eq!(page.evaluate("document.activeElement.innerText")?, json!("100 ms"));
    page.press("Enter")?;
    assert_eq!(page.evaluate("document.activeElement.getAttribute('aria-pressed')")?, json!("true"));
    page.press("Tab")?;
    assert_eq!(focused(&page)?, json!("edge-read"));
    page.press("Enter")?;
    crate::edge::wait_for_run(&page);
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

#[test]
fn nothing_moves_for_who_wants_it_so() -> Result<()> {
    let page = site().page()?;
    page.prefer("light", false)?;
    page.go(site().url())?;
    page.wait(LISTED)?;
    let style = |selector: &str, name: &str| {
        page.evaluate(&format!("getComputedStyle(document.querySelector({selector:?})).{name}"))
    };
    assert_eq!(style("html", "scrollBehavior")?, json!("auto"));
    assert_eq!(style("#mood-dot", "transitionDuration")?, json!("0s"));
    page.wait("document.querySelector('#tokens').innerText !== '–'")?;
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}
