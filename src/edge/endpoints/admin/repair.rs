//! `/admin/v1/organizations/{organization_id}/repair`, and the audit that comes by
//! itself: comparing the projections with the objects and mending what differs.

use serde::Serialize;

use super::organizations;
use crate::directory::identifiers::{Mode, OrganizationId};
use crate::directory::organization::Organization;
use crate::directory::timestamp::Timestamp;
use crate::edge::endpoint::Input;
use crate::edge::exchange::{Operator, unexpected};
use crate::edge::http::body::Body;
use crate::edge::http::response::Response;
use crate::edge::operator::ask_both;
use crate::edge::runtime::Door;
use crate::edge::step::{Next, Step};
use crate::fault::Fault;
use crate::fault::internal;
use crate::input::{Fields, both};
use crate::json;
use crate::organization::protocol::{AuditPhase, AuditReport, Command, Differences, Outcome};

/// An organization's audit as the admin API shows it.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "Repair"))]
pub struct RepairView {
    organization_id: OrganizationId,
    /// `completed` when both modes are.
    status: Status,
    modes: Vec<ModeView>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "RepairMode"))]
struct ModeView {
    mode: Mode,
    status: Status,
    /// What is being compared; `null` when nothing is left.
    phase: Option<AuditPhase>,
    started_at: Timestamp,
    completed_at: Option<Timestamp>,
    users_compared: i64,
    /// The listing was lost, or restored to another moment.
    listing_fence_reset: bool,
    listing: Differences,
    cache: Differences,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "RepairStatus"))]
enum Status {
    Running,
    Completed,
}

impl ModeView {
    fn new(mode: Mode, report: &AuditReport) -> Self {
        let AuditReport { phase, started_at, completed_at, users, fence_reset, listing, cache } = *report;
        let status = if phase.is_some() { Status::Running } else { Status::Completed };
        Self {
            mode,
            status,
            phase,
            started_at,
            completed_at,
            users_compared: users,
            listing_fence_reset: fence_reset,
            listing,
            cache,
        }
    }
}

/// `POST …/repair`: 200 with what differed when it is done within some seconds, else
/// 202, and the objects go on by themselves; asked again, it tells how far they are.
pub fn repair<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let options = match &input.body {
        Body::Empty => Ok(()),
        sent => sent.fields().and_then(Fields::finish),
    };
    let (id, ()) = both(organizations::id(input), options)?;
    let operator = input.caller;
    let then = move |organization: Organization| {
        let commands = Mode::ALL.map(|mode| Command::StartAudit(organizations::settings(&organization, mode)));
        let then = move |outcomes| respond(id, outcomes).map(Step::Respond);
        Ok(ask_both(operator, id, Door::HandleAudited, commands, Box::new(then)))
    };
    Ok(organizations::with(id, Box::new(then)))
}

/// `GET …/repair`: the last one of each mode that ever had one; 404 when none had.
pub fn get<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let operator = input.caller;
    organizations::find(input, move |Organization { id, .. }| {
        let then = move |outcomes| {
            let response = respond(id, outcomes)?;
            Ok(Step::Respond(Response { status: 200, ..response }))
        };
        Ok(ask_both(operator, id, Door::Handle, [Command::ReadAudit, Command::ReadAudit], Box::new(then)))
    })
}

fn respond(organization_id: OrganizationId, outcomes: [Outcome; 2]) -> Result<Response, Fault> {
    let mut modes = Vec::with_capacity(2);
    for (mode, outcome) in Mode::ALL.into_iter().zip(outcomes) {
        let Outcome::Audit(report) = outcome else { return Err(unexpected(&outcome)) };
        modes.extend(report.map(|report| ModeView::new(mode, &report)));
    }
    if modes.is_empty() {
        return Err(Fault::NotFound("repair"));
    }
    let completed = modes.iter().all(|mode| mode.status == Status::Completed);
    let status = if completed { Status::Completed } else { Status::Running };
    let body = json::write(&RepairView { organization_id, status, modes }).map_err(internal)?;
    Ok(Response::json(if completed { 200 } else { 202 }, body))
}
