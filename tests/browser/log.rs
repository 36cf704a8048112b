//! The log: each change appears as its event, over one request that goes on after it was cut.

use serde_json::{Value, json};
use xtask::Result;
use xtask::browser::Page;

use crate::relay::Relay;
use crate::site::{Api, NONE, roomy, site};

/// A condition that the log has this state.
fn is(state: &str) -> String {
    format!("document.querySelector('#log-state').innerText === '{state}'")
}

/// A condition that the newest row is of this type.
fn newest(event_type: &str) -> String {
    format!("document.querySelector('#events .status')?.innerText === '{event_type}'")
}

/// A condition that a row is of this type and shows this text.
fn has_row(event_type: &str, text: &str) -> String {
    format!(
        "[...document.querySelectorAll('#events button')].some((row) =>
            row.firstChild.innerText === '{event_type}' && row.innerText.includes('{text}'))"
    )
}

fn count(page: &Page<'_>) -> Result<Value> {
    page.evaluate("document.querySelectorAll('#events li').length")
}

fn register(api: &Api, id: &str) -> Result<Value> {
    api.post("/v1/end-users", &json!({ "user_id": id }))
}

#[test]
fn a_write_appears_as_its_event() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().console(&api)?;
    page.wait(&is("live"))?;
    page.fill("#user-id", "ada")?;
    page.click("#register button")?;
    page.wait(&newest("end_user.created"))?;
    api.patch("/v1/end-users/ada", &json!({ "metadata": { "large": 9_007_199_254_740_993_u64 } }))?;
    page.wait(&newest("end_user.updated"))?;
    let (_, events) = api.get("/v1/events?limit=200")?;
    let events = events["data"].as_array().ok_or("no events")?;
    assert_eq!(count(&page)?, events.len(), "each event has one row");
    let event = events.last().ok_or("no event")?;
    let end = |id: &Value| id.as_str().map(|id| id[id.len() - 8..].to_owned()).unwrap_or_default();
    let row = page.text("#events button")?;
    for part in [
        "ada".to_owned(),
        format!("#{}", event["sequence"]),
        end(&event["subject"]["ref"]),
        format!("key …{}", end(&event["actor"]["id"])),
    ] {
        assert!(row.contains(&part), "{part}: {row}");
    }
    page.click("#events button")?;
    let shown = page.text("#event pre")?;
    assert_eq!(&serde_json::from_str::<Value>(&shown)?, event, "the event as the API has it");
    assert!(shown.contains("9007199254740993"), "{shown}");
    // The stream is one request, and the inspector has it without its text.
    let streams =
        "[...document.querySelectorAll('#exchanges .path')].filter(({ innerText }) => innerText === '/v1/events')";
    assert!(page.evaluate(&format!("{streams}.length"))?.as_u64() <= Some(1));
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

#[test]
fn the_list_has_50_rows_at_most_and_the_newest_first() -> Result<()> {
    let api = site().organization(&roomy())?;
    api.fill(70)?;
    let page = site().console(&api)?;
    page.wait(&has_row("end_user.created", "u69"))?;
    assert_eq!(count(&page)?, 50);
    register(&api, "new")?;
    page.wait(&has_row("end_user.created", "new"))?;
    assert_eq!(count(&page)?, 50);
    let sequences = page.evaluate(
        "[...document.querySelectorAll('#events button')].map((row) => Number(/#(\\d+)/.exec(row.innerText)[1]))",
    )?;
    let sequences: Vec<i64> = serde_json::from_value(sequences)?;
    assert!(sequences.is_sorted_by(|a, b| a > b), "{sequences:?}");
    Ok(())
}

