//! Registering, browsing, changing and erasing users.

use serde_json::{Value, json};
use xtask::Result;
use xtask::browser::Page;

use crate::site::{LISTED, NONE, roomy, site};

const SHOWN: &str = "[...document.querySelectorAll('#users button')].map((button) => button.innerText)";

fn shown(page: &Page<'_>) -> Result<Value> {
    page.wait(LISTED)?;
    page.evaluate(SHOWN)
}

/// Waits until the list begins with this user.
fn wait_for_first(page: &Page<'_>, user_id: &str) -> Result<()> {
    page.wait(&format!("document.querySelector('#users button')?.innerText === {user_id:?}")).map(drop)
}

fn open(page: &Page<'_>, user_id: &str) -> Result<()> {
    page.wait(&format!(
        "[...document.querySelectorAll('#users button')].some((one) => one.innerText === {user_id:?})"
    ))?;
    page.evaluate(&format!(
        "[...document.querySelectorAll('#users button')].find((one) => one.innerText === {user_id:?}).click()"
    ))?;
    page.wait("document.querySelector('#edit-metadata')").map(drop)
}

#[test]
fn the_first_is_201_and_the_second_200() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().console(&api)?;
    assert!(page.text("#users-state")?.contains("Nobody is registered yet"));
    page.fill("#user-id", "ada <b>&")?;
    page.fill("#display-name", "Ada")?;
    page.fill("#metadata", r#"{"n":12345678901234567890123}"#)?;
    page.click("#register button")?;
    page.wait("document.querySelector('#registered .status')?.innerText === '201'")?;
    wait_for_first(&page, "ada <b>&")?;
    let stored = api.text("/v1/end-users/ada%20%3Cb%3E%26")?;
    assert!(stored.contains("12345678901234567890123"), "every digit: {stored}");
    assert!(page.text("#users")?.contains("12345678901234567890123"), "and shown");

    page.fill("#metadata", r#"{"other":true}"#)?;
    page.click("#register button")?;
    page.wait("document.querySelector('#registered .status')?.innerText === '200'")?;
    page.evaluate("document.querySelector('#registered .status').textContent = ''")?;
    page.click("#registered button")?;
    page.wait("document.querySelector('#registered .status')?.innerText === '200'")?;
    assert_eq!(api.text("/v1/end-users/ada%20%3Cb%3E%26")?, stored, "nothing was overwritten");

    page.fill("#metadata", "{")?;
    page.click("#register button")?;
    page.wait("document.querySelector('#registered .status')?.innerText === '400'")?;
    assert_eq!(page.complaints(&[400]), [""; 0]);
    Ok(())
}

#[test]
fn pages_are_turned_both_ways_and_searched_by_prefix() -> Result<()> {
    let api = site().organization(&roomy())?;
    api.fill(20)?;
    api.post("/v1/end-users", &json!({ "user_id": "zoe" }))?;
    let page = site().console(&api)?;
    let ids = |path: &str| -> Result<Vec<Value>> {
        let (_, body) = api.get(path)?;
        Ok(body["data"].as_array().into_iter().flatten().map(|user| user["user_id"].clone()).collect())
    };
    let all = ids("/v1/end-users?limit=200")?;
    let chunks: Vec<Value> = all.chunks(8).map(|chunk| Value::from(chunk.to_vec())).collect();
    assert_eq!(shown(&page)?, chunks[0]);
    for chunk in &chunks[1..] {
        page.click("#next")?;
        wait_for_first(&page, chunk[0].as_str().unwrap_or_default())?;
        assert_eq!(shown(&page)?, *chunk);
    }
    assert_eq!(page.evaluate("document.querySelector('#next').disabled")?, json!(true));
    for chunk in chunks.iter().rev().skip(1) {
        page.click("#previous")?;
        wait_for_first(&page, chunk[0].as_str().unwrap_or_default())?;
        assert_eq!(shown(&page)?, *chunk);
    }
    assert_eq!(page.evaluate("document.querySelector('#previous').disabled")?, json!(true));

    page.choose("#order", "desc")?;
    wait_for_first(&page, "zoe")?;
    assert_eq!(shown(&page)?, Value::from(ids("/v1/end-users?limit=8&order=desc")?));
    page.fill("#prefix", "u1")?;
    wait_for_first(&page, "u19")?;
    assert_eq!(shown(&page)?, Value::from(ids("/v1/end-users?limit=8&order=desc&user_id_prefix=u1")?));
    page.fill("#prefix", "nobody")?;
    page.wait("document.querySelector('#users-state').innerText.includes('nobody')")?;
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

#[test]
fn sample_people_come_in_one_commit() -> Result<()> {
    let api = site().organization(&roomy())?;
    let page = site().console(&api)?;
    page.click("#samples")?;
    wait_for_first(&page, "ada")?;
    assert!(page.text("#registered")?.contains("60 created, 0 already there"));
    let (_, body) = api.get("/v1/end-users?limit=200")?;
    assert_eq!(body["data"].as_array().map(Vec::len), Some(60));
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}

#[test]
fn a_change_is_guarded_by_the_version() -> Result<()> {
    let api = site().organization(&roomy())?;
    api.fill(2)?;
    let page = site().console(&api)?;
    open(&page, "u01")?;
    api.patch("/v1/end-users/u01", &json!({ "display_name": "Somebody else's change" }))?;
    let (_, theirs) = api.get("/v1/end-users/u01")?;
    page.fill("#edit-metadata", r#"{"plan":"team"}"#)?;
    page.click("#edit-save")?;
    page.wait("document.querySelector('#saved').innerText.startsWith('412')")?;
    page.click("#saved button")?;
    page.wait("document.querySelector('#edit-name')?.value === \"Somebody else's change\"")?;
    page.fill("#edit-metadata", r#"{"plan":"team"}"#)?;
    page.click("#edit-save")?;
    page.wait("document.querySelector('#saved').innerText.startsWith('200')")?;
    let (_, user) = api.get("/v1/end-users/u01")?;
    assert_eq!(user["metadata"], json!({ "plan": "team" }));
    assert!(user["version"].as_i64() > theirs["version"].as_i64(), "{user}");
    assert_eq!(user["display_name"], "Somebody else's change");
    page.press("Escape")?;
    page.wait("!document.querySelector('#person').open")?;
    assert_eq!(page.complaints(&[412]), [""; 0]);
    Ok(())
}

#[test]
fn an_erasure_is_watched_until_it_is_completed() -> Result<()> {
    let api = site().organization(&roomy())?;
    api.fill(3)?;
    let page = site().console(&api)?;
    open(&page, "u01")?;
    page.click("#erase")?;
    page.wait("document.querySelector('#erase').innerText === 'Erase for good'")?;
    assert_eq!(api.get("/v1/end-users/u01")?.1["status"], "active", "one press does nothing yet");
    page.click("#erase")?;
    page.wait("!document.querySelector('#person').open")?;
    page.wait("document.querySelectorAll('#users button').length === 2")?;
    assert_eq!(shown(&page)?, json!(["u00", "u02"]));
    page.wait("document.querySelector('.receipt .status')?.innerText === 'completed'")?;
    let id = page.text(".receipt code")?;
    let (_, receipt) = api.get(&format!("/v1/deletions/{id}"))?;
    assert_eq!((&receipt["status"], &receipt["erased"]["records"]), (&json!("completed"), &json!(1)));
    assert!(page.text(".receipt")?.contains("1 records"), "{}", page.text(".receipt")?);
    assert_eq!(api.get("/v1/end-users/u01")?.0, 404);
    assert_eq!(page.complaints(NONE), [""; 0]);
    Ok(())
}
