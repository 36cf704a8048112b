//! `/admin/v1/organizations/{organization_id}/repair`, and the audit that comes by
//! itself: comparing the projections with the objects and mending what differs.

use serde::Serialize;

use super::endpoint::{Body, Input};
use super::exchange::{Operator, internal, unexpected};
use super::fault::Fault;
use super::fields::{Fields, both};
use super::http::Response;
use super::operator::ask_both;
use super::runtime::{Door, Runtime};
use super::step::{Next, Step};
use super::{organization_deletions, organizations};
use crate::directory::identifiers::{Mode, OrganizationId, RequestId};
use crate::directory::json;
use crate::directory::organization::Organization;
use crate::directory::timestamp::Timestamp;
use crate::organization::audit::{Differences, Phase, Report};
use crate::organization::protocol::{self, Call, Caller, Command, Outcome, Reply};
use crate::projection::{Database, Statement, StoreError};

/// How long after an organization's audit the next one comes by itself.
const INTERVAL_MS: i64 = 24 * 60 * 60 * 1_000;
/// Organizations that one tick begins to audit: two calls each, and one invocation
/// may make a limited number of them.
const ORGANIZATIONS_MAX: i64 = 100;

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
    phase: Option<Phase>,
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
    fn new(mode: Mode, report: &Report) -> Self {
        let Report { phase, started_at, completed_at, users, fence_reset, listing, cache } = *report;
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

/// Takes up the deletions of organizations that are not completed, and begins the audits that
/// are due, a bounded number, those first that have waited longest. The objects carry both out
/// by themselves.
pub async fn tick<R: Runtime>(runtime: &R) {
    let mut line = Line { scheduled: "audit", started: 0, deletions_completed: 0, reason: None };
    match organization_deletions::settle_pending(runtime, runtime.now()).await {
        Ok(completed) => line.deletions_completed = completed,
        Err(fault) => line.reason = fault.log_reason().map(str::to_owned),
    }
    if let Err(error) = start_due(runtime, runtime.now(), &mut line).await {
        line.reason = Some(error.0);
    }
    if let Ok(line) = json::write(&line) {
        runtime.log(&line);
    }
}

/// What the log hears of a tick.
#[derive(Serialize)]
struct Line {
    scheduled: &'static str,
    /// Organizations whose audit was begun.
    started: usize,
    /// Organizations whose deletion turned out to be completed.
    deletions_completed: usize,
    /// Why one could not be, or none at all.
    reason: Option<String>,
}

async fn start_due<R: Runtime>(runtime: &R, now: Timestamp, line: &mut Line) -> Result<(), StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError(error.to_string());
    let database = runtime.database().map_err(|error| failed(&error))?;
    let due_ms = now.millis().saturating_sub(INTERVAL_MS);
    let select = Statement {
        sql: "SELECT document AS text FROM organizations WHERE audited_at <= ?1 ORDER BY audited_at LIMIT ?2".into(),
        parameters: vec![due_ms.into(), ORGANIZATIONS_MAX.into()],
    };
    for text in database.query(&select).await?.rows {
        let organization = Organization::read(&text).map_err(|error| failed(&error))?;
        if let Err(error) = start(runtime, &organization, now).await {
            // The others need not wait for the one that can't be reached.
            line.reason = Some(error.0);
            continue;
        }
        let id = organization.id.to_string();
        let note = Statement {
            sql: "UPDATE organizations SET audited_at = ?2 WHERE id = ?1".into(),
            parameters: vec![id.as_str().into(), now.millis().into()],
        };
        database.batch(&[note]).await?;
        line.started = line.started.saturating_add(1);
    }
    Ok(())
}

/// Begins the audits of both modes.
async fn start<R: Runtime>(runtime: &R, organization: &Organization, now: Timestamp) -> Result<(), StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError(error.to_string());
    for mode in Mode::ALL {
        let settings = organizations::settings(organization, mode);
        let tenant = settings.tenant;
        let random = runtime.random().map_err(|error| failed(&error))?;
        let call = Call {
            request_id: RequestId::new(now, random),
            repeated: false,
            caller: Caller::Operator,
            idempotency: None,
            command: Command::StartAudit(settings),
        };
        let bytes = protocol::encode(&call).map_err(|error| failed(&error))?;
        let reply = runtime.call(tenant, Door::Handle, &bytes).await.map_err(|error| StoreError(error.message))?;
        protocol::decode::<Reply>(&reply).map_err(|error| failed(&error))?;
    }
    Ok(())
}
