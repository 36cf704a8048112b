//! What an endpoint is given, and what the endpoints of one call give back.

use super::calls::answer_to;
use super::configuration::Configuration;
use super::edge_reads::CopyPlan;
use super::exchange::{Exchange, Operator};
use super::http::body::{Body, BodyKind};
use super::http::conditional::{self, Conditions};
use super::http::reader::Reader;
use super::http::request::Incoming;
use super::http::response::Response;
use super::runtime::Runtime;
use crate::directory::cursor::{self, Binding};
use crate::directory::identifiers::{RequestId, Tenant};
use crate::directory::mood::Decay;
use crate::directory::names::UserId;
use crate::directory::timestamp::Timestamp;
use crate::fault::{Fault, internal};
use crate::input::{QueryFields, both, path_parameter};
use crate::organization::copies::CopiedUser;
use crate::organization::protocol::{Answer, Command, IdempotencyKey, IntoCommand, Precondition};
use crate::refusal::Refusal;

/// A row of the route table: what the route takes as its body, and what answers it.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<H> {
    pub body: BodyKind,
    pub handler: H,
}

/// A request, as far as an endpoint may know it.
pub struct Input<'a, C = Tenant> {
    /// The tenant of the caller's key, or the operator.
    pub caller: C,
    pub request_id: RequestId,
    pub received_at: Timestamp,
    pub configuration: &'a Configuration,
    /// The values of the path's braces, still percent-encoded.
    pub parameters: &'a [&'a str],
    pub query: QueryFields,
    pub body: Body,
    pub reader: Reader<'a>,
    /// Bytes for the id of what this request makes.
    pub random: [u8; 10],
    /// Bytes for the secret of a key that it makes.
    pub secret: [u8; 32],
    /// Whether the method is safe (RFC 9110, section 9.2.1).
    pub is_safe: bool,
    pub if_match: Option<Precondition>,
    pub if_none_match: Option<Precondition>,
    /// Read on a `POST` of a key's holder only.
    pub idempotency: Option<IdempotencyKey>,
}

/// A request of the operator's.
pub type AdminInput<'a> = Input<'a, Operator>;

impl<'a, C> Input<'a, C> {
    pub fn new(
        exchange: &Exchange<'a, impl Runtime>,
        caller: C,
        configuration: &'a Configuration,
        parameters: &'a [&'a str],
        body: Body,
    ) -> Result<Self, Fault> {
        conditional::check_supported(exchange.incoming.header("If-Unmodified-Since").as_deref())?;
        Ok(Self {
            caller,
            request_id: exchange.request_id,
            received_at: exchange.received_at,
            configuration,
            parameters,
            query: QueryFields::parse(exchange.target.query)?,
            body,
            reader: exchange.reader(),
            random: exchange.random()?,
            secret: exchange.random()?,
            is_safe: matches!(exchange.incoming.method(), "GET" | "HEAD"),
            if_match: exchange.incoming.header("If-Match").as_deref().map(conditional::read),
            if_none_match: exchange.incoming.header("If-None-Match").as_deref().map(conditional::read),
            idempotency: None,
        })
    }

    /// The path's first parameter.
    pub fn path<T>(&self, name: &str, read: impl FnOnce(String) -> Result<T, Refusal>) -> Result<T, Fault> {
        path_parameter(name, self.parameters.first(), read)
    }

    /// The instant of the request, and how moods decay until then.
    pub const fn decay(&self) -> Decay {
        Decay { now: self.received_at, half_life_ms: self.configuration.mood_half_life_ms }
    }

    /// The preconditions of a read of one record.
    pub const fn conditions(&mut self) -> Conditions {
        Conditions { if_match: self.if_match.take(), if_none_match: self.if_none_match.take() }
    }

    /// Ends the reading of a request: refuses the query parameters that nothing has read, and lists them with every
    /// other fault. Then it refuses a precondition that nothing has taken: it names a version of what has none, so
    /// it does not hold (RFC 9110, section 13.1).
    pub fn complete<T>(&mut self, read: Result<T, Fault>) -> Result<T, Fault> {
        let ((), read) = both(self.query.finish(), read)?;
        let is_unmatched = self.if_match.take().is_some_and(|condition| condition != Precondition::Any);
        let is_unsafe = !self.is_safe && self.if_none_match.take().is_some();
        if is_unmatched || is_unsafe { Err(Fault::PreconditionFailed) } else { Ok(read) }
    }

    /// How a read of a user is answered from a copy; `None` for a conditional request. What a caller holds may show
    /// what a copy does not, so only the object judges it.
    pub fn copy(&self, user_id: &UserId, respond: fn(CopiedUser) -> Result<Response, Fault>) -> Option<CopyPlan> {
        let is_conditional = self.if_match.is_some() || self.if_none_match.is_some();
        (!is_conditional).then(|| CopyPlan { user_id: user_id.clone(), respond })
    }

    /// The key after which a list goes on, or `None` at its beginning.
    pub fn cursor(&self, text: Option<String>, binding: &Binding) -> Result<Option<String>, Fault> {
        let decode = |text: String| cursor::decode(&text, binding, &self.configuration.key_ring);
        text.map(decode).transpose().map_err(Fault::Malformed)
    }

    /// The same for a list whose rows have numbers; 0 at its beginning.
    pub fn number_cursor(&self, text: Option<String>, binding: &Binding) -> Result<i64, Fault> {
        let key = self.cursor(text, binding)?;
        Ok(key.map(|key| key.parse().map_err(internal)).transpose()?.unwrap_or_default())
    }
}

/// Reads a request and plans its one call to the object.
pub type PlanFunction = for<'a> fn(&mut Input<'a>) -> Result<Plan<'a>, Fault>;

/// One call to the object, and the response that its answer becomes.
pub struct Plan<'a> {
    pub command: Command,
    /// Tokens that the request takes.
    pub cost: u32,
    pub respond: Box<dyn FnOnce(Answer) -> Result<Response, Fault> + 'a>,
    /// How the request is answered from a copy, if it may be.
    pub copy: Option<CopyPlan>,
}

impl<'a> Plan<'a> {
    pub fn new<C: IntoCommand>(command: C, respond: impl FnOnce(C::Answer) -> Result<Response, Fault> + 'a) -> Self {
        let respond = |answer| respond(answer_to::<C>(answer)?);
        Self { command: command.into_command(), cost: 1, respond: Box::new(respond), copy: None }
    }
}
