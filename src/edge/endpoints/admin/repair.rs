//! `/admin/v1/organizations/{organization_id}/repair`: comparing the projections with the objects and mending what
//! differs.

use serde::Serialize;

use crate::directory::identifiers::{Mode, OrganizationId};
use crate::edge::closing;
use crate::edge::endpoint::AdminInput;
use crate::edge::exchange::Exchange;
use crate::edge::http::body::Body;
use crate::edge::http::response::Response;
use crate::edge::organizations;
use crate::edge::runtime::{ObjectMethod, Runtime};
use crate::fault::Fault;
use crate::input::{Fields, both};
use crate::organization::protocol::{AuditReport, ReadAudit, StartAudit};

/// An organization's audit as the admin API shows it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Repair")]
pub struct RepairView {
    organization_id: OrganizationId,
    /// `completed` when both modes are.
    status: RepairStatus,
    modes: Vec<ModeView>,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "RepairMode")]
struct ModeView {
    mode: Mode,
    status: RepairStatus,
    #[serde(flatten)]
    report: AuditReport,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RepairStatus {
    Running,
    Completed,
}

/// `POST …/repair`: 200 with what differed if the audit ends within some seconds. Else 202: the objects continue by
/// themselves, and a repetition tells how far they are. 404 for an organization that was deleted and is in D1 again: it
/// is deleted once more.
pub async fn start(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let options = match &input.body {
        Body::Empty => Ok(()),
        sent => sent.fields().and_then(Fields::finish),
    };
    let read = both(organizations::id(&input), options);
    let (id, ()) = input.complete(read)?;
    let organization = organizations::find(exchange, id).await?;
    let commands =
        Mode::ALL.map(|mode| StartAudit { settings: organizations::settings(&organization, mode), is_repair: true });
    match exchange.call_both_as(input.caller, id, ObjectMethod::HandleAudited, commands).await {
        Ok(reports) => respond(id, reports),
        // The objects are closed: D1 was restored to a moment before the organization's deletion.
        Err(Fault::NotFound(what)) => {
            closing::close_again(exchange.runtime, exchange.request_id, id).await?;
            Err(Fault::NotFound(what))
        }
        Err(fault) => Err(fault),
    }
}

/// `GET …/repair`: the last audit of each mode; 404 when neither mode had one.
pub async fn get(exchange: &mut Exchange<'_, impl Runtime>, mut input: AdminInput<'_>) -> Result<Response, Fault> {
    let id = organizations::find_named(exchange, &mut input).await?.id;
    let commands = [ReadAudit, ReadAudit];
    let response = respond(id, exchange.call_both_as(input.caller, id, ObjectMethod::Handle, commands).await?)?;
    Ok(Response { status: 200, ..response })
}

fn respond(organization_id: OrganizationId, reports: [Option<AuditReport>; 2]) -> Result<Response, Fault> {
    let mut modes = Vec::with_capacity(2);
    for (mode, report) in Mode::ALL.into_iter().zip(reports) {
        modes.extend(report.map(|report| {
            let status = if report.phase.is_some() { RepairStatus::Running } else { RepairStatus::Completed };
            ModeView { mode, status, report }
        }));
    }
    if modes.is_empty() {
        return Err(Fault::NotFound("repair"));
    }
    let completed = modes.iter().all(|mode| mode.status == RepairStatus::Completed);
    let status = if completed { RepairStatus::Completed } else { RepairStatus::Running };
    Response::json(if completed { 200 } else { 202 }, &RepairView { organization_id, status, modes })
}
