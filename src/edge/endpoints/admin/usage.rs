//! `GET /admin/v1/organizations/{organization_id}/usage`.

use serde::Serialize;

use crate::directory::identifiers::{Mode, OrganizationId};
use crate::directory::quota::Component;
use crate::directory::timestamp::Timestamp;
use crate::edge::endpoint::AdminInput;
use crate::edge::exchange::Exchange;
use crate::edge::http::response::Response;
use crate::edge::organizations;
use crate::edge::runtime::{ObjectMethod, Runtime};
use crate::fault::Fault;
use crate::organization::protocol::{ReadUsage, Usage};

#[derive(Serialize, schemars::JsonSchema)]
pub struct OrganizationUsage {
    organization_id: OrganizationId,
    modes: Vec<ModeUsage>,
}

#[derive(Serialize, schemars::JsonSchema)]
struct ModeUsage {
    mode: Mode,
    turns: Share,
    active_relationships: Share,
    period_start: Timestamp,
    resets_at: Timestamp,
}

#[derive(Serialize, schemars::JsonSchema)]
struct Share {
    used: u64,
    limit: u64,
}

/// `GET /admin/v1/organizations/{organization_id}/usage`, by mode.
pub async fn get(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let organization = organizations::find_named(exchange, &mut input).await?;
    let id = organization.id;
    // An object without a key has no limits yet.
    let settings = Mode::ALL.map(|mode| organizations::settings(&organization, mode));
    exchange.call_both_as(input.caller, id, ObjectMethod::Handle, settings).await?;
    respond(id, exchange.call_both_as(input.caller, id, ObjectMethod::Handle, [ReadUsage, ReadUsage]).await?)
}

fn respond(organization_id: OrganizationId, usages: [Usage; 2]) -> Result<Response, Fault> {
    let mut modes = Vec::with_capacity(2);
    for (mode, Usage { quota, period_start }) in Mode::ALL.into_iter().zip(usages) {
        let share = |component| {
            let (used, limit) = quota.of(component);
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
    Response::json(200, &view)
}
