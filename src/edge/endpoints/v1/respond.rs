//! `POST /v1/respond`: one metered turn.
//!
//! Invariant: a turn is reserved before the responder is asked, counted before its
//! answer is given, and released when there is none. Two calls to the object, as what
//! lies between them may take half a minute, and may fail.

use std::rc::Rc;

use serde::Serialize;

use crate::directory::agent::AgentRef;
use crate::directory::identifiers::{RelationshipId, RequestId, Tenant};
use crate::directory::mood::{Affect, Label, Level};
use crate::directory::names::{Name, UserId};
use crate::directory::quota::Quota;
use crate::directory::timestamp::Timestamp;
use crate::edge::configuration::Configuration;
use crate::edge::endpoint::{Input, Plan};
use crate::edge::exchange::{self, Exchange, unexpected};
use crate::edge::http::body::Body;
use crate::edge::http::request::Incoming;
use crate::edge::http::response::Response;
use crate::edge::runtime::{Door, Runtime};
use crate::edge::step::Step;
use crate::fault::internal;
use crate::fault::{CredentialFault, Fault};
use crate::input::{Fields, choice, string};
use crate::json::{self, Raw, Unreadable};
use crate::organization::protocol::{Command, NewTurn, Outcome, TurnAnswer};
use crate::refusal::Refusal;
use crate::responder::{self, OnDelta, Prompt, ResponderAnswer};

/// Longest message, in characters: what fits into a body anyway, leaving room for the rest.
const MESSAGE_CHARACTERS_MAX: usize = 32_000;
/// How long a reservation outlives the responder's time budget, in milliseconds: time
/// to commit, and no more, as it counts against the quota.
const RESERVATION_GRACE_MS: i64 = 30_000;

/// What a caller asks.
struct Request {
    message: String,
    agent: AgentRef,
    user_id: Option<UserId>,
    context: Option<json::Text>,
    affect: Option<Affect>,
    stream: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TurnMode {
    Stateful,
    Stateless,
}

/// A turn that the object has reserved and the responder is to answer.
pub struct Reserved {
    request: Request,
    agent_name: Name,
    display_name: Option<Name>,
}

/// Reserves the turn, unless the answer is one that was kept.
pub fn respond<'a>(input: &mut Input<'a>) -> Result<Plan<'a>, Fault> {
    let request = read(&input.body)?;
    let turn = NewTurn {
        agent: request.agent.clone(),
        user_id: request.user_id.clone(),
        relationship_id: RelationshipId::new(input.received_at, input.random),
        expires_in_ms: input.configuration.turn_budget_ms().saturating_add(RESERVATION_GRACE_MS),
    };
    let now_ms = input.received_at.millis();
    Ok(Plan::step(Command::ReserveTurn(turn), move |answer| match answer.outcome {
        Outcome::TurnReserved { agent_name, display_name, .. } => {
            Ok(Step::Turn(Box::new(Reserved { request, agent_name, display_name })))
        }
        Outcome::Turn { document, .. } if request.stream => replay(&document, request.affect).map(Step::Respond),
        Outcome::Turn { document, .. } => Ok(Step::Respond(Response::json(200, document.into_string()))),
        Outcome::NotFound => Err(Fault::NotFound("agent")),
        Outcome::Ambiguous => Err(Fault::Ambiguous),
        Outcome::DeletionPending => Err(Fault::DeletionPending),
        Outcome::OtherType => Err(Fault::OtherType),
        Outcome::IdempotencyInFlight => Err(Fault::IdempotencyInFlight),
        Outcome::OverQuota { component, quota } => Err(Fault::OverQuota { component, quota, now_ms }),
        other => Err(unexpected(&other)),
    }))
}

/// Has a reserved turn answered: as a whole, or with `stream: true` as server-sent events.
pub async fn answer<R: Runtime, I: Incoming>(
    exchange: &mut Exchange<'_, R, I>,
    tenant: Tenant,
    reserved: Reserved,
) -> Result<Response, Fault> {
    let Reserved { request, agent_name, display_name } = reserved;
    let stream = request.stream;
    let turn = Turn {
        runtime: exchange.runtime.clone(),
        configuration: exchange.configuration()?,
        tenant,
        request_id: exchange.request_id,
        received_at: exchange.received_at,
        request,
        agent_name,
        display_name,
    };
    if stream {
        return Ok(turn.into_events());
    }
    let (document, quota) = turn.take(None).await?;
    exchange.quota = quota.or(exchange.quota);
    Ok(Response::json(200, document.into_string()))
}

