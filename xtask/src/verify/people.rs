//! The life of end users: registering, reading, changing, listing, exporting, erasing.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{Answer, RATE_LIMIT};
use super::life::Life;
use super::report::{Checked, Fault};
use super::wait;

pub const END_USERS: &str = "/v1/end-users";
/// The user whom all checks may read.
pub const ADA: &str = "/v1/end-users/ada";
/// An erasure takes a second or two, and is tried again after a failure.
const ERASURE_LIMIT: Duration = Duration::from_mins(1);
/// The users that a batch registers, in the order of lists.
const BATCH: [&str; 5] = ["batch-1", "batch-2", "batch-3", "batch-4", "batch-5"];

/// 201, then 200 with the same record, and the headers of both.
pub fn register(life: &Life<'_>) -> Checked {
    let writer = &life.organization.writer;
    let first = writer.post(END_USERS, &json!({ "user_id": "ada", "metadata": { "plan": "pro" } }))?;
    let made = first.expect_member(201, "/metadata/plan", &"pro".into())?;
    if first.header("location")? != ADA {
        return Err(first.unexpected("Location: /v1/end-users/ada"));
    }
    let again = writer.post(END_USERS, &json!({ "user_id": "ada", "metadata": { "plan": "ignored" } }))?;
    again.expect_member(200, "/metadata", &made["metadata"])?;
    again.expect_member(200, "/version", &made["version"])?;
    life.organization.reader.get(ADA)?.expect_member(200, "/user_id", &"ada".into()).map(drop)
}

/// What a caller learns of its bucket.
pub fn rate_limit_headers(life: &Life<'_>) -> Checked {
    let read = life.organization.writer.get(ADA)?;
    read.expect_status(200)?;
    read.expect_headers(RATE_LIMIT)?;
    if read.header("x-ratelimit-limit")? == "100" && read.header("ratelimit-policy")?.starts_with("\"org\";") {
        Ok(())
    } else {
        let what = format!("{read} counts against another bucket than the organization's");
        Err(Fault::new(what, "let whatever stands in front of the Worker add no X-RateLimit headers of its own"))
    }
}

/// An id of many kinds of characters comes back as it was sent.
pub fn ids(life: &Life<'_>) -> Checked {
    let writer = &life.organization.writer;
    let id = "a/b@c d%25é\u{1f980}";
    writer.post(END_USERS, &json!({ "user_id": id }))?.expect_member(201, "/user_id", &id.into())?;
    let read = writer.get(&format!("{END_USERS}/{}", encode(id)))?;
    read.expect_member(200, "/user_id", &id.into()).map_err(|fault| Fault {
        remedy: "let whatever stands in front of the Worker pass percent-encoded paths on as they are".to_owned(),
        ..fault
    })?;
    Ok(())
}

/// Versions as tags: strong, accepted in their weak form too, and refused if they are others.
pub fn tags(life: &Life<'_>) -> Checked {
    let writer = &life.organization.writer;
    let read = writer.get(ADA)?;
    let tag = strong_tag(&read)?;
    writer.with("If-None-Match", tag).get(ADA)?.expect_status(304)?;
    let changed = writer.with("If-Match", format!("W/{tag}")).patch(ADA, &json!({ "display_name": "Ada" }))?;
    changed.expect_member(200, "/display_name", &"Ada".into())?;
    let stale = writer.with("If-Match", tag).patch(ADA, &json!({ "display_name": "Eve" }))?;
    stale.expect_status(412)?;
    // As most clients ask. Only the head is looked at.
    let compressed = writer.with("Accept-Encoding", "gzip, br").get(ADA)?;
    compressed.expect_status(200)?;
    strong_tag(&compressed).map(drop)
}

fn strong_tag(answer: &Answer) -> Checked<&str> {
    let tag = answer.header("etag")?;
    if tag.starts_with('"') {
        return Ok(tag);
    }
    let what =
        format!("{answer} has the tag {tag}: something in front compresses or changes answers that say no-transform");
    Err(Fault::new(what, "switch off compression and rewriting in front of the Worker, or have it heed no-transform"))
}

