//! The other dialects: agents, turns and principals.

use std::time::Duration;

use serde_json::json;

use super::answer::QUOTAS;
use super::life::Life;
use super::report::{Checked, Fault};

const AGENTS: &str = "/api/v1/agents";
const PRINCIPALS: &str = "/api/v1/principals";
/// `RESPONDER_TIMEOUT_MS` may be longer, but a caller seldom waits for so long.
const TURN_LIMIT: Duration = Duration::from_mins(1);

/// An agent is made, then found, and its bodies name their schema.
pub fn agents(life: &Life<'_>) -> Checked {
    let writer = &life.organization.writer;
    let agent = json!({ "name": "verify" });
    let made = writer.post(AGENTS, &agent)?;
    made.expect_member(201, "/$schema", &"/api/v1/schemas/Agent.json".into())?;
    writer.post(AGENTS, &agent)?.expect_member(200, "/agent_id", &made.text("agent_id")?.into())?;
    let users = writer.get(&format!("{AGENTS}/verify/users?page_size=1"))?;
    users.expect_member(200, "/users", &json!([])).map(drop)
}

/// A turn is answered, and counted.
pub fn turn(life: &Life<'_>) -> Checked {
    let writer = life.organization.writer.within(TURN_LIMIT);
    let answer = writer.post("/v1/respond", &json!({ "message": "Say hello.", "personality_id": "verify" }))?;
    if matches!(answer.status, 502 | 504) {
        let code = answer.unexpected("200").what;
        return Err(Fault::new(
            format!("{code}: the service that answers turns gives no answer"),
            "see that RESPONDER_URL, RESPONDER_KEY and RESPONDER_MODEL are right and that the service answers; the log says \
             what it said. Without RESPONDER_URL an echo answers",
        ));
    }
    answer.expect_member(200, "/usage/turns_consumed", &1.into())?;
    answer.expect_headers(QUOTAS)?;
    let used = writer.get("/v1/usage/turns")?;
    used.expect_member(200, "/used", &1.into()).map(drop)
}

/// A human principal is the end user of the same id.
pub fn principals(life: &Life<'_>) -> Checked {
    let service = &life.organization.service;
    let human = json!({ "external_id": "ada", "type": "human", "name": "Ada" });
    let found = service.post(PRINCIPALS, &human)?;
    found.expect_member(200, "/result/created", &false.into())?;
    let read = service.get(&format!("{PRINCIPALS}/by-external-id/ada"))?;
    read.expect_member(200, "/result/id", &found.json()["result"]["id"])?;
    service.get(&format!("{PRINCIPALS}?limit=1"))?.expect_member(200, "/meta/has_more", &true.into())?;
    let refused = service.post(PRINCIPALS, &json!({ "external_id": "ada", "type": "robot", "name": "Ada" }))?;
    refused.expect_member(422, "/success", &false.into())?;
    refused.expect_member(422, "/error/detail/0/loc/1", &"type".into()).map(drop)
}
