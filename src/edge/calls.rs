//! Calls to objects and to the listing database, on behalf of one request.
//!
//! Invariant: the object checks the key, the scope and the bucket in the call that carries the
//! command out. A request with faulty input makes the call too, with a command that does nothing
//! else. So 401, 403 and 429 win over 413, 415, 400 and 422, and a bad request costs as many
//! tokens as a good one.

use super::exchange::{Exchange, KeyHolder, Operator};
use super::http::headers::Charged;
use super::runtime::{CallError, ObjectMethod, Runtime};
use crate::directory::identifiers::{Mode, OrganizationId, RequestId, Tenant};
use crate::fault::{CredentialFault, Fault, UNAVAILABLE_RETRY_S, internal, store_unavailable};
use crate::organization::protocol::IdempotencyKey;
use crate::organization::protocol::{self, Call, Caller, Command, Denial, Outcome, Reply};
use crate::projection::{Database, Statement, Texts};

/// How long a caller should wait, in seconds, when an object is overloaded: time to drain.
const OVERLOADED_RETRY_S: u32 = 5;

/// A command for the object of a key's holder.
pub struct Request {
    pub method: ObjectMethod,
    pub command: Command,
    /// Tokens that the request takes.
    pub cost: u32,
    pub idempotency: Option<IdempotencyKey>,
}

impl Request {
    /// One token, answered as soon as it is committed.
    pub fn new(command: Command) -> Self {
        Self { method: ObjectMethod::Handle, command, cost: 1, idempotency: None }
    }

    /// No token: a further call of a request that has paid.
    pub fn free(command: Command) -> Self {
        Self { cost: 0, ..Self::new(command) }
    }

    /// One token, answered when the listing holds every change up to now.
    pub fn listed(command: Command) -> Self {
        Self { method: ObjectMethod::HandleListed, ..Self::new(command) }
    }
}

impl<R: Runtime> Exchange<'_, R> {
    /// Asks the object of a key's holder. A fault in the input is answered once the object has let
    /// the caller in.
    pub async fn call<T>(
        &mut self,
        holder: &KeyHolder,
        planned: Result<(Request, T), Fault>,
    ) -> Result<(Outcome, T), Fault> {
        match planned {
            Ok((request, read)) => Ok((self.request(holder, request).await?, read)),
            Err(fault) => {
                self.request(holder, Request::new(Command::Admit)).await?;
                Err(fault)
            }
        }
    }

    async fn request(&mut self, holder: &KeyHolder, request: Request) -> Result<Outcome, Fault> {
        let Request { method, command, cost, idempotency } = request;
        let reply = self.ask(holder.caller(cost), holder.tenant, method, command, idempotency).await?;
        // A further call takes no token, and says less of the bucket than the first.
        if let Some(admission) = reply.admission.filter(|_| cost > 0) {
            self.charged = Some(Charged::Organization(admission));
        }
        self.is_replayed = reply.replayed;
        self.listing_is_current = reply.listed == Some(true);
        self.let_in(reply.outcome)
    }

    /// Asks an object with the operator's authority.
    pub async fn call_as(
        &mut self,
        operator: Operator,
        tenant: Tenant,
        method: ObjectMethod,
        command: Command,
    ) -> Result<Outcome, Fault> {
        let reply = self.ask(operator.caller(), tenant, method, command, None).await?;
        self.let_in(reply.outcome)
    }

    /// Asks the objects of both modes, one after the other, in the order of [`Mode::ALL`].
    pub async fn call_both_as(
        &mut self,
        operator: Operator,
        organization: OrganizationId,
        method: ObjectMethod,
        commands: [Command; 2],
    ) -> Result<[Outcome; 2], Fault> {
        let [live, test] = Mode::ALL.map(|mode| Tenant { organization, mode });
        let [first, second] = commands;
        let first = self.call_as(operator, live, method, first).await?;
        let second = self.call_as(operator, test, method, second).await?;
        Ok([first, second])
    }

    /// Makes one call, unless the isolate knows that the object would refuse the caller
    /// ([`super::denial_cache`]).
    async fn ask(
        &self,
        caller: Caller,
        tenant: Tenant,
        method: ObjectMethod,
        command: Command,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Reply, Fault> {
        let denied = self.runtime.denial_cache().borrow().find(&caller, || self.runtime.now());
        if let Some(reply) = denied {
            return Ok(reply);
        }
        let call = Call { request_id: self.request_id, repeated: false, caller, idempotency, command };
        call_object(self.runtime, tenant, method, call).await
    }

    /// Turns the outcomes by which an object refuses a caller into faults.
    fn let_in(&mut self, outcome: Outcome) -> Result<Outcome, Fault> {
        Err(match outcome {
            Outcome::Denied(Denial::InvalidKey) => self.refuse_credential(CredentialFault::Invalid),
            Outcome::Denied(Denial::ExpiredKey) => self.refuse_credential(CredentialFault::Expired),
            Outcome::Denied(Denial::ScopeTooSmall { quota }) => Fault::ScopeTooSmall { quota },
            Outcome::Denied(Denial::RateLimited { retry_after_ms, quota }) => {
                Fault::RateLimited { retry_after_ms, quota: Some(quota) }
            }
            Outcome::IdempotencyMismatch => Fault::IdempotencyMismatch,
            // The organization was deleted after the request found it.
            Outcome::Closed => Fault::NotFound("organization"),
            outcome => return Ok(outcome),
        })
    }

    /// Reads a page of the listing. Fails unless the object has just brought the listing up to
    /// date, so that every page shows the caller's own writes.
    pub async fn query_listing(&mut self, statement: &Statement<'_>) -> Result<Texts, Fault> {
        if self.listing_is_current {
            self.query(statement).await
        } else {
            Err(store_unavailable("the listing could not be brought up to date"))
        }
    }

    /// Reads from the listing database.
    pub async fn query(&mut self, statement: &Statement<'_>) -> Result<Texts, Fault> {
        let database = self.runtime.database().map_err(internal)?;
        let texts = database.query(statement).await.map_err(store_unavailable)?;
        self.rows_read = Some(self.rows_read.unwrap_or_default().saturating_add(texts.rows_read));
        Ok(texts)
    }
}

