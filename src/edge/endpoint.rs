//! The endpoints for holders of a key: each is a pure function from what was sent to
//! a [`Plan`], which is carried out here, and what follows from it in [`step`].
//!
//! Invariant: a plan asks the object before anything else, and faulty input is a plan
//! too, one that only has the caller admitted. So 401, 403 and 429 win over 413, 415, 400
//! and 422, and a bad request costs what a good one does.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::configuration::Configuration;
use super::exchange::{Exchange, KeyHolder};
use super::http::body::{Body, BodyKind};
use super::http::headers::Charged;
use super::http::method::Method;
use super::http::request::Incoming;
use super::http::response::Response;
use super::log::ServedBy;
use super::runtime::{Door, Runtime};
use super::step::{self, Continuation, Next, Step};
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::{RequestId, Tenant};
use crate::directory::timestamp::Timestamp;
use crate::fault::Fault;
use crate::fault::{internal, store_unavailable};
use crate::input::{QueryFields, both, path_parameter};
use crate::organization::protocol::{Command, Outcome};
use crate::projection::Cache;
use crate::refusal::Refusal;

/// What a route does. What the query has left over is refused for all.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<F> {
    pub body: BodyKind,
    pub plan: F,
}

pub type PlanFunction = for<'a> fn(&mut Input<'a>) -> Result<Plan<'a>, Fault>;

/// A request, as far as an endpoint may know it.
pub struct Input<'a, C = Tenant> {
    /// Whose it is: the tenant of a key, or the operator.
    pub caller: C,
    pub request_id: RequestId,
    pub received_at: Timestamp,
    pub configuration: &'a Configuration,
    /// The values of the path's braces, still percent-encoded.
    pub parameters: &'a [&'a str],
    pub query: QueryFields,
    pub body: Body,
    /// Bytes for the id of what this request makes.
    pub random: [u8; 10],
    /// Bytes for the secret of a key that it makes.
    pub secret: [u8; 32],
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
}

impl<'a, C> Input<'a, C> {
    pub fn new<R: Runtime, I: Incoming>(
        exchange: &Exchange<'_, R, I>,
        caller: C,
        configuration: &'a Configuration,
        parameters: &'a [&'a str],
        body: Body,
    ) -> Result<Self, Fault> {
        Ok(Self {
            caller,
            request_id: exchange.request_id,
            received_at: exchange.received_at,
            configuration,
            parameters,
            query: QueryFields::parse(exchange.target.query)?,
            body,
            random: exchange.random()?,
            secret: exchange.random()?,
            if_match: exchange.incoming.header("If-Match"),
            if_none_match: exchange.incoming.header("If-None-Match"),
        })
    }

    /// The path's first parameter.
    pub fn path<T>(&self, name: &str, read: impl FnOnce(String) -> Result<T, Refusal>) -> Result<T, Fault> {
        path_parameter(name, self.parameters.first(), read)
    }

    /// Where a list goes on, if it was begun.
    pub fn cursor(&self, text: Option<String>, binding: &Binding) -> Result<Option<String>, Fault> {
        let decode = |text: String| cursor::decode(&text, binding, &self.configuration.key_ring);
        text.map(decode).transpose().map_err(Fault::Malformed)
    }

    /// The same for a list whose rows have numbers.
    pub fn number_cursor(&self, text: Option<String>, binding: &Binding) -> Result<i64, Fault> {
        let key = self.cursor(text, binding)?;
        Ok(key.map(|key| key.parse().map_err(internal)).transpose()?.unwrap_or_default())
    }
}

/// What an endpoint wants done.
pub struct Plan<'a> {
    pub command: Command,
    pub door: Door,
    /// Tokens that the request takes.
    pub cost: u32,
    /// The key of a record that is read from KV while the object is asked.
    pub cached: Option<String>,
    pub then: Continuation<'a, Answer>,
}

/// The object's answer, and what KV had when it was asked for too.
#[derive(Debug)]
pub struct Answer {
    pub outcome: Outcome,
    pub cached: Option<String>,
}

impl<'a> Plan<'a> {
    /// A command whose outcome is the answer.
    pub fn new(command: Command, respond: impl FnOnce(Outcome) -> Result<Response, Fault> + 'a) -> Self {
        Self::step(command, |answer| respond(answer.outcome).map(Step::Respond))
    }

    pub fn step(command: Command, then: impl FnOnce(Answer) -> Next<'a> + 'a) -> Self {
        Self { command, door: Door::Handle, cost: 1, cached: None, then: Box::new(then) }
    }

    /// A page of the listing, which the object brings up to date first.
    pub fn listed(command: Command, read: impl FnOnce(Outcome) -> Next<'a> + 'a) -> Self {
        let plan = Self::step(command, |answer| read(answer.outcome));
        Self { door: Door::HandleListed, ..plan }
    }

    fn refused(fault: Fault) -> Self {
        Self::step(Command::Admit, |_| Err(fault))
    }
}

/// Carries out what an endpoint wants done.
pub async fn serve<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    holder: &KeyHolder,
    method: Method,
    endpoint: Endpoint<PlanFunction>,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let body = exchange.read_body(endpoint.body).await;
    let planned = body.and_then(|body| {
        let key = if method == Method::Post { exchange.idempotency_key(body.bytes()) } else { Ok(None) };
        let mut input = Input::new(exchange, holder.tenant, &configuration, parameters, body)?;
        let plan = (endpoint.plan)(&mut input);
        both(both(input.query.finish(), plan), key)
    });
    let (plan, key) = match planned {
        Ok((((), plan), key)) => (plan, key),
        Err(fault) => (Plan::refused(fault), None),
    };
    let Plan { command, door, cost, cached, then } = plan;
    let (reply, cached) = {
        let cached = pin!(async {
            // A KV that fails is one that does not have the record.
            exchange.runtime.cache().ok()?.get(cached.as_deref()?).await.ok().flatten()
        });
        let asked = pin!(exchange.ask(holder.caller(cost), holder.tenant, door, command, key));
        match select(asked, cached).await {
            // KV is waited for only when the object knows the record.
            Either::Left((reply, cached)) => match reply? {
                reply if matches!(reply.outcome, Outcome::EndUserLocated { .. }) => (reply, cached.await),
                reply => (reply, None),
            },
            Either::Right((cached, asked)) => (asked.await?, cached),
        }
    };
    if let Some(admission) = reply.admission {
        exchange.charged = Some(Charged::Organization(admission));
    }
    if let Outcome::TurnReserved { quota, .. } | Outcome::Turn { quota: Some(quota), .. } = &reply.outcome {
        exchange.quota = Some(*quota);
    }
    let outcome = exchange.let_in(reply.outcome)?;
    let may_be_kv = cached.is_some();
    let step = then(Answer { outcome, cached })?;
    match step {
        Step::Ask(..) => exchange.served_by = Some(ServedBy::Object),
        Step::Query(..) if reply.listed != Some(true) => {
            return Err(store_unavailable("the listing could not be brought up to date"));
        }
        _ if may_be_kv => exchange.served_by = Some(ServedBy::Kv),
        _ => {}
    }
    let response = step::carry_out(exchange, Some(holder), step).await?;
    Ok(if reply.replayed { response.with("Idempotency-Replayed", "true") } else { response })
}
