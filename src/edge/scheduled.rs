//! The cron trigger: what comes by itself, for all organizations.

use serde::Serialize;

use super::endpoints::admin::deletions;
use super::endpoints::admin::organizations;
use super::runtime::{Door, Runtime};
use crate::directory::identifiers::{Mode, RequestId};
use crate::directory::organization::Organization;
use crate::directory::timestamp::Timestamp;
use crate::json;
use crate::organization::protocol::{self, Call, Caller, Command, Reply};
use crate::projection::{Database, Statement, StoreError};

/// How long after an organization's audit the next one comes by itself.
const INTERVAL_MS: i64 = 24 * 60 * 60 * 1_000;
/// Organizations that one tick begins to audit: two calls each, and one invocation
/// may make a limited number of them.
const ORGANIZATIONS_MAX: i64 = 100;

/// Takes up the deletions of organizations that are not completed, and begins the audits that
/// are due, a bounded number, those first that have waited longest. The objects carry both out
/// by themselves.
pub async fn tick<R: Runtime>(runtime: &R) {
    let mut line = Line { scheduled: "audit", started: 0, deletions_completed: 0, reason: None };
    match deletions::settle_pending(runtime, runtime.now()).await {
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
