//! Closes an organization: deletes its row, tells both objects, and keeps a receipt that says how far the deletion
//! is.
//!
//! Invariants:
//!
//! - One transaction replaces the organization's row by the receipt. From then on no request finds the
//!   organization, and its slug is free. Then the edge tells both objects to close, and they stay closed
//!   ([`crate::organization::closing`]).
//! - A step that fails after that is repeated by the next request for the deletion, the next read of the receipt,
//!   or the cron trigger. The deletion is completed when both objects are empty.
//! - An organization whose objects are closed is deleted, whatever D1 says: D1 may have been restored to a moment before
//!   the deletion. Whoever finds its row removes it again, and writes the receipt that the objects keep.

use futures_util::future::join;
use serde::{Deserialize, Serialize};

use super::calls::{ask_as_operator, fault_of};
use super::exchange::Exchange;
use super::organizations;
use super::runtime::Runtime;
use crate::directory::deletion::{Erased, ReceiptStatus};
use crate::directory::identifiers::{DeletionId, Mode, OrganizationId, RequestId, Tenant};
use crate::directory::timestamp::Timestamp;
use crate::fault::{Fault, internal, store_unavailable};
use crate::organization::protocol::{
    Close, CloseAgain, ClosingProgress, IntoCommand, OrganizationDeletion, Precondition, Rejection,
};
use crate::organization::sql::SqlValue;
use crate::projection::{Database, Statement};

/// Most deletions that one tick continues. Each needs two calls, and the platform limits the calls of one
/// invocation.
const PENDING_MAX: i64 = 100;

const INSERT: &str = "
    INSERT INTO organization_deletions (deletion_id, organization_id, requested_at, reason)
    SELECT ?2, id, ?3, ?4 FROM organizations WHERE id = ?1 AND (?5 IS NULL OR version = ?5) ON CONFLICT DO NOTHING";

const INSERT_AGAIN: &str = "
    INSERT INTO organization_deletions (deletion_id, organization_id, requested_at, reason)
    VALUES (?2, ?1, ?3, ?4) ON CONFLICT DO NOTHING";

/// Overwrites what the operator wrote, before [`REMOVE`] deletes it ([`crate::organization::overwriting`]).
const OVERWRITE: &str = "
    UPDATE organizations SET document = printf('%*s', octet_length(document), '')
    WHERE id = ?1 AND EXISTS (SELECT 1 FROM organization_deletions WHERE organization_id = ?1)";

const REMOVE: &str = "
    DELETE FROM organizations
    WHERE id = ?1 AND EXISTS (SELECT 1 FROM organization_deletions WHERE organization_id = ?1)";

/// Selects receipts as JSON.
const SELECT: &str = "
    SELECT json_object('deletion_id', deletion_id, 'organization_id', organization_id,
      'status', iif(completed_at IS NULL, 'deletion_pending', 'completed'), 'requested_at', requested_at,
      'completed_at', completed_at, 'reason', reason,
      'erased', json_object('records', records, 'relationships', relationships, 'moods', moods)) AS text
    FROM organization_deletions";

const COMPLETE: &str = "
    UPDATE organization_deletions SET completed_at = ?2, records = ?3, relationships = ?4, moods = ?5
    WHERE deletion_id = ?1 AND completed_at IS NULL";

/// The receipt of a deletion, which outlives the organization.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[schemars(rename = "OrganizationReceipt")]
pub struct ClosingReceipt {
    pub deletion_id: DeletionId,
    pub organization_id: OrganizationId,
    pub status: ReceiptStatus,
    requested_at: Timestamp,
    completed_at: Option<Timestamp>,
    reason: Option<String>,
    erased: Erased,
}

impl ClosingReceipt {
    fn deletion(&self) -> OrganizationDeletion {
        let Self { deletion_id, requested_at, reason, .. } = self;
        OrganizationDeletion { deletion_id: *deletion_id, requested_at: *requested_at, reason: reason.clone() }
    }
}

