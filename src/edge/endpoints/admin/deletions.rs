//! `DELETE /admin/v1/organizations/{organization_id}` and the receipt of it.
//!
//! Invariants:
//!
//! - The organization's row goes first, in one transaction with the receipt's coming. From then
//!   on nobody finds it, and its slug is free. Then both objects are told to close, which
//!   they are for good (see [`crate::organization::closing`]).
//! - Whatever fails after that is made good by asking again: by the caller, by whoever reads
//!   the receipt, or by the cron trigger. It is completed when both objects say that they are.

use super::organizations;
use crate::directory::deletion::{Cascade, Erased};
use crate::directory::identifiers::{DeletionId, Mode, OrganizationId, RequestId, Tenant};
use crate::directory::timestamp::Timestamp;
use crate::edge::endpoint::Input;
use crate::edge::endpoints::v1::deletions::read_options;
use crate::edge::exchange::{Exchange, Operator, ask_as_operator, unexpected};
use crate::edge::http::request::Incoming;
use crate::edge::http::response::Response;
use crate::edge::runtime::{Door, Runtime};
use crate::edge::step::{Next, Step};
use crate::fault::Fault;
use crate::fault::{internal, store_unavailable};
use crate::input::both;
use crate::organization::protocol::{Command, Outcome};
use crate::organization::sql::{Parameter, SqlValue};
use crate::projection::{Bound, Database, Statement};

/// Deletions that one tick takes up: two calls each, and one invocation may make a
/// limited number of them.
const PENDING_MAX: i64 = 100;

const INSERT: &str = "
    INSERT INTO organization_deletions (deletion_id, organization_id, requested_at, reason)
    SELECT ?2, id, ?3, ?4 FROM organizations WHERE id = ?1 ON CONFLICT DO NOTHING";

/// What the operator wrote is overwritten before it is deleted: see [`crate::organization::overwriting`].
const OVERWRITE: &str = "
    UPDATE organizations SET document = printf('%*s', octet_length(document), '')
    WHERE id = ?1 AND EXISTS (SELECT 1 FROM organization_deletions WHERE organization_id = ?1)";

const REMOVE: &str = "
    DELETE FROM organizations
    WHERE id = ?1 AND EXISTS (SELECT 1 FROM organization_deletions WHERE organization_id = ?1)";

/// What [`Receipt::read`] takes apart: three words, and the receipt as the admin API shows it.
const SELECT: &str = "
    SELECT deletion_id || ' ' || organization_id || ' ' || status || ' ' || json_object(
      'deletion_id', deletion_id, 'organization_id', organization_id, 'status', status, 'requested_at', requested_at,
      'completed_at', completed_at, 'reason', reason,
      'erased', json_object('records', records, 'relationships', relationships, 'moods', moods)) AS text
    FROM (SELECT *, iif(completed_at IS NULL, 'deletion_pending', 'completed') AS status FROM organization_deletions)";

const COMPLETE: &str = "
    UPDATE organization_deletions SET completed_at = ?2, records = ?3, relationships = ?4, moods = ?5
    WHERE deletion_id = ?1 AND completed_at IS NULL";

/// What is left of an organization.
pub struct Receipt {
    deletion_id: String,
    organization_id: OrganizationId,
    status: String,
    document: String,
}

impl Receipt {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        Some(Self {
            deletion_id: words.next()?.to_owned(),
            organization_id: words.next()?.parse().ok()?,
            status: words.next()?.to_owned(),
            document: words.next()?.to_owned(),
        })
    }

    fn is_completed(&self) -> bool {
        self.status == "completed"
    }
}

/// The receipts that fulfil a condition.
fn select(condition: &str, value: SqlValue) -> Bound {
    Bound { sql: format!("{SELECT} WHERE {condition}").into(), values: vec![value] }
}

/// A receipt to be found, after changes that are made in one transaction.
pub struct Settling {
    changes: Vec<Bound>,
    select: Bound,
    /// What there is none of when there is no receipt.
    what: &'static str,
}

/// `DELETE …/organizations/{organization_id}`: 202 with the receipt's id, and the same
/// whenever it is asked again, also when all is done: the id is never another's.
pub fn request<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let options = read_options(&input.body, &[Cascade::All]);
    let (id, (_, reason)) = both(organizations::id(input), options)?;
    let deletion_id = DeletionId::new(input.received_at, input.random).to_string();
    let id = SqlValue::Text(id.to_string());
    let requested_at = input.received_at.to_string();
    let receipt = vec![id.clone(), deletion_id.into(), requested_at.into(), reason.into()];
    let moved = [(INSERT, receipt), (OVERWRITE, vec![id.clone()]), (REMOVE, vec![id.clone()])];
    let changes = moved.into_iter().map(|(sql, values)| Bound { sql: sql.into(), values }).collect();
    let settling = Settling { changes, select: select("organization_id = ?1", id), what: "organization" };
    Ok(Step::settle(settling, |Receipt { deletion_id, status, .. }| {
        let body = format!("{{\"deletion_id\":\"{deletion_id}\",\"status\":\"{status}\"}}");
        let location = format!("/admin/v1/deletions/{deletion_id}");
        Ok(Step::Respond(Response::json(202, body).with("Location", location)))
    }))
}