#[test]
fn a_reader_can_pause_it_and_a_hidden_tab_does() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().console(&api)?;
    // Everything before it is shown too, once it is.
    register(&api, "first")?;
    page.wait(&has_row("end_user.created", "first"))?;
    let hide = |is_hidden: bool| {
        page.evaluate(&format!(
            "Object.defineProperty(document, 'hidden', {{ value: {is_hidden}, configurable: true }}),
             document.dispatchEvent(new Event('visibilitychange'))"
        ))
    };
    let set_paused = |is_by_tab: bool, is_paused: bool| {
        if is_by_tab { hide(is_paused).map(drop) } else { page.click("#log-pause") }
    };
    for (user_id, is_by_tab) in [("by button", false), ("by tab", true)] {
        let before = count(&page)?;
        set_paused(is_by_tab, true)?;
        page.wait(&is("paused"))?;
        register(&api, user_id)?;
        assert_eq!(count(&page)?, before);
        set_paused(is_by_tab, false)?;
        page.wait(&is("live"))?;
        page.wait(&has_row("end_user.created", user_id))?;
        assert_eq!(count(&page)?.as_u64(), before.as_u64().map(|before| before + 1), "no event comes twice");
    }
    Ok(())
}

#[test]
fn the_stream_goes_on_after_it_was_cut() -> Result<()> {
    let api = site().organization(&roomy())?;
    let relay = Relay::start(site().url())?;
    let page = site().console_at(&relay.url(), &api)?;
    page.wait(&is("live"))?;
    register(&api, "before")?;
    page.wait(&has_row("end_user.created", "before"))?;
    let before = count(&page)?;
    relay.set_open(false);
    page.wait(&is("reconnecting"))?;
    register(&api, "meanwhile")?;
    relay.set_open(true);
    page.wait(&is("live"))?;
    page.wait(&has_row("end_user.created", "meanwhile"))?;
    register(&api, "after")?;
    page.wait(&has_row("end_user.created", "after"))?;
    assert_eq!(count(&page)?.as_u64(), before.as_u64().map(|before| before + 2), "no event is lost or comes twice");
    Ok(())
}

#[test]
fn nothing_of_an_erased_person_stays_readable() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().console(&api)?;
    let (_, agents) = api.get("/api/v1/agents")?;
    for id in ["canary", "grace"] {
        api.post("/v1/end-users", &json!({ "user_id": id, "metadata": { "plan": format!("plan of {id}") } }))?;
        let turn = json!({ "message": "hello", "personality_id": agents["items"][0]["agent_id"], "user_id": id });
        api.post("/v1/respond", &turn)?;
        page.wait(&has_row("relationship.created", id))?;
    }
    page.wait(&has_row("end_user.created", "canary"))?;
    page.evaluate(
        "[...document.querySelectorAll('#events button')].find((row) => row.innerText.includes('canary')).click()",
    )?;
    page.wait("document.querySelector('#event').innerText.includes('canary')")?;
    let shown = page.text("#event h4")?;
    let held = "document.querySelector('#log').outerHTML.includes('canary')";
    assert_eq!(page.evaluate(held)?, json!(true));
    assert_eq!(api.delete("/v1/end-users/canary")?, 202);
    page.wait(&has_row("end_user.erased", "gone"))?;
    assert_eq!(page.evaluate(held)?, json!(false), "{}", page.text("#log")?);
    assert_eq!(page.text("#event h4")?, shown, "what is open stays open");
    assert!(page.text("#event pre")?.contains("\"data\": null"));
    // Of the others everything stays.
    for event_type in ["end_user.created", "relationship.created"] {
        page.wait(&has_row(event_type, "grace"))?;
    }
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

#[test]
fn quotas_and_a_revoked_key_are_shown() -> Result<()> {
    let limits =
        json!({ "requests_per_second": 1_000, "burst": 5_000, "turns_per_period": 5, "active_relationships": 5 });
    let api = site().organization(&limits)?;
    let page = site().console(&api)?;
    page.wait(&is("live"))?;
    let (_, agents) = api.get("/api/v1/agents")?;
    for _ in 0..5 {
        let turn = json!({ "message": "hello", "personality_id": agents["items"][0]["agent_id"], "user_id": "ada" });
        api.post("/v1/respond", &turn)?;
    }
    page.wait(&has_row("quota.warning", "of 5"))?;
    page.wait(&has_row("quota.exhausted", "5 of 5"))?;
    page.wait(&has_row("quota.exhausted", "turns"))?;
    site().revoke_keys(&api)?;
    page.wait(&is("ended"))?;
    assert!(page.text("#log-fault")?.contains("credential"), "{}", page.text("#log-fault")?);
    assert_eq!(page.complaints(&[401]), [""; 0]);
    Ok(())
}
