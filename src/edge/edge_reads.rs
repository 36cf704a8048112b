//! Reads at the edge: a caller who says how old an answer may be gets it from KV, without a call to the object, while
//! the isolate has a lease ([`super::leases`]).
//!
//! Invariant: only a success is answered from KV. A read for which KV has no copy that counts goes to the object, and
//! costs one token, as every read does.

use super::calls::Request;
use super::exchange::{Exchange, KeyHolder};
use super::http::conditional::weak_entity_tag;
use super::http::headers::Charged;
use super::http::response::Response;
use super::leases::{Access, LeaseKey, Ticket};
use super::runtime::Runtime;
use super::waits::Store;
use crate::directory::names::UserId;
use crate::fault::Fault;
use crate::organization::copies::CopiedUser;
use crate::organization::protocol::{Answer, EdgeCall};
use crate::projection::Cache;
use crate::projection::cache;

/// Where an answer comes from.
pub const SOURCE: &str = "X-Rollcall-Source";

/// How a read is answered from a copy.
pub struct CopyPlan {
    pub user_id: UserId,
    pub respond: fn(CopiedUser) -> Result<Response, Fault>,
}

/// Answers a read that may be so many seconds old, from a copy if there is one. Else returns what the object answers.
pub enum Answered {
    FromCopy(Response),
    ByObject(Answer),
}

/// What came of a look at KV.
enum Looked {
    Answered(Response),
    /// KV has no copy.
    Missing,
    /// KV has a copy that does not count, or did not answer.
    Useless,
}

pub async fn read(
    exchange: &mut Exchange<'_, impl Runtime>,
    holder: &KeyHolder,
    request: Request,
    plan: &CopyPlan,
    max_stale_s: u32,
) -> Result<Answered, Fault> {
    let (key, stale_ms) = (holder.lease_key(), i64::from(max_stale_s).saturating_mul(1_000));
    let runtime = exchange.runtime;
    let now = runtime.now();
    // What the object refuses, it refuses at once.
    let is_denied = runtime.denial_cache().borrow().find(&holder.caller(request.cost), || now).is_some();
    let access = if is_denied {
        Access::Object
    } else {
        runtime.leases().borrow_mut().take(&key, holder.tenant.organization, stale_ms, now)
    };
    let edge = match access {
        Access::Object => None,
        Access::Ask { used } => Some(EdgeCall { missed: None, used: Some(used) }),
        Access::Leased(ticket) => match look(exchange, holder, &key, &ticket, plan, stale_ms).await? {
            Looked::Answered(response) => return Ok(Answered::FromCopy(response)),
            looked => {
                runtime.leases().borrow_mut().give_back(&key, &ticket);
                let is_missing = matches!(looked, Looked::Missing);
                is_missing.then(|| EdgeCall { missed: Some(plan.user_id.clone()), used: None })
            }
        },
    };
    let asks = edge.as_ref().is_some_and(|edge| edge.used.is_some());
    let answered = exchange.execute(holder, Request { edge, ..request }).await;
    if asks {
        let (lease, admission) = (exchange.lease.take(), exchange.admission());
        runtime.leases().borrow_mut().note(&key, now, lease, admission);
    }
    answered.map(Answered::ByObject)
}

async fn look(
    exchange: &mut Exchange<'_, impl Runtime>,
    holder: &KeyHolder,
    key: &LeaseKey,
    ticket: &Ticket,
    plan: &CopyPlan,
    stale_ms: i64,
) -> Result<Looked, Fault> {
    let runtime = exchange.runtime;
    let digest = plan.user_id.digest();
    let read = match runtime.cache() {
        Ok(store) => {
            let key = cache::key(holder.tenant, ticket.epoch(), &digest);
            exchange.waits.note(Store::Records, runtime, store.get(&key)).await.ok()
        }
        Err(_) => None,
    };
    let now = runtime.now();
    let mut leases = runtime.leases().borrow_mut();
    leases.note_kv(read.is_some(), now);
    let Some(value) = read else { return Ok(Looked::Useless) };
    let copy = value.as_deref().and_then(cache::read).filter(|copy| copy.user.user_id == plan.user_id);
    let Some(copy) = copy else { return Ok(Looked::Missing) };
    let version = copy.user.version;
    let Some(age_ms) = leases.judge(key, ticket, &digest, version, stale_ms, now) else {
        return Ok(Looked::Useless);
    };
    exchange.charged = leases.admission(key, now).map(Charged::Organization);
    exchange.is_from_edge = true;
    // Rounded up: an answer is not older than it says.
    let seconds = age_ms.saturating_add(999).div_euclid(1_000);
    let response = (plan.respond)(copy)?;
    Ok(Looked::Answered(response.with("ETag", weak_entity_tag(version)).with("Age", seconds.to_string())))
}
