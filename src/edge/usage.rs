//! What an organization has used of its billing period.

use serde::Serialize;

use super::endpoint::{Input, Plan};
use super::exchange::{Operator, internal, unexpected};
use super::fault::Fault;
use super::http::Response;
use super::operator::ask_both;
use super::organizations;
use super::runtime::Door;
use super::step::{Next, Step};
use crate::directory::identifiers::{Mode, OrganizationId};
use crate::directory::json;
use crate::directory::timestamp::Timestamp;
use crate::organization::protocol::{Command, Component, Outcome};
use crate::organization::quotas::Quota;

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "Usage"))]
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
    Plan::new(Command::ReadUsage, move |outcome| {
        let Outcome::Usage { quota, period_start } = outcome else { return Err(unexpected(&outcome)) };
        let (used, limit) = of(&quota, component);
        let view = UsageView { used, limit, period_start, resets_at: quota.resets_at };
        json::write(&view).map(|body| Response::json(200, body)).map_err(internal)
    })
}

pub const fn of(quota: &Quota, component: Component) -> (u64, u64) {
    match component {
        Component::Turns => (quota.turns_used, quota.turns_limit),
        Component::ActiveRelationships => (quota.relationships_used, quota.relationships_limit),
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct OrganizationUsage {
    organization_id: OrganizationId,
    modes: Vec<ModeUsage>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
struct ModeUsage {
    mode: Mode,
    turns: Share,
    active_relationships: Share,
    period_start: Timestamp,
    resets_at: Timestamp,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
struct Share {
    used: u64,
    limit: u64,
}

/// `GET /admin/v1/organizations/{organization_id}/usage`, by mode.
pub fn admin<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let operator = input.caller;
    organizations::find(input, move |organization| {
        let id = organization.id;
        // An object that never had a key knows no limits yet.
        let commands = Mode::ALL.map(|mode| Command::Configure(organizations::settings(&organization, mode)));
        let then = move |_| {
            let commands = [Command::ReadUsage, Command::ReadUsage];
            let then = move |outcomes| respond(id, outcomes).map(Step::Respond);
            Ok(ask_both(operator, id, Door::Handle, commands, Box::new(then)))
        };
        Ok(ask_both(operator, id, Door::Handle, commands, Box::new(then)))
    })
}

fn respond(organization_id: OrganizationId, outcomes: [Outcome; 2]) -> Result<Response, Fault> {
    let mut modes = Vec::with_capacity(2);
    for (mode, outcome) in Mode::ALL.into_iter().zip(outcomes) {
        let Outcome::Usage { quota, period_start } = outcome else { return Err(unexpected(&outcome)) };
        let share = |component| {
            let (used, limit) = of(&quota, component);
            Share { used, limit }
        };
        modes.push(ModeUsage {
            mode,
            turns: share(Component::Turns),
            active_relationships: share(Component::ActiveRelationships),
            period_start,
            resets_at: quota.resets_at,
        });
    }
    let view = OrganizationUsage { organization_id, modes };
    json::write(&view).map(|body| Response::json(200, body)).map_err(internal)
}
