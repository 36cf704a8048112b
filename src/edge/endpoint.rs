//! The endpoints for holders of a key: each is a pure function from what was sent to
//! a [`Plan`], and one driver carries every plan out.
//!
//! Invariant: a plan asks the object before anything else, and faulty input is a plan
//! too, one that only has the caller admitted. So 401, 403 and 429 win over 413, 415, 400
//! and 422, and a bad request costs what a good one does.
//!
//! One driver instead of a function that waits for each endpoint: the waiting is what is
//! large when compiled (about a kilobyte each, compressed), and a pure function is tested
//! by calling it.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::configuration::Configuration;
use super::exchange::{Exchange, KeyHolder, internal, store_unavailable};
use super::fault::Fault;
use super::fields::{Fields, QueryFields, both, path_parameter};
use super::headers::Charged;
use super::http::{Incoming, Response};
use super::log::ServedBy;
use super::routes::Method;
use super::runtime::{Door, Runtime};
use super::turns;
use crate::directory::Refusal;
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::{RequestId, Tenant};
use crate::directory::timestamp::Timestamp;
use crate::organization::protocol::{Command, Outcome};
use crate::projection::{Cache, Database, Statement, Texts};

/// What a route does for the holder of a key.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint {
    pub body: BodyKind,
    pub plan: PlanFunction,
}

/// Reads a request. What the query has left over is refused by the driver.
pub type PlanFunction = for<'a> fn(&mut Input<'a>) -> Result<Plan<'a>, Fault>;

/// What a route takes as its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// Not read.
    None,
    /// `application/json`, at most this many bytes.
    Json { bytes_max: usize },
    /// Either type of a `PATCH`, or none.
    Optional { bytes_max: usize },
}

/// A body, by what its type makes of it.
#[derive(Debug)]
pub enum Body {
    Empty,
    /// `application/json`.
    Json(Vec<u8>),
    /// `application/merge-patch+json` (RFC 7396).
    MergePatch(Vec<u8>),
}

impl Body {
    /// What was sent, whatever its type makes of it.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Json(bytes) | Self::MergePatch(bytes) => bytes,
        }
    }

    pub fn fields(&self) -> Result<Fields<'_>, Fault> {
        Fields::of_body(self.bytes())
    }
}

/// A request of a key's holder, as far as an endpoint may know it.
pub struct Input<'a> {
    pub tenant: Tenant,
    pub request_id: RequestId,
    pub received_at: Timestamp,
    pub configuration: &'a Configuration,
    /// The values of the path's braces, still percent-encoded.
    pub parameters: &'a [&'a str],
    pub query: QueryFields,
    pub body: Body,
    /// Bytes for the ids of what this request makes.
    pub random: [u8; 10],
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
}

impl Input<'_> {
    /// The path's one parameter.
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
    pub then: Then<'a>,
}

/// What is made of the object's answer.
pub type Then<'a> = Box<dyn FnOnce(Answer) -> Result<Step<'a>, Fault> + 'a>;

/// The object's answer, and what KV had when it was asked for too.
#[derive(Debug)]
pub struct Answer {
    pub outcome: Outcome,
    pub cached: Option<String>,
}

/// What comes after the object's answer.
pub enum Step<'a> {
    Respond(Response),
    /// Read the listing.
    Read(Box<dyn Reading + 'a>),
    /// Ask the object once more.
    Ask(Command, Then<'a>),
    /// Have a reserved turn answered.
    Turn(Box<turns::Reserved>),
}

impl Step<'_> {
    /// Ask the object once more, for what is then the answer.
    pub fn ask(command: Command, respond: impl FnOnce(Outcome) -> Result<Response, Fault> + 'static) -> Self {
        Self::Ask(command, Box::new(|answer| respond(answer.outcome).map(Step::Respond)))
    }
}

/// A page that is read from the listing.
pub trait Reading {
    fn statement(&self) -> Statement<'_>;
    fn respond(self: Box<Self>, texts: Texts) -> Result<Response, Fault>;
}

impl<'a> Plan<'a> {
    /// A command whose outcome is the answer.
    pub fn new(command: Command, respond: impl FnOnce(Outcome) -> Result<Response, Fault> + 'a) -> Self {
        Self::step(command, |answer| respond(answer.outcome).map(Step::Respond))
    }

    pub fn step(command: Command, then: impl FnOnce(Answer) -> Result<Step<'a>, Fault> + 'a) -> Self {
        Self { command, door: Door::Handle, cost: 1, cached: None, then: Box::new(then) }
    }

    /// A page of the listing, which the object brings up to date first.
    pub fn listed(command: Command, read: impl FnOnce(Outcome) -> Result<Box<dyn Reading + 'a>, Fault> + 'a) -> Self {
        let plan = Self::step(command, |answer| read(answer.outcome).map(Step::Read));
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
    endpoint: Endpoint,
    parameters: &[&str],
) -> Result<Response, Fault> {
    let configuration = exchange.configuration()?;
    let body = exchange.read_body(endpoint.body).await;
    let random = exchange.random()?;
    let planned = body.and_then(|body| {
        let key = if method == Method::Post { exchange.idempotency_key(body.bytes()) } else { Ok(None) };
        let mut input = Input {
            tenant: holder.tenant,
            request_id: exchange.request_id,
            received_at: exchange.received_at,
            configuration: &configuration,
            parameters,
            query: QueryFields::parse(exchange.target.query)?,
            body,
            random,
            if_match: exchange.incoming.header("If-Match"),
            if_none_match: exchange.incoming.header("If-None-Match"),
        };
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
        let asked = pin!(exchange.ask(holder, door, cost, command, key));
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
    let mut step = then(Answer { outcome, cached })?;
    if let Step::Ask(command, then) = step {
        exchange.served_by = Some(ServedBy::Object);
        let outcome = exchange.ask(holder, Door::Handle, 0, command, None).await?.outcome;
        step = then(Answer { outcome: exchange.let_in(outcome)?, cached: None })?;
    } else if may_be_kv {
        exchange.served_by = Some(ServedBy::Kv);
    }
    let response = match step {
        Step::Respond(response) => response,
        Step::Read(reading) => {
            if reply.listed != Some(true) {
                return Err(store_unavailable("the listing could not be brought up to date"));
            }
            let database = exchange.runtime.database().map_err(internal)?;
            let texts = database.query(&reading.statement()).await.map_err(store_unavailable)?;
            exchange.rows_read = Some(texts.rows_read);
            reading.respond(texts)?
        }
        Step::Turn(reserved) => turns::answer(exchange, holder.tenant, *reserved).await?,
        Step::Ask(..) => return Err(internal("a plan asks the object for a third time")),
    };
    Ok(if reply.replayed { response.with("Idempotency-Replayed", "true") } else { response })
}