/// `GET /admin/v1/deletions/{deletion_id}`.
pub fn get<'a>(input: &mut Input<'a, Operator>) -> Next<'a> {
    let id: DeletionId = input.path("deletion_id", |text| text.parse())?;
    let select = select("deletion_id = ?1", id.to_string().into());
    let settling = Settling { changes: Vec::new(), select, what: "deletion" };
    Ok(Step::settle(settling, |receipt| Ok(Step::Respond(Response::json(200, receipt.document)))))
}

/// The receipt, as it is when both objects have been told.
pub async fn settled<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    settling: &Settling,
) -> Result<Receipt, Fault> {
    let database = exchange.runtime.database().map_err(internal)?;
    if !settling.changes.is_empty() {
        let changes: Vec<_> = settling.changes.iter().map(Bound::statement).collect();
        database.batch(&changes).await.map_err(store_unavailable)?;
    }
    let mut is_told = false;
    loop {
        let texts = database.query(&settling.select.statement()).await.map_err(store_unavailable)?;
        let receipt = texts.rows.first().and_then(|text| Receipt::read(text));
        let receipt = receipt.ok_or(Fault::NotFound(settling.what))?;
        exchange.organization_id = Some(receipt.organization_id);
        if is_told || receipt.is_completed() || !settle(exchange.runtime, exchange.request_id, &receipt).await? {
            return Ok(receipt);
        }
        is_told = true;
    }
}

/// Tells both objects to close, hears how far they are, and notes it when both are empty.
async fn settle<R: Runtime>(runtime: &R, request_id: RequestId, receipt: &Receipt) -> Result<bool, Fault> {
    let (mut completed_at, mut pending, mut unreachable) = (Timestamp::EPOCH, false, None);
    let mut erased = [0_i64; 3];
    for mode in Mode::ALL {
        let tenant = Tenant { organization: receipt.organization_id, mode };
        match ask_as_operator(runtime, request_id, tenant, Door::Handle, Command::Close { tenant }).await {
            Ok(Outcome::Closing { completed_at: Some(at), erased: Erased { records, relationships, moods } }) => {
                completed_at = completed_at.max(at);
                for (sum, count) in erased.iter_mut().zip([records, relationships, moods]) {
                    *sum = sum.saturating_add(count);
                }
            }
            Ok(Outcome::Closing { completed_at: None, .. }) => pending = true,
            Ok(other) => return Err(unexpected(&other)),
            // The other one is told all the same.
            Err(fault) => unreachable = Some(fault),
        }
    }
    if let Some(fault) = unreachable {
        return Err(fault);
    }
    if pending {
        return Ok(false);
    }
    let completed_at = completed_at.to_string();
    let mut parameters = vec![receipt.deletion_id.as_str().into(), completed_at.as_str().into()];
    parameters.extend(erased.map(Parameter::Integer));
    let database = runtime.database().map_err(internal)?;
    database.batch(&[Statement { sql: COMPLETE.into(), parameters }]).await.map_err(store_unavailable)?;
    Ok(true)
}

/// Takes up the deletions that are not completed, a bounded number, the oldest first. Says how
/// many of them are now.
pub async fn settle_pending<R: Runtime>(runtime: &R, now: Timestamp) -> Result<usize, Fault> {
    let database = runtime.database().map_err(internal)?;
    let pending = select("completed_at IS NULL ORDER BY deletion_id LIMIT ?1", PENDING_MAX.into());
    let texts = database.query(&pending.statement()).await.map_err(store_unavailable)?;
    let (mut completed, mut failed) = (0_usize, None);
    for receipt in texts.rows.iter().filter_map(|text| Receipt::read(text)) {
        let request_id = RequestId::new(now, runtime.random().map_err(internal)?);
        match settle(runtime, request_id, &receipt).await {
            Ok(is_completed) => completed = completed.saturating_add(usize::from(is_completed)),
            // The others need not wait for the one that can't be reached.
            Err(fault) => failed = Some(fault),
        }
    }
    failed.map_or(Ok(completed), Err)
}
