//! Turns, quotas and moods.

use serde_json::{Value, json};
use xtask::Result;

use crate::site::{Api, NONE, roomy, sign_in, site};

fn mood(api: &Api) -> Result<Value> {
    let (_, body) = api.get("/v1/relationships?user_id=ada")?;
    Ok(body["data"][0]["mood"].clone())
}

#[test]
fn a_message_is_a_turn_that_moves_the_mood() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().console(&api)?;
    assert_eq!(page.text("#over-turns")?, "0 of 500");
    page.click("#affects button:first-child")?;
    page.fill("#message", "How are you <today>?")?;
    page.press("Enter")?;
    page.wait("document.querySelector('.theirs .meta')?.innerText.includes('1 turn')")?;
    assert_eq!(page.text(".theirs p")?, "Echo: How are you <today>?");
    assert!(page.text(".theirs .meta")?.contains("1 relationship more"));
    page.wait("document.querySelector('#over-turns').innerText === '1 of 500'")?;
    page.wait("document.querySelector('#over-relationships').innerText === '1 of 50'")?;
    let (_, usage) = api.get("/v1/usage/turns")?;
    assert_eq!(usage["used"], 1);
    assert_eq!(page.evaluate("document.querySelector('#over-reset').title")?, usage["resets_at"]);

    page.wait("!document.querySelector('#mood-dot').classList.contains('absent')")?;
    let near = |attribute: &str, value: &Value, sign: f64| -> Result<bool> {
        let place =
            page.evaluate(&format!("Number(document.querySelector('#mood-dot').getAttribute({attribute:?}))"))?;
        let distance = place.as_f64().unwrap_or(f64::NAN) * sign - value.as_f64().unwrap_or(f64::NAN);
        Ok(distance.abs() < 0.01)
    };
    let felt = mood(&api)?;
    assert!(felt["valence"].as_f64() > Some(0.1), "{felt}");
    assert!(near("cx", &felt["valence"], 1.0)? && near("cy", &felt["arousal"], -1.0)?, "{felt}");
    assert!(page.text("#mood-said")?.starts_with(felt["label"].as_str().unwrap_or("?")));
    // After one day the mood is half as far from its baseline.
    page.choose("#ahead", "24")?;
    assert_eq!(page.text("#ahead-said")?, "in 24 h");
    let half = json!(felt["valence"].as_f64().unwrap_or_default() / 2.0);
    assert!(near("cx", &half, 1.0)?, "half of {felt}");

    // Another affect moves the mood elsewhere.
    page.choose("#ahead", "0")?;
    page.click("#affects button:last-child")?;
    page.fill("#message", "That is wrong.")?;
    page.click("#send")?;
    page.wait("document.querySelector('#over-turns').innerText === '2 of 500'")?;
    let moved = mood(&api)?;
    assert!(moved["valence"].as_f64() < felt["valence"].as_f64());
    page.wait(&format!(
        "Math.abs(document.querySelector('#mood-dot').getAttribute('cx') - {}) < 0.01",
        moved["valence"]
    ))?;
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

/// Makes the page see the setting `MOOD_HALF_LIFE_HOURS=6`.
const SIX_HOURS: &str = "const ask = fetch;
    globalThis.fetch = async (path, ...rest) => path !== '/demo.json' ? ask(path, ...rest)
        : Response.json({ ...await (await ask(path)).json(), mood_half_life_ms: 21600000 });";

#[test]
fn a_mood_decays_as_fast_as_the_server_says() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().page()?;
    page.send("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": SIX_HOURS }))?;
    page.go(&site().deployed_url())?;
    sign_in(&page, &api.key)?;
    page.click("#affects button:first-child")?;
    page.fill("#message", "Hello")?;
    page.press("Enter")?;
    page.wait("!document.querySelector('#mood-dot').classList.contains('absent')")?;
    let valence = || -> Result<f64> {
        let place = page.evaluate("Number(document.querySelector('#mood-dot').getAttribute('cx'))")?;
        Ok(place.as_f64().unwrap_or(f64::NAN))
    };
    let felt = valence()?;
    page.choose("#ahead", "6")?;
    let later = valence()?;
    assert!(felt > 0.1 && (later - felt / 2.0).abs() < 0.001, "{felt} {later}");
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

#[test]
fn a_quota_that_is_used_up_says_so() -> Result<()> {
    let limits =
        json!({ "requests_per_second": 1_000, "burst": 5_000, "turns_per_period": 1, "active_relationships": 5 });
    let api = site().organization(&limits)?;
    let page = site().console(&api)?;
    for message in ["one", "two"] {
        page.wait("!document.querySelector('#send').disabled")?;
        page.fill("#message", message)?;
        page.click("#send")?;
    }
    page.wait("document.querySelector('.message.bad .status')?.innerText === '429'")?;
    page.wait("document.querySelector('.message.bad .meta').innerText === 'Not counted.'")?;
    page.wait("document.querySelector('#over-turns').innerText === '1 of 1'")?;
    assert_eq!(page.evaluate("document.querySelector('#over-turns-bar').className")?, json!("bar low"));
    assert_eq!(api.get("/v1/usage/turns")?.1["used"], 1);
    assert_eq!(page.complaints(&[429]), [""; 0]);
    Ok(())
}
