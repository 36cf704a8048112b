//! `POST /v1/respond`: one metered turn.
//!
//! Invariant: the edge reserves a turn before it asks the responder, counts it before it gives the answer, and
//! releases it when there is no answer. These are two calls to the object, because the responder between them may
//! take half a minute, and may fail.
//!
//! A turn goes on when its caller hangs up, because the caller may repeat the request with the same `Idempotency-Key`.
//! But it has to end before the platform ends it, so that it is counted or released.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use strum::{IntoStaticStr, VariantArray};

use super::turn_events::{self, StoredTurn, TurnEvent};
use crate::directory::agent::AgentRef;
use crate::directory::identifiers::{RelationshipId, RequestId, Tenant};
use crate::directory::mood::{Affect, EmotionalState, Level};
use crate::directory::names::{Name, UserId};
use crate::directory::timestamp::Timestamp;
use crate::edge::calls::{Request, ask_as_operator, fault_of};
use crate::edge::configuration::Configuration;
use crate::edge::endpoint::Input;
use crate::edge::exchange::{Exchange, KeyHolder};
use crate::edge::http::body::Body;
use crate::edge::http::response::Response;
use crate::edge::log;
use crate::edge::runtime::Runtime;
use crate::edge::waiters::OF_TURNS_MAX;
use crate::fault::{CredentialFault, Fault, internal};
use crate::input::{Fields, choice, string};
use crate::json::{self, RawValue, is_object};
use crate::organization::protocol::{
    CountedTurn, IntoCommand, NewTurn, Rejection, ReleaseTurn, ReservedTurn, TurnAnswer,
};
use crate::refusal::Refusal;
use crate::responder::{self, OnDelta, Prompt, ResponderAnswer, ResponderError};

/// Longest message, in characters. It fits into a body with room for the other members.
const MESSAGE_CHARACTERS_MAX: usize = 32_000;
/// How long a reservation outlives the responder's time budget, in milliseconds. It is the time to commit; no more,
/// because a reservation counts against the quota.
const RESERVATION_GRACE_MS: i64 = 30_000;
/// The longest wait for another request's turn, in milliseconds. The platform ends the work for a caller 30 s after
/// the caller has gone.
const WAIT_MAX_MS: i64 = 25_000;
/// How long a turn goes on after its caller has hung up, in milliseconds. The platform ends the work for a caller 30 s
/// after the caller has gone (<https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil>), and counting
/// or releasing the turn takes some of them.
const AFTER_HANG_UP_MS: u32 = 25_000;
/// The first pause before the object is asked again, which doubles up to the last one, in milliseconds.
const PAUSE_FIRST_MS: u32 = 200;
const PAUSE_LAST_MS: u32 = 1_000;