fn read(body: &Body) -> Result<Request, Fault> {
    let mut fields = body.fields()?;
    let message = fields.required("message", |value| message(string(value)?));
    let agent = fields.required("personality_id", |value| AgentRef::new(string(value)?));
    let user_id = fields.nullable("user_id", |value| UserId::new(string(value)?)).flatten();
    let modes = [("stateful", TurnMode::Stateful), ("stateless", TurnMode::Stateless)];
    let mode = fields.optional("mode", |value| choice(&string(value)?, &modes));
    let context = fields.nullable("context", context).flatten();
    let affect = take_affect(&mut fields);
    let stream = fields.optional("stream", |value| match value.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Refusal::new("must be true or false")),
    });
    if mode == Some(TurnMode::Stateful) && user_id.is_none() {
        fields.refuse("user_id", Refusal::new("is required when mode is stateful"), None);
    }
    fields.finish()?;
    let (Some(message), Some(agent)) = (message, agent) else {
        return Err(internal("a required field is missing without a fault"));
    };
    // A turn that says it is stateless leaves nothing with the user it names.
    let user_id = user_id.filter(|_| mode != Some(TurnMode::Stateless));
    Ok(Request { message, agent, user_id, context, affect, stream: stream.unwrap_or_default() })
}

fn message(text: String) -> Result<String, Refusal> {
    if (1..=MESSAGE_CHARACTERS_MAX).contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(Refusal::new("must have 1 to 32000 characters"))
    }
}

fn context(value: Raw<'_>) -> Result<json::Text, Refusal> {
    if value.is_object() {
        Ok(json::Text::from_stored(value.get().to_owned()))
    } else {
        Err(Refusal::new("must be an object"))
    }
}

/// The four dimensions; valence and arousal are needed.
fn take_affect(fields: &mut Fields<'_>) -> Option<Affect> {
    if fields.peek("affect").is_some_and(Raw::is_null) {
        fields.optional("affect", |_| Ok(()));
    }
    let mut nested = fields.object("affect")?;
    let valence = nested.required("valence", level);
    let arousal = nested.required("arousal", level);
    let tension = nested.nullable("tension", level).flatten();
    let affiliation = nested.nullable("affiliation", level).flatten();
    fields.absorb(nested);
    Some(Affect { valence: valence?, arousal: arousal?, tension, affiliation })
}

fn level(value: Raw<'_>) -> Result<Level, Refusal> {
    let number = value.value().and_then(|value| value.as_f64());
    Level::checked(number.ok_or_else(|| Refusal::new("must be a number from -1 to 1"))?)
}

/// A reserved turn, with all that is needed to have it answered when its request is
/// long gone.
struct Turn<R> {
    runtime: R,
    configuration: Rc<Configuration>,
    tenant: Tenant,
    request_id: RequestId,
    received_at: Timestamp,
    request: Request,
    agent_name: Name,
    display_name: Option<Name>,
}

impl<R: Runtime> Turn<R> {
    /// Has the turn answered, and counts it, or gives it back.
    async fn take(&self, on_delta: Option<OnDelta<'_>>) -> Result<(json::Text, Option<Quota>), Fault> {
        let request = &self.request;
        let prompt = Prompt {
            personality: self.agent_name.as_str(),
            user_id: request.user_id.as_ref().map(UserId::as_str),
            display_name: self.display_name.as_ref().map(Name::as_str),
            context: request.context.as_ref(),
            message: &request.message,
        };
        let answered = match on_delta {
            Some(on_delta) => {
                responder::respond_streamed(&self.runtime, self.configuration.chat.as_ref(), &prompt, on_delta).await
            }
            None => responder::respond(&self.runtime, self.configuration.chat.as_ref(), &prompt).await,
        };
        let answer = match answered {
            Ok(answer) => answer,
            Err(error) => {
                // If this is lost, the reservation expires by itself.
                let _ = self.tell(Command::ReleaseTurn).await;
                return Err(error.into_fault());
            }
        };
        let latency_ms = self.runtime.now().millis().saturating_sub(self.received_at.millis());
        match self.tell(Command::CommitTurn(turn_answer(request, answer, latency_ms)?)).await? {
            Outcome::Turn { document, quota } => Ok((document, quota)),
            Outcome::TurnExpired => Err(Fault::TurnTimeout),
            // The organization was deleted meanwhile, and the caller's key with it.
            Outcome::Closed => Err(Fault::Credential(CredentialFault::Invalid)),
            other => Err(unexpected(&other)),
        }
    }

    async fn tell(&self, command: Command) -> Result<Outcome, Fault> {
        exchange::ask_as_operator(&self.runtime, self.request_id, self.tenant, Door::Handle, command).await
    }

    /// The turn as server-sent events, each piece as it comes. It is taken to its end
    /// also when nobody listens any more.
    fn into_events(self) -> Response {
        Response::events(Box::new(move |sink| {
            Box::pin(async move {
                sink.send("metadata", &metadata(&format!("\"{}\"", self.request_id), self.request.affect));
                let mut on_delta = |delta: &str| {
                    sink.send("text", &text(&json::quote(delta)));
                };
                let taken = self.take(Some(&mut on_delta)).await;
                let completed = taken.and_then(|(document, _)| {
                    let view = View::of(&document).map_err(internal)?;
                    Ok(completion(&view))
                });
                let outcome = match completed {
                    Ok(data) => {
                        sink.send("completion", &data);
                        "ok"
                    }
                    Err(fault) => {
                        let (code, message) = (fault.code(), json::quote(&fault.message()));
                        let data = format!("{{\"type\":\"error\",\"code\":\"{code}\",\"message\":{message}}}");
                        sink.send("error", &data);
                        code
                    }
                };
                // The log line of the request was written when the stream began.
                let duration_ms = self.runtime.now().millis().saturating_sub(self.received_at.millis());
                self.runtime.log(&format!(
                    "{{\"requestId\":\"{}\",\"stream\":\"{outcome}\",\"durationMs\":{duration_ms}}}",
                    self.request_id
                ));
            })
        }))
    }
}

