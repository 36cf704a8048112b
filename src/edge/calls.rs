//! Calls to objects and to the listing database, on behalf of one request.
//!
//! Invariant: the object checks the key, the scope and the bucket in the call that carries the command out. A
//! request with faulty input makes the call too, with a command that does nothing else. So 401, 403 and 429 win
//! over 413, 415, 400 and 422, and a bad request costs as many tokens as a good one.

use futures_util::future::join;

use super::exchange::{Exchange, KeyHolder, Operator};
use super::http::distance;
use super::http::headers::Charged;
use super::http::request::Incoming;
use super::runtime::{CallError, ObjectMethod, Runtime};
use super::waits::Store;
use crate::directory::identifiers::{Mode, OrganizationId, RequestId, Tenant};
use crate::directory::timestamp::Timestamp;
use crate::fault::{CredentialFault, Fault, UNAVAILABLE_RETRY_S, internal, store_unavailable};
use crate::field_fault::{FieldFault, Location};
use crate::organization::protocol::{
    self, Admit, Answer, Call, Caller, Command, Denial, EdgeCall, IdempotencyKey, IntoCommand, Rejection, Reply,
    Resource,
};
use crate::projection::{Database, Statement, Texts};
use crate::refusal::Refusal;

/// How long a caller should wait, in seconds, when an object is overloaded: time to drain.
const OVERLOADED_RETRY_S: u32 = 5;

/// A call is repeated only if it failed within this time, in milliseconds. By a later failure the runtime has repeated
/// it up to four times in ten seconds, and the object is in trouble.
const REPEATED_WITHIN_MS: i64 = 2_000;

/// A command for the object of a key's holder.
#[derive(Clone)]
pub struct Request<C = Command> {
    pub method: ObjectMethod,
    pub command: C,
    /// Tokens that the request takes.
    pub cost: u32,
    pub idempotency: Option<IdempotencyKey>,
    /// Present when the caller takes an answer from nearby.
    pub edge: Option<EdgeCall>,
}

impl<C> Request<C> {
    /// One token, answered as soon as it is committed.
    pub fn new(command: C) -> Self {
        Self { method: ObjectMethod::Handle, command, cost: 1, idempotency: None, edge: None }
    }

    /// One token, answered when the listing holds every change up to now.
    pub fn listed(command: C) -> Self {
        Self { method: ObjectMethod::HandleListed, ..Self::new(command) }
    }
}