/// Selects the receipts that fulfil a condition.
fn select(condition: &str, value: SqlValue<'static>) -> Statement<'static> {
    Statement::new(format!("{SELECT} WHERE {condition}"), [value])
}

/// Replaces the row of an organization by a receipt, and tells both objects. A second request finds the first one's
/// receipt.
pub async fn close(
    exchange: &mut Exchange<'_, impl Runtime>,
    id: OrganizationId,
    deletion_id: DeletionId,
    reason: Option<String>,
    if_match: Option<&Precondition>,
) -> Result<ClosingReceipt, Fault> {
    let expected = match if_match {
        Some(condition) => expected_version(exchange, id, condition).await?,
        None => None,
    };
    let id = id.to_string();
    let (deletion_id, requested_at) = (deletion_id.to_string(), exchange.received_at.to_string());
    let receipt = [id.as_str().into(), deletion_id.into(), requested_at.into(), reason.into(), expected.into()];
    let changes = [
        Statement::new(INSERT, receipt),
        Statement::new(OVERWRITE, [id.as_str().into()]),
        Statement::new(REMOVE, [id.as_str().into()]),
    ];
    let database = exchange.runtime.database().map_err(internal)?;
    database.batch(&changes).await.map_err(store_unavailable)?;
    match receipt_of(exchange, &select("organization_id = ?1", id.into()), "organization").await {
        // Another request has changed the organization meanwhile.
        Err(Fault::NotFound(_)) if expected.is_some() => Err(Fault::PreconditionFailed),
        found => found,
    }
}

/// The version that the organization must have, if it still exists. A repetition of the request finds the receipt.
async fn expected_version(
    exchange: &mut Exchange<'_, impl Runtime>,
    id: OrganizationId,
    if_match: &Precondition,
) -> Result<Option<i64>, Fault> {
    match organizations::find(exchange, id).await {
        Ok(found) if if_match.holds(organizations::version(&found)) => Ok(Some(found.version)),
        Ok(_) => Err(Fault::PreconditionFailed),
        Err(Fault::NotFound(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Finds the receipt of a deletion, once both objects have been told.
pub async fn find(exchange: &mut Exchange<'_, impl Runtime>, deletion_id: DeletionId) -> Result<ClosingReceipt, Fault> {
    receipt_of(exchange, &select("deletion_id = ?1", deletion_id.to_string().into()), "deletion").await
}

async fn receipt_of(
    exchange: &mut Exchange<'_, impl Runtime>,
    select: &Statement<'_>,
    what: &'static str,
) -> Result<ClosingReceipt, Fault> {
    let receipt = read(exchange, select, what).await?;
    exchange.organization_id = Some(receipt.organization_id);
    if receipt.status == ReceiptStatus::Completed || !settle(exchange.runtime, exchange.request_id, &receipt).await? {
        return Ok(receipt);
    }
    // It is completed now, and has counts.
    read(exchange, select, what).await
}

async fn read(
    exchange: &mut Exchange<'_, impl Runtime>,
    select: &Statement<'_>,
    what: &'static str,
) -> Result<ClosingReceipt, Fault> {
    let texts = exchange.query(select).await?;
    serde_json::from_str(texts.rows.first().ok_or(Fault::NotFound(what))?).map_err(internal)
}

/// Asks the objects of both modes at once.
async fn ask_both<C: IntoCommand>(
    runtime: &impl Runtime,
    request_id: RequestId,
    organization: OrganizationId,
    command: impl Fn(Tenant) -> C,
) -> [Result<Result<C::Answer, Rejection>, Fault>; 2] {
    let [live, test] = Mode::ALL.map(|mode| Tenant { organization, mode });
    let ask = |tenant| ask_as_operator(runtime, request_id, tenant, command(tenant));
    join(ask(live), ask(test)).await.into()
}

/// Tells both objects to close. Completes the receipt when both are empty, and says whether they are.
async fn settle(runtime: &impl Runtime, request_id: RequestId, receipt: &ClosingReceipt) -> Result<bool, Fault> {
    let (mut completed_at, mut pending, mut unreachable) = (Timestamp::EPOCH, false, None);
    let mut sums = [0_i64; 3];
    let close = |tenant| Close { tenant, deletion: receipt.deletion() };
    for answer in ask_both(runtime, request_id, receipt.organization_id, close).await {
        match answer {
            Ok(Ok(ClosingProgress { completed_at: Some(at), erased })) => {
                let Erased { records, relationships, moods } = erased;
                completed_at = completed_at.max(at);
                for (sum, count) in sums.iter_mut().zip([records, relationships, moods]) {
                    *sum = sum.saturating_add(count);
                }
            }
            Ok(Ok(ClosingProgress { completed_at: None, .. })) => pending = true,
            Ok(Err(rejection)) => return Err(fault_of(rejection, runtime.now())),
            // The other object has been told all the same.
            Err(fault) => unreachable = Some(fault),
        }
    }
    if let Some(fault) = unreachable {
        return Err(fault);
    }
    if pending {
        return Ok(false);
    }
    let mut parameters = vec![receipt.deletion_id.to_string().into(), completed_at.to_string().into()];
    parameters.extend(sums.map(SqlValue::Integer));
    let database = runtime.database().map_err(internal)?;
    database.batch(&[Statement::new(COMPLETE, parameters)]).await.map_err(store_unavailable)?;
    Ok(true)
}

/// Deletes an organization again whose objects are closed. Its receipt is pending until they have removed once more
/// what the stores have got back. Returns whether they are closed.
pub async fn close_again(runtime: &impl Runtime, request_id: RequestId, id: OrganizationId) -> Result<bool, Fault> {
    let (mut is_closed, mut deletion) = (false, None);
    for answer in ask_both(runtime, request_id, id, |_| CloseAgain).await {
        match answer? {
            Ok(found) => (is_closed, deletion) = (true, found.or(deletion)),
            // Open: the deletion had not reached this object. The receipt closes it.
            Err(Rejection::NotFound(_)) => {}
            Err(rejection) => return Err(fault_of(rejection, runtime.now())),
        }
    }
    if !is_closed {
        return Ok(false);
    }
    let now = runtime.now();
    let anew = DeletionId::new(now, runtime.random().map_err(internal)?);
    let OrganizationDeletion { deletion_id, requested_at, reason } =
        deletion.unwrap_or(OrganizationDeletion { deletion_id: anew, requested_at: now, reason: None });
    let id = id.to_string();
    let receipt = [id.as_str().into(), deletion_id.to_string().into(), requested_at.to_string().into(), reason.into()];
    let changes = [
        Statement::new(INSERT_AGAIN, receipt),
        Statement::new(OVERWRITE, [id.as_str().into()]),
        Statement::new(REMOVE, [id.as_str().into()]),
    ];
    let database = runtime.database().map_err(internal)?;
    database.batch(&changes).await.map_err(store_unavailable)?;
    Ok(true)
}

/// Continues the deletions that are not completed: a bounded number, the oldest first. Returns how many are
/// completed now.
pub async fn settle_pending(runtime: &impl Runtime, now: Timestamp) -> Result<usize, Fault> {
    let database = runtime.database().map_err(internal)?;
    let pending = select("completed_at IS NULL ORDER BY deletion_id LIMIT ?1", PENDING_MAX.into());
    let texts = database.query(&pending).await.map_err(store_unavailable)?;
    let (mut completed, mut failed) = (0_usize, None);
    for receipt in texts.rows.iter().filter_map(|text| serde_json::from_str::<ClosingReceipt>(text).ok()) {
        let request_id = RequestId::new(now, runtime.random().map_err(internal)?);
        match settle(runtime, request_id, &receipt).await {
            Ok(is_completed) => completed = completed.saturating_add(usize::from(is_completed)),
            // The others do not wait for one that cannot be reached.
            Err(fault) => failed = Some(fault),
        }
    }
    failed.map_or(Ok(completed), Err)
}
