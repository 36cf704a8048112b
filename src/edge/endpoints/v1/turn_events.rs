//! The server-sent events of a turn.

use serde::{Deserialize, Serialize};

use crate::directory::identifiers::RequestId;
use crate::directory::mood::{Affect, EmotionalState};
use crate::edge::http::response::{EventSink, Response};
use crate::fault::{Fault, internal};
use crate::json;

/// The data of an event. It repeats the type of the event, because clients look only there.
#[derive(Serialize, schemars::JsonSchema, strum::IntoStaticStr)]
#[serde(tag = "type", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum TurnEvent {
    Metadata {
        interaction_id: RequestId,
        /// The state that the caller reported: this event comes before the responder has answered.
        inferred_emotional_state: Option<EmotionalState>,
        memory: ConsultedMemory,
    },
    Text {
        delta: String,
    },
    Completion {
        memory: UpdatedMemory,
        guardrails: Guardrails,
        #[schemars(with = "crate::organization::turns::TurnUsageView<'_>")]
        usage: json::Text,
        latency_ms: i64,
    },
    Error {
        code: &'static str,
        message: String,
    },
}

/// Rollcall keeps no memory of what was said.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
pub struct ConsultedMemory {
    #[schemars(extend("const" = false))]
    consulted: bool,
    #[schemars(extend("const" = NO_SUMMARY))]
    summary_used: &'static str,
    #[schemars(extend("const" = 0))]
    significant_moments_referenced: u32,
}

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
pub struct UpdatedMemory {
    #[schemars(extend("const" = NO_SUMMARY))]
    summary_used: &'static str,
    model_updated: bool,
}

const NO_SUMMARY: &str = "none";

#[derive(Serialize, schemars::JsonSchema)]
#[schemars(inline)]
pub struct Guardrails {
    applied: [&'static str; 0],
}

/// The parts of a stored answer that its events are made of.
#[derive(Deserialize)]
pub struct StoredTurn {
    interaction_id: RequestId,
    response: String,
    inferred_emotional_state: Option<EmotionalState>,
    usage: json::Text,
    latency_ms: i64,
}

impl StoredTurn {
    pub fn read(document: &json::Text) -> serde_json::Result<Self> {
        serde_json::from_str(document.as_str())
    }
}

impl TurnEvent {
    pub fn metadata(interaction_id: RequestId, affect: Option<Affect>) -> Self {
        let inferred_emotional_state = affect.map(|affect| EmotionalState::of(&affect, None, None));
        let memory = ConsultedMemory { consulted: false, summary_used: NO_SUMMARY, significant_moments_referenced: 0 };
        Self::Metadata { interaction_id, inferred_emotional_state, memory }
    }

    pub fn completion(stored: StoredTurn) -> Self {
        let model_updated = stored.inferred_emotional_state.is_some();
        Self::Completion {
            memory: UpdatedMemory { summary_used: NO_SUMMARY, model_updated },
            guardrails: Guardrails { applied: [] },
            usage: stored.usage,
            latency_ms: stored.latency_ms,
        }
    }

    pub fn send(&self, sink: &dyn EventSink) {
        // An event of our own types does not fail to serialise.
        sink.send(self.into_str(), &serde_json::to_string(self).unwrap_or_default());
    }
}

/// Answers with the events of a stored answer. Its text comes in one piece.
pub fn replay(document: &json::Text, affect: Option<Affect>) -> Result<Response, Fault> {
    let mut stored = StoredTurn::read(document).map_err(internal)?;
    let events = [
        TurnEvent::metadata(stored.interaction_id, affect),
        TurnEvent::Text { delta: std::mem::take(&mut stored.response) },
        TurnEvent::completion(stored),
    ];
    Ok(Response::events(Box::new(move |sink| {
        Box::pin(async move {
            for event in &events {
                event.send(&*sink);
            }
        })
    })))
}
