//! The cron trigger: work that no request starts, for all organizations.

use serde::Serialize;

use super::calls::ask_as_operator;
use super::runtime::Runtime;
use super::{closing, organizations};
use crate::directory::identifiers::{Mode, RequestId};
use crate::directory::organization::Organization;
use crate::directory::timestamp::Timestamp;
use crate::fault::{Fault, internal, store_unavailable};
use crate::organization::protocol::{Rejection, StartAudit};
use crate::projection::{Database, Statement};

/// How long after its last audit an object is overdue, in milliseconds. An object begins an audit every 24 hours by
/// itself, and needs some time until it does.
const OVERDUE_MS: i64 = 26 * 60 * 60 * 1_000;
/// When an object that could not be reached is overdue again, in milliseconds.
const AGAIN_MS: i64 = 60 * 60 * 1_000;

const SELECT_OVERDUE: &str = "
    SELECT json_array(id, document) AS text FROM organizations WHERE min(live_audited_at, test_audited_at) <= ?1
    ORDER BY min(live_audited_at, test_audited_at) LIMIT ?2";
const NOTE_RUN: &str = "UPDATE cron SET ran_at = ?1 WHERE one = 1";
const NOTE: &str = "UPDATE organizations SET live_audited_at = ?2, test_audited_at = ?2 WHERE id = ?1";

/// Organizations that one tick begins to audit: two calls each, and one invocation may make a limited number of
/// them.
const ORGANIZATIONS_MAX: i64 = 100;

/// Continues the deletions of organizations that are not completed, and begins the audits of objects that have not begun
/// them by themselves: a bounded number of each, the oldest first. Such an object has lost its alarm, or D1 its row. The
/// objects carry both out by themselves.
pub async fn tick(runtime: &impl Runtime) {
    let mut line = TickLine { scheduled: "audit", started: 0, unreadable: 0, deletions_completed: 0, reason: None };
    if let Err(fault) = note_run(runtime).await {
        line.reason = fault.log_reason().map(str::to_owned);
    }
    match closing::settle_pending(runtime, runtime.now()).await {
        Ok(completed) => line.deletions_completed = completed,
        Err(fault) => line.reason = fault.log_reason().map(str::to_owned),
    }
    if let Err(fault) = start_due(runtime, runtime.now(), &mut line).await {
        line.reason = fault.log_reason().map(str::to_owned);
    }
    if let Ok(line) = serde_json::to_string(&line) {
        runtime.log(&line);
    }
}

/// The log line of a tick.
#[derive(Serialize)]
struct TickLine {
    scheduled: &'static str,
    /// Organizations whose audit was begun.
    started: usize,
    /// Organizations whose row does not read. They wait until they are due again.
    unreadable: usize,
    /// Organizations whose deletion is completed now.
    deletions_completed: usize,
    /// Why an organization, or all of them, could not be reached.
    reason: Option<String>,
}

/// Notes that the trigger ran, for the operator's diagnostics.
async fn note_run(runtime: &impl Runtime) -> Result<(), Fault> {
    let database = runtime.database().map_err(internal)?;
    let note = Statement::new(NOTE_RUN, [runtime.now().millis().into()]);
    database.batch(&[note]).await.map(drop).map_err(store_unavailable)
}

async fn start_due(runtime: &impl Runtime, now: Timestamp, line: &mut TickLine) -> Result<(), Fault> {
    let database = runtime.database().map_err(internal)?;
    let overdue_ms = now.millis().saturating_sub(OVERDUE_MS);
    let select = Statement::new(SELECT_OVERDUE, [overdue_ms.into(), ORGANIZATIONS_MAX.into()]);
    for text in database.query(&select).await.map_err(store_unavailable)?.rows.iter() {
        let (id, document): (String, String) = serde_json::from_str(text).map_err(internal)?;
        // The others do not wait for one that does not read or cannot be reached, at this tick or at the next ones.
        let mut noted_at = now;
        let organization = organizations::read_one(runtime, &id, &document);
        line.unreadable = line.unreadable.saturating_add(usize::from(organization.is_none()));
        if let Some(organization) = organization {
            match start(runtime, &organization, now).await {
                Ok(()) => line.started = line.started.saturating_add(1),
                Err(fault) => {
                    line.reason = fault.log_reason().map(str::to_owned);
                    noted_at = now.plus_ms(AGAIN_MS.saturating_sub(OVERDUE_MS));
                }
            }
        }
        let note = Statement::new(NOTE, [id.into(), noted_at.into()]);
        database.batch(&[note]).await.map_err(store_unavailable)?;
    }
    Ok(())
}

/// Begins the audits of both modes.
async fn start(runtime: &impl Runtime, organization: &Organization, now: Timestamp) -> Result<(), Fault> {
    for mode in Mode::ALL {
        let settings = organizations::settings(organization, mode);
        let request_id = RequestId::new(now, runtime.random().map_err(internal)?);
        let tenant = settings.tenant;
        let started = ask_as_operator(runtime, request_id, tenant, StartAudit { settings, is_repair: false }).await?;
        if let Err(Rejection::Closed) = started {
            return closing::close_again(runtime, request_id, organization.id).await.map(drop);
        }
    }
    Ok(())
}