fn turn_answer(request: &Request, answer: ResponderAnswer, latency_ms: i64) -> Result<TurnAnswer, Fault> {
    let level = |number: Option<f64>| number.and_then(Level::from_f64);
    let told = answer.affect.as_ref().and_then(|affect| {
        let (valence, arousal) = (Level::from_f64(affect.valence)?, Level::from_f64(affect.arousal)?);
        Some(Affect { valence, arousal, tension: level(affect.tension), affiliation: level(affect.affiliation) })
    });
    // The caller knows its user better than a model that has read one message.
    let affect = request.affect.or(told);
    let inferred = answer.affect.filter(|_| request.affect.is_none());
    let (primary, confidence) = inferred.map_or((None, None), |affect| (affect.primary, affect.confidence));
    let state = affect.map(|affect| State::of(&affect, primary, confidence));
    let state = state.as_ref().map(json::Text::of).transpose().map_err(internal)?;
    let ResponderAnswer { text, provider, model, .. } = answer;
    Ok(TurnAnswer { response: text, state, affect, provider, model, latency_ms })
}

/// The emotional state that a turn tells of.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema), schemars(rename = "EmotionalState"))]
pub struct State {
    primary: String,
    confidence: Level,
    secondary: Option<&'static str>,
    /// How far from neutral, in [0, 1].
    intensity: Level,
    valence: Level,
    arousal: Level,
}

impl State {
    /// What is not named is named after its place on the circumplex; what nobody doubts is certain.
    fn of(affect: &Affect, primary: Option<String>, confidence: Option<f64>) -> Self {
        let place = Label::of(affect.valence, affect.arousal);
        let millionths = |level: Level| f64::from(level.millionths()) / 1_000_000.0;
        let distance = millionths(affect.valence).hypot(millionths(affect.arousal)) / std::f64::consts::SQRT_2;
        let named = primary.is_some();
        Self {
            primary: primary.unwrap_or_else(|| place.as_str().to_owned()),
            confidence: confidence.and_then(Level::from_f64).unwrap_or(Level::MAX),
            secondary: named.then(|| place.as_str()),
            intensity: Level::from_f64(distance).unwrap_or_default(),
            valence: affect.valence,
            arousal: affect.arousal,
        }
    }
}

/// The parts of a turn's answer that its events are made from.
struct View<'a> {
    interaction_id: Raw<'a>,
    response: Raw<'a>,
    inferred_emotional_state: Raw<'a>,
    usage: Raw<'a>,
    latency_ms: Raw<'a>,
}

impl<'a> View<'a> {
    fn of(document: &'a json::Text) -> Result<Self, Unreadable> {
        let members = document.raw().members().ok_or(Unreadable)?;
        let part = |name: &str| members.get(name).ok_or(Unreadable);
        Ok(Self {
            interaction_id: part("interaction_id")?,
            response: part("response")?,
            inferred_emotional_state: part("inferred_emotional_state")?,
            usage: part("usage")?,
            latency_ms: part("latency_ms")?,
        })
    }
}

/// An answer that was kept, as the events it was; its pieces come as one.
fn replay(document: &json::Text, affect: Option<Affect>) -> Result<Response, Fault> {
    let view = View::of(document).map_err(internal)?;
    let events = [
        ("metadata", metadata(view.interaction_id.get(), affect)),
        ("text", text(view.response.get())),
        ("completion", completion(&view)),
    ];
    Ok(Response::events(Box::new(move |sink| {
        Box::pin(async move {
            for (event, data) in events {
                sink.send(event, &data);
            }
        })
    })))
}

/// The data of each event repeats its type: clients look only there. The state is the one
/// that the caller has reported: this comes before a model has said anything.
fn metadata(interaction_id: &str, affect: Option<Affect>) -> String {
    let state = affect.and_then(|affect| json::Text::of(&State::of(&affect, None, None)).ok());
    let state = state.as_ref().map_or("null", json::Text::as_str);
    format!(
        "{{\"type\":\"metadata\",\"interaction_id\":{interaction_id},\"inferred_emotional_state\":{state},\
         \"memory\":{{\"consulted\":false,\"summary_used\":\"none\",\"significant_moments_referenced\":0}}}}"
    )
}

fn text(delta: &str) -> String {
    format!("{{\"type\":\"text\",\"delta\":{delta}}}")
}

fn completion(view: &View<'_>) -> String {
    let updated = !view.inferred_emotional_state.is_null();
    let View { usage, latency_ms, .. } = view;
    format!(
        "{{\"type\":\"completion\",\"memory\":{{\"summary_used\":\"none\",\"model_updated\":{updated}}},\
         \"guardrails\":{{\"applied\":[]}},\"usage\":{usage},\"latency_ms\":{latency_ms}}}"
    )
}