/// What the request asks for.
struct Asked {
    message: String,
    agent: AgentRef,
    user_id: Option<UserId>,
    /// Whether the user takes the turn. A stateless turn leaves nothing with the user whom it names.
    is_stateful: bool,
    context: Option<json::Text>,
    affect: Option<Affect>,
    stream: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
enum TurnMode {
    Stateful,
    Stateless,
}

/// Reserves the turn and asks the responder. Answers as a whole, or with `stream: true` as server-sent events. A
/// repetition with the same `Idempotency-Key` gets the answer that the object kept, and waits for it if need be.
pub async fn respond(
    exchange: &mut Exchange<'_, impl Runtime>,
    holder: &KeyHolder,
    mut input: Input<'_>,
) -> Result<Response, Fault> {
    let asked = read(&input.body);
    let asked = exchange.admitted(holder, input.complete(asked)).await?;
    let request = Request { idempotency: input.idempotency.take(), ..Request::new(new_turn(&asked, &input)) };
    let turn = match reserve(exchange, holder, request).await? {
        ReservedTurn::New { agent_name, display_name, quota } => {
            exchange.quota = Some(quota);
            Turn {
                runtime: exchange.runtime.clone(),
                configuration: exchange.configuration()?,
                tenant: holder.tenant,
                request_id: exchange.request_id,
                received_at: exchange.received_at,
                asked,
                agent_name,
                display_name,
            }
        }
        ReservedTurn::Answered(CountedTurn { document, quota }) => {
            exchange.quota = quota.or(exchange.quota);
            return if asked.stream {
                turn_events::replay(&document, asked.affect)
            } else {
                Response::json(200, &document)
            };
        }
    };
    if turn.asked.stream {
        return Ok(turn.into_events());
    }
    let CountedTurn { document, quota } = turn.take(None).await?;
    exchange.quota = quota.or(exchange.quota);
    Response::json(200, &document)
}

/// Reserves a turn. If another request takes the same turn, waits until that is over: then the object gives the answer
/// that it kept, or reserves the turn for this request.
async fn reserve(
    exchange: &mut Exchange<'_, impl Runtime>,
    holder: &KeyHolder,
    request: Request<NewTurn>,
) -> Result<ReservedTurn, Fault> {
    let again = Request { cost: 0, ..request.clone() };
    let reserved = exchange.execute_as(holder, request).await;
    let Err(Fault::IdempotencyInFlight) = reserved else { return reserved };
    let runtime = exchange.runtime;
    let organization = holder.tenant.organization;
    let Some(_waiter) = runtime.turn_waiters().begin(organization, OF_TURNS_MAX) else { return reserved };
    let until_ms = runtime.now().millis().saturating_add(WAIT_MAX_MS);
    let mut pause_ms = PAUSE_FIRST_MS;
    loop {
        runtime.pause(pause_ms).await;
        pause_ms = pause_ms.saturating_mul(2).min(PAUSE_LAST_MS);
        let reserved = exchange.execute_as(holder, again.clone()).await;
        let is_in_flight = matches!(reserved, Err(Fault::IdempotencyInFlight));
        if !is_in_flight || runtime.now().millis() >= until_ms {
            return reserved;
        }
    }
}

fn new_turn(asked: &Asked, input: &Input<'_>) -> NewTurn {
    NewTurn {
        agent: asked.agent.clone(),
        user_id: asked.user_id.clone(),
        is_stateful: asked.is_stateful,
        relationship_id: RelationshipId::new(input.received_at, input.random),
        expires_in_ms: input.configuration.turn_budget_ms().saturating_add(RESERVATION_GRACE_MS),
    }
}

fn read(body: &Body) -> Result<Asked, Fault> {
    let mut fields = body.fields()?;
    let message = fields.required("message", |value| message(string(value)?));
    let agent = fields.required("personality_id", |value| AgentRef::new(string(value)?));
    let user_id = fields.nullable("user_id", |value| UserId::new(string(value)?)).flatten();
    let mode = fields.optional("mode", |value| choice::<TurnMode>(&string(value)?));
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
    let is_stateful = user_id.is_some() && mode != Some(TurnMode::Stateless);
    Ok(Asked { message, agent, user_id, is_stateful, context, affect, stream: stream.unwrap_or_default() })
}

fn message(text: String) -> Result<String, Refusal> {
    if (1..=MESSAGE_CHARACTERS_MAX).contains(&text.chars().count()) {
        Ok(text)
    } else {
        Err(Refusal::new("must have 1 to 32000 characters"))
    }
}

fn context(value: &RawValue) -> Result<json::Text, Refusal> {
    if is_object(value) { Ok(value.into()) } else { Err(Refusal::new("must be an object")) }
}

/// Reads the four dimensions; valence and arousal are required.
fn take_affect(fields: &mut Fields<'_>) -> Option<Affect> {
    if fields.peek("affect").is_some_and(|value| value.get() == "null") {
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

fn level(value: &RawValue) -> Result<Level, Refusal> {
    serde_json::from_str(value.get()).map_err(|_| Refusal::new("must be a number from -1 to 1"))
}

/// A reserved turn, with everything that it needs after its request has ended.
struct Turn<R> {
    runtime: R,
    configuration: Rc<Configuration>,
    tenant: Tenant,
    request_id: RequestId,
    received_at: Timestamp,
    asked: Asked,
    agent_name: Name,
    display_name: Option<Name>,
}

impl<R: Runtime> Turn<R> {
    /// Asks the responder, then counts the turn, or releases it when there is no answer.
    async fn take(&self, on_delta: Option<OnDelta<'_>>) -> Result<CountedTurn, Fault> {
        let asked = &self.asked;
        let prompt = Prompt {
            personality: self.agent_name.as_str(),
            user_id: asked.user_id.as_ref().filter(|_| asked.is_stateful).map(UserId::as_str),
            display_name: self.display_name.as_ref().map(Name::as_str),
            context: asked.context.as_ref(),
            message: &asked.message,
        };
        let chat = self.configuration.chat.as_ref();
        let answered = pin!(responder::ask(&self.runtime, chat, &prompt, on_delta));
        let abandoned = pin!(self.caller_gone_for(AFTER_HANG_UP_MS));
        let answer = match select(answered, abandoned).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => Err(ResponderError::TimedOut),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                // If this call is lost, the reservation expires by itself.
                let _ = self.tell(ReleaseTurn).await;
                return Err(error.into_fault());
            }
        };
        let latency_ms = self.runtime.now().millis().saturating_sub(self.received_at.millis());
        self.tell(turn_answer(asked, answer, latency_ms)).await?.map_err(|rejection| match rejection {
            // The organization was deleted meanwhile, and the caller's key with it.
            Rejection::Closed => Fault::Credential(CredentialFault::Invalid),
            rejection => fault_of(rejection, self.received_at),
        })
    }

    /// Ends when the caller has been gone for so long, and never while the caller is there.
    async fn caller_gone_for(&self, millis: u32) {
        self.runtime.caller_gone().await;
        self.runtime.pause(millis).await;
    }

    async fn tell<C: IntoCommand>(&self, command: C) -> Result<Result<C::Answer, Rejection>, Fault> {
        ask_as_operator(&self.runtime, self.request_id, self.tenant, command).await
    }

    /// Answers with server-sent events, one for each piece of the answer. The turn goes on to its end when the
    /// caller disconnects.
    fn into_events(self) -> Response {
        Response::events(Box::new(move |sink| {
            Box::pin(async move {
                TurnEvent::metadata(self.request_id, self.asked.affect).send(&*sink);
                let mut on_delta = |delta: &str| TurnEvent::Text { delta: delta.into() }.send(&*sink);
                let taken = self.take(Some(&mut on_delta)).await;
                let stored = taken.and_then(|turn| StoredTurn::read(&turn.document).map_err(internal));
                let outcome = match stored {
                    Ok(stored) => {
                        TurnEvent::completion(stored).send(&*sink);
                        "ok"
                    }
                    Err(fault) => {
                        TurnEvent::Error { code: fault.code(), message: fault.message() }.send(&*sink);
                        fault.code()
                    }
                };
                log::end_of_stream(&self.runtime, self.request_id, self.received_at, outcome, None);
            })
        }))
    }
}

fn turn_answer(asked: &Asked, answer: ResponderAnswer, latency_ms: i64) -> TurnAnswer {
    let level = |number: Option<f64>| number.and_then(Level::from_f64);
    let told = answer.affect.as_ref().and_then(|affect| {
        let (valence, arousal) = (Level::from_f64(affect.valence)?, Level::from_f64(affect.arousal)?);
        Some(Affect { valence, arousal, tension: level(affect.tension), affiliation: level(affect.affiliation) })
    });
    // The caller knows its user better than a model that has read one message.
    let affect = asked.affect.or(told);
    let inferred = answer.affect.filter(|_| asked.affect.is_none());
    let (primary, confidence) = inferred.map_or((None, None), |affect| (affect.primary, affect.confidence));
    let state = affect.map(|affect| EmotionalState::of(&affect, primary, confidence));
    let ResponderAnswer { text, provider, model, .. } = answer;
    TurnAnswer { response: text, state, affect, provider, model, latency_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_at_most_32000_characters() {
        assert!(message("🦀".repeat(MESSAGE_CHARACTERS_MAX)).is_ok());
        assert!(message("🦀".repeat(MESSAGE_CHARACTERS_MAX + 1)).is_err());
        assert!(message(String::new()).is_err());
    }
}
