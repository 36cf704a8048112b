//! What an organization has used of its billing period.

use serde::Serialize;

use crate::directory::quota::Component;
use crate::directory::timestamp::Timestamp;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::http::response::Response;
use crate::fault::Fault;
use crate::organization::protocol::{ReadUsage, Usage};

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