/// Asks an object with the operator's authority, where no caller waits for the answer.
pub async fn ask_as_operator<R: Runtime>(
    runtime: &R,
    request_id: RequestId,
    tenant: Tenant,
    command: Command,
) -> Result<Outcome, Fault> {
    let call = Call { request_id, repeated: false, caller: Caller::Operator, idempotency: None, command };
    Ok(call_object(runtime, tenant, ObjectMethod::Handle, call).await?.outcome)
}

/// Calls an object. A call that failed on the way is repeated once if it may be, unless the object
/// is overloaded.
async fn call_object<R: Runtime>(
    runtime: &R,
    tenant: Tenant,
    method: ObjectMethod,
    mut call: Call,
) -> Result<Reply, Fault> {
    let asked_at = runtime.now();
    let bytes = protocol::encode(&call).map_err(internal)?;
    let reply = match runtime.call(tenant, method, &bytes).await {
        Err(error) if error.retryable && !error.overloaded && call.command.may_be_repeated() => {
            call.repeated = true;
            let bytes = protocol::encode(&call).map_err(internal)?;
            runtime.call(tenant, method, &bytes).await
        }
        answered => answered,
    };
    let mut denials = runtime.denial_cache().borrow_mut();
    if let Caller::Operator = call.caller {
        // Also when the call failed: the object may have carried it out.
        denials.forget(tenant.organization);
    }
    let reply = protocol::decode(&reply.map_err(unavailable)?).map_err(store_unavailable)?;
    denials.note(tenant.organization, &call.caller, &reply, asked_at, || runtime.now());
    Ok(reply)
}

/// An object answered something that its command does not have as an answer.
pub fn unexpected(outcome: &Outcome) -> Fault {
    Fault::Internal { reason: format!("unexpected outcome: {:?}", std::mem::discriminant(outcome)) }
}

/// The limiter and the quotas live in the object. A request that cannot ask it is refused.
fn unavailable(error: CallError) -> Fault {
    let retry_after_s = if error.overloaded { OVERLOADED_RETRY_S } else { UNAVAILABLE_RETRY_S };
    Fault::Unavailable { retry_after_s, reason: error.message }
}