impl<R: Runtime> Exchange<'_, R> {
    /// Asks the object of a key's holder. A fault in the input is answered once the object has let the caller in.
    pub async fn call<C: IntoCommand, T>(
        &mut self,
        holder: &KeyHolder,
        planned: Result<(Request<C>, T), Fault>,
    ) -> Result<(C::Answer, T), Fault> {
        let (request, read) = self.admitted(holder, planned).await?;
        Ok((self.execute_as(holder, request).await?, read))
    }

    /// Checks the caller before its body is read, if the object refused the key or so many tokens a moment ago, or if the
    /// client's address has no token left, so that a refused caller costs the edge nothing more. A caller who is let in
    /// takes no token here.
    pub async fn check_before_body(&mut self, holder: &KeyHolder, cost: u32) -> Result<(), Fault> {
        let denied = self.runtime.denial_cache().borrow().find(&holder.caller(cost), || self.runtime.now());
        if let Some(refusal) = denied {
            return self.receive(refusal).map(drop);
        }
        if !self.has_public_token()? {
            self.execute(holder, Request { cost: 0, ..Request::new(Admit.into_command()) }).await?;
        }
        Ok(())
    }

    /// Returns what was read of the input. Answers a fault in it, once the object has let the caller in.
    pub async fn admitted<T>(&mut self, holder: &KeyHolder, read: Result<T, Fault>) -> Result<T, Fault> {
        if read.is_err() {
            self.execute(holder, Request::new(Admit.into_command())).await?;
        }
        read
    }

    /// Asks the object of a key's holder, and returns the answer of this command.
    pub async fn execute_as<C: IntoCommand>(
        &mut self,
        holder: &KeyHolder,
        request: Request<C>,
    ) -> Result<C::Answer, Fault> {
        let Request { method, command, cost, idempotency, edge } = request;
        let request = Request { method, command: command.into_command(), cost, idempotency, edge };
        answer_to::<C>(self.execute(holder, request).await?)
    }

    /// Asks the object of a key's holder.
    pub async fn execute(&mut self, holder: &KeyHolder, request: Request) -> Result<Answer, Fault> {
        let Request { method, command, cost, idempotency, edge } = request;
        let (request_id, caller) = (self.request_id, holder.caller(cost));
        let call = Call { request_id, repeated: false, caller, idempotency, edge, command };
        let reply = self.ask(holder.tenant, method, call).await?;
        self.receive(reply)
    }

    /// Notes what a reply says besides its answer.
    fn receive(&mut self, reply: Reply) -> Result<Answer, Fault> {
        if let Some(admission) = reply.admission {
            self.charged = Some(Charged::Organization(admission));
        }
        self.lease = reply.lease;
        self.is_replayed = reply.replayed;
        self.listing_is_current = reply.listed == Some(true);
        reply.outcome.map_err(|rejection| self.fault_of(rejection))
    }

    /// Asks an object with the operator's authority.
    pub async fn call_as<C: IntoCommand>(
        &mut self,
        operator: Operator,
        tenant: Tenant,
        method: ObjectMethod,
        command: C,
    ) -> Result<C::Answer, Fault> {
        let reply = self.ask(tenant, method, call_of(self.request_id, operator.caller(), command)).await?;
        answer_to::<C>(reply.outcome.map_err(|rejection| self.fault_of(rejection))?)
    }

    /// Asks the objects of both modes at once, in the order of [`Mode::ALL`].
    pub async fn call_both_as<C: IntoCommand>(
        &mut self,
        operator: Operator,
        organization: OrganizationId,
        method: ObjectMethod,
        commands: [C; 2],
    ) -> Result<[C::Answer; 2], Fault> {
        let [live, test] = Mode::ALL.map(|mode| Tenant { organization, mode });
        let [first, second] = commands.map(|command| call_of(self.request_id, operator.caller(), command));
        let (first, second) = join(self.ask(live, method, first), self.ask(test, method, second)).await;
        let mut answer = |reply: Reply| answer_to::<C>(reply.outcome.map_err(|rejection| self.fault_of(rejection))?);
        Ok([answer(first?)?, answer(second?)?])
    }

    /// Makes one call, unless the isolate knows that the object would refuse the caller ([`super::denial_cache`]).
    async fn ask(&self, tenant: Tenant, method: ObjectMethod, call: Call) -> Result<Reply, Fault> {
        let denied = self.runtime.denial_cache().borrow().find(&call.caller, || self.runtime.now());
        if let Some(reply) = denied {
            return Ok(reply);
        }
        let work = async {
            self.cover_distance().await;
            call_object(self.runtime, tenant, method, call).await
        };
        self.waits.note(Store::Object, self.runtime, work).await
    }

    /// Waits as long as a call takes over the distance that the request asks for. No deployment does ([`distance`]).
    async fn cover_distance(&self) {
        let Ok(configuration) = self.runtime.configuration() else { return };
        let wait_ms = distance::wait_ms(&configuration, self.target, |name| self.incoming.header(name));
        if wait_ms > 0 {
            self.runtime.pause(wait_ms).await;
        }
    }

    /// The fault that a rejection becomes. A refused key, or one of too small a scope, costs a token of the client's
    /// address.
    fn fault_of(&mut self, rejection: Rejection) -> Fault {
        let fault = fault_of(rejection, self.received_at);
        if let Fault::Credential(_) | Fault::ScopeTooSmall { .. } = fault { self.refuse_caller(fault) } else { fault }
    }

    /// Reads a page of the listing. Fails unless the object has just brought the listing up to date, so that every
    /// page shows the caller's own writes.
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
        let work = database.query(statement);
        let texts = self.waits.note(Store::Listing, self.runtime, work).await.map_err(store_unavailable)?;
        self.rows_read = Some(self.rows_read.unwrap_or_default().saturating_add(texts.rows_read));
        Ok(texts)
    }
}

/// The fault that a rejection becomes.
pub fn fault_of(rejection: Rejection, now: Timestamp) -> Fault {
    match rejection {
        Rejection::Denied(Denial::InvalidKey) => Fault::Credential(CredentialFault::Invalid),
        Rejection::Denied(Denial::ExpiredKey) => Fault::Credential(CredentialFault::Expired),
        Rejection::Denied(Denial::ScopeTooSmall { quota }) => Fault::ScopeTooSmall { quota: Some(quota) },
        Rejection::Denied(Denial::RateLimited { retry_after_ms, quota }) => {
            Fault::RateLimited { retry_after_ms, quota: Some(quota) }
        }
        Rejection::NotFound(resource) => Fault::NotFound(resource.into_str()),
        Rejection::PreconditionFailed => Fault::PreconditionFailed,
        Rejection::DeletionPending { deletion_id } => Fault::DeletionPending { deletion_id },
        Rejection::IdempotencyMismatch => Fault::IdempotencyMismatch,
        Rejection::IdempotencyInFlight => Fault::IdempotencyInFlight,
        Rejection::IdempotencyOfErased => Fault::IdempotencyOfErased,
        Rejection::Invalid { field, reason } => {
            Fault::Invalid(vec![FieldFault::new(Location::Body, field, Refusal::new(reason), None)])
        }
        Rejection::Ambiguous => Fault::Ambiguous,
        Rejection::OtherType => Fault::OtherType,
        Rejection::OverQuota { component, quota } => Fault::OverQuota { component, quota, now_ms: now.millis() },
        Rejection::OverUserQuota { used, limit, quota } => {
            Fault::OverUserQuota { used, limit, quota, now_ms: now.millis() }
        }
        Rejection::QuotaReserved { quota, retry_after_ms } => Fault::QuotaReserved { quota, retry_after_ms },
        Rejection::OverCapacity(capacity) => Fault::OverCapacity(capacity),
        Rejection::TooManyKeptAnswers { quota, retry_after_ms } => Fault::TooManyKeptAnswers { quota, retry_after_ms },
        Rejection::TurnExpired => Fault::TurnTimeout,
        // The organization was deleted after the request found it.
        Rejection::Closed => Fault::NotFound(Resource::Organization.into_str()),
    }
}

