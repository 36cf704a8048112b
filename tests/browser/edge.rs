//! The same read both ways: strong and at the edge, with a distance to the object.

use serde_json::{Value, json};
use xtask::Result;
use xtask::browser::Page;

use crate::site::{NONE, roomy, sign_in, site};
use crate::wait;

/// Makes one run, from the button to its last line.
pub fn read_both_ways(page: &Page<'_>) -> Result<()> {
    page.evaluate("document.querySelector('#edge-said').textContent = ''")?;
    page.click("#edge-read")?;
    wait_for_run(page);
    Ok(())
}

/// Waits until a run has ended and its last line says what came of it. A run is forty reads one after the other, which
/// takes a busy machine longer than anything else on the page.
pub fn wait_for_run(page: &Page<'_>) {
    let said = || page.text("#edge-said").expect("a line");
    wait::until("the end of a run", said, |said| said.starts_with("At the edge"));
}

/// Makes runs until one ends with a read from KV. Once in a while the last read is the one that asks for a lease.
fn warm_up(page: &Page<'_>) {
    let run = || read_both_ways(page).and_then(|()| page.text("#edge-source")).expect("a run");
    wait::until("a read from KV", run, |source| source == "edge");
}

/// The medians of a run, in milliseconds: of the strong reads, and of those at the edge.
fn medians(page: &Page<'_>) -> Result<(f64, f64)> {
    Ok((page.text("#strong-median")?.parse()?, page.text("#edge-median")?.parse()?))
}

