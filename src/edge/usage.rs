//! What an organization has used of its billing period.

use serde::Serialize;

use super::endpoint::{Input, Plan};
use super::exchange::{Exchange, internal, unexpected};
use super::fault::Fault;
use super::fields::QueryFields;
use super::http::{Incoming, Response};
use super::organizations;
use super::runtime::{Door, Runtime};
use crate::directory::identifiers::{Mode, OrganizationId, Tenant};
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
        serde_json::to_string(&view).map(|body| Response::json(200, body)).map_err(internal)
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
pub async fn admin<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    parameters: &[&str],
) -> Result<Response, Fault> {
    QueryFields::none(exchange.target.query)?;
    let organization = organizations::find(exchange, parameters).await?;
    let mut modes = Vec::new();
    for mode in Mode::ALL {
        // An object that never had a key knows no limits yet.
        let settings = organizations::settings(&organization, mode);
        let tenant = Tenant { organization: organization.id, mode };
        exchange.ask_as_operator(tenant, Door::Handle, Command::Configure(settings)).await?;
        match exchange.ask_as_operator(tenant, Door::Handle, Command::ReadUsage).await? {
            Outcome::Usage { quota, period_start } => {
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
            other => return Err(unexpected(&other)),
        }
    }
    let view = OrganizationUsage { organization_id: organization.id, modes };
    serde_json::to_string(&view).map(|body| Response::json(200, body)).map_err(internal)
}
