//! What an organization has used of its billing period, and what one of its end users has.

use serde::Serialize;

use crate::directory::names::UserId;
use crate::directory::quota::Component;
use crate::directory::timestamp::Timestamp;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::http::response::Response;
use crate::fault::Fault;
use crate::input::both;
use crate::organization::protocol::{ReadUsage, ReadUserUsage, Usage, UserUsage};

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Usage")]
pub struct UsageView {
    used: u64,
    limit: u64,
    period_start: Timestamp,
    resets_at: Timestamp,
}

/// `GET /v1/usage/turns`.
pub fn turns<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    input.query.finish().map(|()| plan(Component::Turns))
}

/// `GET /v1/usage/active-relationships`.
pub fn active_relationships<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    input.query.finish().map(|()| plan(Component::ActiveRelationships))
}

fn plan<'a>(component: Component) -> Plan<'a> {
    Plan::new(ReadUsage, move |Usage { quota, period_start }| {
        let (used, limit) = quota.of(component);
        let view = UsageView { used, limit, period_start, resets_at: quota.resets_at };
        Response::json(200, &view)
    })
}

#[derive(Serialize, schemars::JsonSchema)]
pub struct EndUserUsage {
    user_id: UserId,
    turns: EndUserTurns,
    period_start: Timestamp,
    resets_at: Timestamp,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
struct EndUserTurns {
    /// Turns that are counted.
    used: u64,
    /// Turns in progress, which are counted or given back.
    reserved: u64,
    /// `null` when the organization sets no limit.
    limit: Option<u64>,
    /// What is left; `null` without a limit.
    remaining: Option<u64>,
}

/// `GET /v1/end-users/{user_id}/usage`.
pub fn of_end_user<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let (user_id, ()) = both(input.path("user_id", UserId::new), input.query.finish())?;
    let command = ReadUserUsage { user_id: user_id.clone() };
    Ok(Plan::new(command, |UserUsage { used, reserved, limit, period_start, resets_at }| {
        let remaining = limit.map(|limit| limit.saturating_sub(used).saturating_sub(reserved));
        let turns = EndUserTurns { used, reserved, limit, remaining };
        Response::json(200, &EndUserUsage { user_id, turns, period_start, resets_at })
    }))
}
