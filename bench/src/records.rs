//! The records in requests: what a legal body holds, and what a request takes away.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use serde_json::{Value, json};
use xtask::Result;

use crate::largest::{self, Largest, Users};
use crate::letters::Letters;
use crate::raw::Ask;
use crate::sizes::Sizes;

/// Room for what an event holds besides its addresses, the first of them included.
const EVENT_BYTES: usize = 400;
/// Room for the members of a turn beside its context.
const TURN_BYTES: usize = 1_000;
const BODY_BYTES: usize = 64 * 1024;
const REASON_CHARACTERS: usize = 500;

/// A legal body of an operation.
pub fn legal(operation: &str, sizes: Sizes, number: usize) -> String {
    let Sizes { letters, bytes, .. } = sizes;
    let name = || Value::from(letters.of_name().filled(""));
    let metadata = || letters.object(bytes);
    match operation {
        "POST /v1/end-users" => largest::new_user(&format!("new-{number}"), letters, bytes),
        "POST /v1/end-users/batch" => batch(sizes, number),
        "POST /v1/end-users/batch-get" => {
            let users = Users::of_bytes(bytes);
            ids((0..sizes.rows.max(1)).map(|row| largest::user_id(letters, users, row)))
        }
        "POST /v1/end-users/batch-erase" => ids(gone(sizes, number)),
        "PATCH /v1/end-users/{user_id}"
        | "PATCH /api/v1/agents/{agent_id}"
        | "PATCH /api/v1/principals/{principal_id}" => {
            format!("{{\"metadata\":{}}}", metadata())
        }
        "POST /v1/respond" => turn(sizes),
        "POST /api/v1/agents" => {
            let name = Value::from(letters.of_name().filled(&format!("new {number}")));
            format!("{{\"name\":{name},\"metadata\":{}}}", metadata())
        }
        "POST /api/v1/principals" => format!(
            "{{\"type\":\"human\",\"external_id\":\"principal-{number}\",\"name\":{},\"metadata\":{}}}",
            name(),
            metadata()
        ),
        "POST /webhooks/clerk" => event(sizes, number),
        "POST /admin/v1/organizations" => {
            json!({ "name": name(), "clerk_org_id": format!("org_new_{number:0>240}") }).to_string()
        }
        "PATCH /admin/v1/organizations/{organization_id}" | "POST /admin/v1/operators" => {
            json!({ "name": name() }).to_string()
        }
        "POST /admin/v1/organizations/{organization_id}/keys" => {
            json!({ "kind": "api", "mode": "test", "name": name() }).to_string()
        }
        "POST /admin/v1/organizations/{organization_id}/repair" => "{}".to_owned(),
        "POST /admin/v1/organizations/{organization_id}/import" => import(sizes, number),
        // All deletions.
        _ => json!({ "reason": letters.of_name().characters(REASON_CHARACTERS) }).to_string(),
    }
}

fn ids(ids: impl Iterator<Item = String>) -> String {
    json!({ "user_ids": ids.collect::<Vec<_>>() }).to_string()
}

/// The users that one request erases.
fn gone(Sizes { letters, rows, .. }: Sizes, number: usize) -> impl Iterator<Item = String> {
    (0..rows.max(1)).map(move |row| letters.of_name().filled(&format!("gone-{number}-{row}-")))
}

/// As many rows as fit into a batch, of users who are not there yet.
fn batch(Sizes { letters, bytes, rows, .. }: Sizes, number: usize) -> String {
    let mut body = "{\"users\":[".to_owned();
    for row in 0..rows.max(1) {
        let user = largest::new_user(&letters.of_name().filled(&format!("batch-{number}-{row}-")), letters, bytes);
        if body.len() + user.len() + 3 > 16 * BODY_BYTES {
            break;
        }
        if row > 0 {
            body.push(',');
        }
        body.push_str(&user);
    }
    body + "]}"
}

/// As many records of users who are not there yet as fit into an import.
fn import(Sizes { letters, bytes, rows, .. }: Sizes, number: usize) -> String {
    let record = |row: usize| {
        let user_id = Value::from(letters.of_name().filled(&format!("import-{number}-{row}-")));
        let id = format!("01890000-0000-7000-8000-{:012x}", fastrand::u64(..1 << 48));
        let (then, metadata) = ("2026-01-01T00:00:00Z", letters.object(bytes));
        format!(
            "{{\"type\":\"end_user\",\"user_id\":{user_id},\"principal_id\":\"{id}\",\"metadata\":{metadata},\
             \"created_at\":\"{then}\",\"updated_at\":\"{then}\"}}"
        )
    };
    let records = (0..rows.max(1)).map(record).scan(0, |length, record| {
        *length += record.len() + 1;
        (*length < 16 * BODY_BYTES - 100).then_some(record)
    });
    format!("{{\"records\":[{}]}}", records.collect::<Vec<_>>().join(","))
}