/// The answer to a command, or a fault if the object has answered another one.
pub fn answer_to<C: IntoCommand>(answer: Answer) -> Result<C::Answer, Fault> {
    C::read(answer).ok_or_else(|| internal("the object has answered another command"))
}

/// Asks an object with the operator's authority, where no caller waits for the answer.
pub async fn ask_as_operator<C: IntoCommand>(
    runtime: &impl Runtime,
    request_id: RequestId,
    tenant: Tenant,
    command: C,
) -> Result<Result<C::Answer, Rejection>, Fault> {
    match call_object(runtime, tenant, ObjectMethod::Handle, call_of(request_id, Caller::Operator(None), command))
        .await?
        .outcome
    {
        Ok(answer) => answer_to::<C>(answer).map(Ok),
        Err(rejection) => Ok(Err(rejection)),
    }
}

/// Asks the object of a key's holder once more, for a response that has begun. It takes no token. A key that was revoked
/// since is refused.
pub async fn ask_further<C: IntoCommand>(
    runtime: &impl Runtime,
    request_id: RequestId,
    holder: &KeyHolder,
    command: C,
) -> Result<C::Answer, Fault> {
    let call = call_of(request_id, holder.caller(0), command);
    let reply = call_object(runtime, holder.tenant, ObjectMethod::Handle, call).await?;
    answer_to::<C>(reply.outcome.map_err(|rejection| fault_of(rejection, runtime.now()))?)
}

/// A call with nothing but a command.
fn call_of(request_id: RequestId, caller: Caller, command: impl IntoCommand) -> Call {
    Call { request_id, repeated: false, caller, idempotency: None, edge: None, command: command.into_command() }
}

/// Calls an object. A call that failed on the way is repeated once if it may be, unless the object is overloaded.
///
/// The runtime repeats by itself what never arrived. What is left is a call that arrived and whose reply was lost
/// (<https://developers.cloudflare.com/durable-objects/best-practices/automatic-retries/>).
async fn call_object(
    runtime: &impl Runtime,
    tenant: Tenant,
    method: ObjectMethod,
    mut call: Call,
) -> Result<Reply, Fault> {
    let (asked_at, location) = (runtime.now(), call.command.location());
    let bytes = protocol::encode(&call).map_err(internal)?;
    let reply = match runtime.call(tenant, location, method, &bytes).await {
        Err(error)
            if error.retryable
                && !error.overloaded
                && call.command.may_be_repeated()
                && runtime.now().millis().saturating_sub(asked_at.millis()) <= REPEATED_WITHIN_MS =>
        {
            call.repeated = true;
            let bytes = protocol::encode(&call).map_err(internal)?;
            runtime.call(tenant, location, method, &bytes).await
        }
        answered => answered,
    };
    let mut denials = runtime.denial_cache().borrow_mut();
    if let Caller::Operator(_) = call.caller {
        // Also when the call failed: the object may have carried it out.
        denials.forget(tenant.organization);
        runtime.leases().borrow_mut().forget(tenant.organization);
    }
    let reply = protocol::decode(&reply.map_err(unavailable)?).map_err(store_unavailable)?;
    denials.note(tenant.organization, &call.caller, &reply, asked_at, || runtime.now());
    if let (Caller::Key { digest, kind, .. }, Err(Rejection::Denied(denial))) = (call.caller, &reply.outcome)
        && !matches!(denial, Denial::RateLimited { .. })
    {
        runtime.leases().borrow_mut().drop_key(&(digest, kind));
    }
    Ok(reply)
}

/// The limiter and the quotas live in the object. A request that cannot ask it is refused.
fn unavailable(error: CallError) -> Fault {
    let retry_after_s = if error.overloaded { OVERLOADED_RETRY_S } else { UNAVAILABLE_RETRY_S };
    Fault::Unavailable { retry_after_s, reason: error.message }
}