/// Several in one commit, each with a result of its own.
pub fn batch(life: &Life<'_>) -> Checked {
    let users: Vec<Value> = BATCH.iter().map(|id| json!({ "user_id": id })).collect();
    let rows = [users, vec![json!({ "user_id": "ada" }), json!({ "user_id": "" })]].concat();
    let answer = life.organization.writer.post("/v1/end-users/batch", &json!({ "users": rows }))?;
    for (pointer, expected) in [("/created", 5), ("/existing", 1), ("/failed", 1), ("/results/6/status", 422)] {
        answer.expect_member(200, pointer, &expected.into())?;
    }
    Ok(())
}

/// Pages in order, from cursor to cursor, with everything that was just written.
pub fn lists(life: &Life<'_>) -> Checked {
    let writer = &life.organization.writer;
    let mut listed = Vec::new();
    let mut path = format!("{END_USERS}?limit=2&user_id_prefix=batch-");
    // Five users are three pages.
    for _ in 0..3 {
        let page = writer.get(&path)?;
        let body = page.expect(200)?;
        let users = body["data"].as_array().cloned().unwrap_or_default();
        listed.extend(users.iter().filter_map(|user| user["user_id"].as_str().map(str::to_owned)));
        let Some(cursor) = body["next_cursor"].as_str() else { break };
        path = format!("{END_USERS}?limit=2&user_id_prefix=batch-&cursor={cursor}");
    }
    if listed != BATCH {
        let what = format!("GET {END_USERS} lists {listed:?} after {BATCH:?} were registered");
        return Err(Fault::new(what, "see the log (npx wrangler tail) for why changes do not reach D1"));
    }
    writer.get(&format!("{END_USERS}?cursor=forged"))?.expect_status(400)?;
    writer.send("HEAD", END_USERS, None)?.expect_status(200)
}

/// The same key gets the first answer.
pub fn idempotency(life: &Life<'_>) -> Checked {
    let writer = life.organization.writer.with("Idempotency-Key", "verify-1");
    let request = json!({ "user_id": "idempotent" });
    writer.post(END_USERS, &request)?.expect_status(201)?;
    let again = writer.post(END_USERS, &request)?;
    again.expect_status(201)?;
    again.expect_headers(&["idempotency-replayed"])?;
    writer.post(END_USERS, &json!({ "user_id": "other" }))?.expect_member(
        422,
        "/error/code",
        &"idempotency_mismatch".into(),
    )?;
    Ok(())
}

pub fn export(life: &Life<'_>) -> Checked {
    let answer = life.organization.reader.get(&format!("{ADA}/export"))?;
    let body = answer.expect(200)?;
    if body.to_string().contains("\"ada\"") {
        return Ok(());
    }
    Err(Fault::new(
        format!("{answer} does not hold the whole record"),
        "let nothing in front of the Worker cut answers off",
    ))
}

/// Gone from lists at once, from every store soon after, and then the id is free.
pub fn erase(life: &Life<'_>) -> Checked {
    let writer = &life.organization.writer;
    let erased = format!("{END_USERS}/{}", BATCH[0]);
    let accepted = writer.send("DELETE", &erased, Some(("application/json", "{\"reason\":\"verify\"}")))?;
    accepted.expect_member(202, "/status", &"deletion_pending".into())?;
    let listed = writer.get(&format!("{END_USERS}?user_id_prefix={}", BATCH[0]))?;
    listed.expect_member(200, "/data", &json!([]))?;
    let receipt = format!("/v1/deletions/{}", accepted.text("deletion_id")?);
    // Each repetition gets the same receipt until the erasure is over, and no cache answers it.
    let is_over = |answer: &Checked<Answer>| answer.as_ref().map_or(true, |answer| answer.status != 202);
    let last = wait::until(ERASURE_LIMIT, || writer.delete(&erased), is_over)?;
    last.expect_status(404).map_err(|fault| Fault {
        remedy: "see the log (npx wrangler tail) for why the object cannot purge D1 or KV, or does not get its alarm"
            .to_owned(),
        ..fault
    })?;
    writer.get(&receipt)?.expect_member(200, "/status", &"completed".into())?;
    writer.get(&erased)?.expect_status(404)?;
    writer.post(END_USERS, &json!({ "user_id": BATCH[0] }))?.expect_status(201)
}

/// Percent-encodes everything but unreserved characters.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // A string takes everything.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}
