//! The bucket, which the page draws from the headers.

use serde_json::json;
use xtask::Result;

use crate::site::{NONE, site};

#[test]
fn a_burst_drains_it_and_it_refills() -> Result<()> {
    let api = site().organization(&json!({ "requests_per_second": 1, "burst": 40 }))?;
    let page = site().console(&api)?;
    page.wait("document.querySelector('#burst-size').innerText === '40'")?;
    assert_eq!(page.text("#bucket-policy")?, "1 a second, bursts of 40");
    page.fill("#burst-count", "120")?;
    page.click("#burst-send")?;
    page.wait("Number(document.querySelector('#refused').innerText) > 0")?;
    page.wait("/ s$/.test(document.querySelector('#retry-after').innerText)")?;
    page.wait("document.querySelector('#chart-refused').getAttribute('d') !== ''")?;
    page.wait("document.querySelector('#burst-said').innerText.includes('Retried when told to: 200')")?;
    let number = |selector: &str| -> Result<i64> { Ok(page.text(selector)?.parse()?) };
    let (admitted, refused) = (number("#admitted")?, number("#refused")?);
    assert_eq!(admitted + refused, 120);
    // Signing in took some of the forty tokens, and some were refilled meanwhile.
    assert!(admitted >= 20 && refused >= 1, "{admitted} admitted, {refused} refused");
    let counted = page.evaluate(
        "[...document.querySelectorAll('#exchanges .status')].filter((one) => one.innerText === '429').length",
    )?;
    assert_eq!(counted, refused, "the inspector has each of them");

    // The page sends no request for a while. It computes the level from the last headers, and the level is right.
    // The headers are as old as their answer, and each second adds a token.
    page.wait("Number(document.querySelector('#tokens').innerText) >= 10")?;
    let drawn_before = number("#tokens")?;
    let remaining = page.evaluate(&format!(
        "fetch('/v1/usage/turns', {{ headers: {{ Authorization: 'Bearer {}' }} }})
            .then((answer) => Number(answer.headers.get('x-ratelimit-remaining')))",
        api.key
    ))?;
    let remaining = remaining.as_i64().unwrap_or_default();
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")?;
    let drawn_after = number("#tokens")?;
    let late_s = page.evaluate(
        "Math.ceil(Math.max(...performance.getEntriesByType('resource')
            .filter(({ name }) => name.endsWith('/v1/usage/turns')).map(({ duration }) => duration)) / 1000)",
    )?;
    // This request takes a token that the page does not know of. The runtime drops an object that has had no request
    // for ten seconds, and the bucket then starts from its mark: at most a tenth of it is lost.
    let dropped = 40 / 10;
    let possible = drawn_before - 3 - dropped..=drawn_after + late_s.as_i64().unwrap_or_default() + 1;
    assert!(possible.contains(&remaining), "drawn {possible:?}, and in fact {remaining}");
    assert_eq!(page.evaluate("document.querySelector('#gauge').getAttribute('aria-valuemax')")?, json!("40"));
    assert_eq!(page.complaints(&[429]), [""; 0]);
    Ok(())
}

#[test]
fn a_burst_can_be_stopped() -> Result<()> {
    let api = site().organization(&json!({ "requests_per_second": 1_000, "burst": 5_000 }))?;
    let page = site().console(&api)?;
    // The network is slow, so that the burst still runs when the test stops it.
    page.send("Network.enable", &json!({}))?;
    page.send(
        "Network.emulateNetworkConditions",
        &json!({ "offline": false, "latency": 500, "downloadThroughput": -1, "uploadThroughput": -1 }),
    )?;
    page.choose("#burst-range", "500")?;
    assert_eq!(page.evaluate("document.querySelector('#burst-count').value")?, json!("500"));
    page.click("#burst-send")?;
    page.wait("document.querySelector('#burst-send').innerText === 'Stop'")?;
    page.click("#burst-send")?;
    page.wait("document.querySelector('#burst-said').innerText.includes('admitted and')")?;
    let admitted: u32 = page.text("#admitted")?.parse()?;
    assert!(admitted < 500, "{admitted}");
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}