fn turn(Sizes { letters, rows, shape, .. }: Sizes) -> String {
    let message = Value::from(letters.characters(rows.clamp(1, 32_000)));
    let mut message = message.to_string();
    // The user's id and the agent's name have up to 1 KiB each.
    let room = BODY_BYTES - TURN_BYTES - 4 * 1_024;
    if message.len() > room {
        message = letters.of_name().string(room);
    }
    let user_id = Value::from(largest::user_id(letters, Users::Full, 0));
    let agent = Value::from(letters.of_name().filled(&format!("of {:?} Full", letters.of_name())));
    let left =
        (BODY_BYTES - TURN_BYTES).saturating_sub(message.len() + user_id.to_string().len() + agent.to_string().len());
    let context = letters.object(left);
    let stream = shape == crate::sizes::Shape::Streamed;
    format!(
        "{{\"message\":{message},\"user_id\":{user_id},\"personality_id\":{agent},\"stream\":{stream},\
         \"context\":{context}}}"
    )
}

/// A person with as many addresses as fit.
fn event(Sizes { letters, bytes, .. }: Sizes, number: usize) -> String {
    let address = |index: usize| {
        let text = letters.of_name().characters(8);
        json!({ "id": format!("idn_{index}"), "email_address": format!("{text}{index}@example.com") }).to_string()
    };
    // One at least, and as many as there is room for.
    let (mut addresses, mut length) = (vec![address(0)], EVENT_BYTES);
    loop {
        let next = address(addresses.len());
        length += next.len() + 1;
        if length > bytes {
            break;
        }
        addresses.push(next);
    }
    format!(
        "{{\"type\":\"user.updated\",\"data\":{{\"id\":\"user_new_{number}\",\"primary_email_address_id\":\"idn_0\",\
         \"email_addresses\":[{}],\"updated_at\":{number}}}}}",
        addresses.join(",")
    )
}

/// Makes what a request of an operation takes away: the parameter of its path, and the id.
pub fn taken_away(
    largest: &Largest,
    operation: &str,
    sizes: Sizes,
    number: usize,
) -> Result<Option<(&'static str, String)>> {
    let Sizes { letters, bytes, rows, .. } = sizes;
    let id = letters.of_name().filled(&format!("gone-{number}-"));
    Ok(Some(match operation {
        "DELETE /v1/end-users/{user_id}" => {
            let user = largest::new_user(&id, letters, bytes);
            for answer in 0..=rows {
                let key = format!("gone-{number}-{answer}");
                let ask = largest.api("POST", "/v1/end-users").with("idempotency-key", &key).json(user.clone());
                ask.expect(&largest.authority)?;
            }
            ("{user_id}", id)
        }
        "POST /v1/end-users/batch-erase" => {
            let users = gone(sizes, number).map(|id| largest::new_user(&id, letters, bytes));
            for batch in largest::batches(users) {
                largest.api("POST", "/v1/end-users/batch").json(batch).expect(&largest.authority)?;
            }
            return Ok(None);
        }
        "DELETE /v1/relationships/{relationship_id}" => {
            let turn = largest.turn(&format!("gone-{number}"), &of(&largest.full_agent, &letters)?);
            turn.expect(&largest.authority)?;
            ("{relationship_id}", largest.relationship_of(&format!("gone-{number}"))?)
        }
        "DELETE /api/v1/agents/{agent_id}" => {
            let agent = legal("POST /api/v1/agents", sizes, number);
            let agent = made(largest, &largest.api("POST", "/api/v1/agents").json(agent), "/agent_id")?;
            for user in 0..rows {
                let user = largest::user_id(Letters::Quotes, Users::Full, user);
                largest.turn(&user, &agent).expect(&largest.authority)?;
            }
            ("{agent_id}", agent)
        }
        "DELETE /api/v1/principals/{principal_id}" => {
            let principal = legal("POST /api/v1/principals", sizes, number);
            let ask = largest.service("POST", "/api/v1/principals").json(principal);
            ("{principal_id}", made(largest, &ask, "/result/id")?)
        }
        "DELETE /admin/v1/organizations/{organization_id}/keys/{key_id}" => {
            let path = format!("/admin/v1/organizations/{}/keys", largest.organization_id);
            let key = legal("POST /admin/v1/organizations/{organization_id}/keys", sizes, number);
            ("{key_id}", made(largest, &Largest::operator("POST", path).json(key), "/id")?)
        }
        "DELETE /admin/v1/operators/{operator_id}" => {
            let operator = legal("POST /admin/v1/operators", sizes, number);
            let ask = Largest::operator("POST", "/admin/v1/operators").json(operator);
            ("{operator_id}", made(largest, &ask, "/id")?)
        }
        "DELETE /admin/v1/organizations/{organization_id}" => {
            let organization = legal("POST /admin/v1/organizations", sizes, number);
            let ask = Largest::operator("POST", "/admin/v1/organizations").json(organization);
            ("{organization_id}", made(largest, &ask, "/id")?)
        }
        _ => return Ok(None),
    }))
}

fn made(largest: &Largest, ask: &Ask, pointer: &str) -> Result<String> {
    let record = ask.expect(&largest.authority)?;
    let id = record.pointer(pointer).and_then(Value::as_str);
    Ok(id.ok_or_else(|| format!("there is no {pointer} in {record:.300}"))?.to_owned())
}

/// A record of the largest state.
pub fn of<K: Hash + Eq, V: ToString, S: BuildHasher>(map: &HashMap<K, V, S>, key: &K) -> Result<String> {
    Ok(map.get(key).ok_or("the state lacks a record")?.to_string())
}