#[test]
fn the_object_answers_until_kv_has_a_copy() -> Result<()> {
    let api = site().organization(&roomy())?;
    api.fill(3)?;
    let page = site().console(&api)?;
    assert_eq!(page.evaluate("document.querySelector('#edge-user').value")?, json!("u00"), "it is offered");
    page.click("#edge-read")?;
    page.wait("document.querySelector('#edge-read').innerText === 'Stop'")?;
    page.wait("document.querySelector('#edge-source').innerText === 'object'")?;
    wait_for_run(&page);
    let first = "document.querySelector('#edge-by-object').getAttribute('d').startsWith('M1 ')";
    assert_eq!(page.evaluate(first)?, json!(true), "the object answers the first");
    warm_up(&page);
    assert_eq!(page.text("#strong-source")?, "object");
    assert_eq!(page.text("#strong-age")?, "current");
    let age = page.text("#edge-age")?;
    assert!(["up to 0 s", "up to 1 s", "up to 2 s", "up to 3 s", "up to 4 s", "up to 5 s"].contains(&&*age), "{age}");
    let (_, user) = api.get("/v1/end-users/u00")?;
    assert_eq!(page.text("#strong-record")?, format!("version {}", user["version"]));
    assert_eq!(page.text("#edge-record")?, "the same");
    let bars =
        |id: &str| page.evaluate(&format!("document.querySelector('#{id}').getAttribute('d').split('M').length - 1"));
    assert_eq!((bars("strong-by-object")?, bars("strong-by-edge")?), (json!(20), json!(0)));
    let at_edge = [bars("edge-by-object")?, bars("edge-by-edge")?].map(|count| count.as_i64().unwrap_or_default());
    assert_eq!(at_edge[0] + at_edge[1], 20);
    let label = page.evaluate("document.querySelector('#edge-chart').getAttribute('aria-label')")?;
    assert_eq!(label, format!("20 reads: {} from the object, {} from KV", at_edge[0], at_edge[1]));
    assert!(page.text("#edge-said")?.contains(&format!("KV answered {} of 20", at_edge[1])));
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

#[test]
fn far_from_the_object_the_edge_is_faster() -> Result<()> {
    let api = site().organization(&roomy())?;
    api.fill(1)?;
    let page = site().console(&api)?;
    warm_up(&page);
    page.click("#edge-distance button[value='100']")?;
    let run = || {
        read_both_ways(&page).expect("a run");
        let (strong, edge) = medians(&page).expect("medians");
        assert!(strong >= 100.0, "every strong read waits: {strong}");
        (strong, edge)
    };
    // The copy makes the difference. How much of it is left depends on how busy the machine is.
    wait::until("medians that differ", run, |(strong, edge)| edge * 2.0 < *strong);
    page.click("#edge-distance button[value='0']")?;
    let run = || {
        read_both_ways(&page).expect("a run");
        medians(&page).expect("medians").0
    };
    wait::until("the distance to be gone", run, |strong| *strong < 100.0);
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

#[test]
fn a_deployment_is_as_far_as_it_is() -> Result<()> {
    let api = site().organization(&roomy())?;
    api.fill(1)?;
    let page = site().page()?;
    page.go(&site().deployed_url())?;
    page.wait("!document.querySelector('#sign-in').hidden")?;
    sign_in(&page, &api.key)?;
    assert_eq!(page.evaluate("document.querySelector('#edge-distance').hidden")?, json!(true));
    read_both_ways(&page)?;
    let sent = page.evaluate(
        "document.querySelector('#exchanges button').click(), document.querySelector('#exchange').innerText",
    )?;
    assert!(sent.as_str().is_some_and(|sent| sent.contains("x-rollcall-source")), "{sent}");
    Ok(())
}

#[test]
fn a_run_is_stopped_and_says_what_is_wrong() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().console(&api)?;
    page.fill("#user-id", "ada <b>")?;
    page.click("#register button")?;
    page.wait("document.querySelector('#edge-user').value === 'ada <b>'")?;
    page.click("#edge-distance button[value='100']")?;
    page.click("#edge-read")?;
    page.wait("document.querySelector('#strong-source').innerText === 'object'")?;
    page.click("#edge-read")?;
    page.wait("document.querySelector('#edge-said').innerText === 'Stopped.'")?;
    assert_eq!(page.text("#edge-read")?, "Read both ways");
    page.fill("#edge-user", "nobody")?;
    page.click("#edge-read")?;
    page.wait("document.querySelector('#edge-said .status')?.innerText === '404'")?;
    assert_eq!(page.text("#edge-read")?, "Read both ways");
    assert_eq!(page.complaints(&[404]), [""; 0]);
    Ok(())
}

/// Where everything in the panel stands, from the panel's corner.
const PLACES: &str = "(() => {
    const corner = document.querySelector('#edge').getBoundingClientRect();
    return [...document.querySelectorAll('#edge, #edge .side > *, #edge dl > div, #edge button, #edge-said')].map((element) => {
        const { x, y, width, height } = element.getBoundingClientRect();
        return [x - corner.x, y - corner.y, width, height].map(Math.round);
    });
})()";

/// Saves pictures to `target/screenshots/`, and checks that nothing moves or is wider than the screen.
#[test]
fn nothing_moves_while_it_reads_at_any_width() -> Result<()> {
    let folder = xtask::root().join("target/screenshots");
    let api = site().organization(&roomy())?;
    api.fill(8)?;
    let page = site().console(&api)?;
    page.click("#edge-distance button[value='100']")?;
    page.evaluate("document.activeElement.blur()")?;
    let mut before = Vec::new();
    for width in [360, 768, 1280] {
        page.size(width, 900)?;
        before.push(page.evaluate(PLACES)?);
        assert!(page.evaluate("document.documentElement.scrollWidth")?.as_u64() <= Some(u64::from(width)), "{width}");
    }
    warm_up(&page);
    for (width, before) in [360, 768, 1280].into_iter().zip(before) {
        page.size(width, 900)?;
        let after: Value = page.evaluate(PLACES)?;
        assert_eq!(after, before, "at {width}");
        assert!(page.evaluate("document.documentElement.scrollWidth")?.as_u64() <= Some(u64::from(width)), "{width}");
        for scheme in ["light", "dark"] {
            page.prefer(scheme, true)?;
            page.evaluate("document.querySelector('#edge').scrollIntoView({ behavior: 'instant', block: 'start' })")?;
            page.picture(&folder.join(format!("edge-{width}-{scheme}.png")), false)?;
        }
    }
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}
