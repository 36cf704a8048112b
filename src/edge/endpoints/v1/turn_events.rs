//! The server-sent events of a turn.

use super::emotional_state::EmotionalState;
use crate::directory::mood::Affect;
use crate::edge::http::response::Response;
use crate::fault::{Fault, internal};
use crate::json::{self, Raw, Unreadable};

/// The parts of a stored answer that its events are made of.
pub struct StoredTurn<'a> {
    interaction_id: Raw<'a>,
    response: Raw<'a>,
    inferred_emotional_state: Raw<'a>,
    usage: Raw<'a>,
    latency_ms: Raw<'a>,
}

impl<'a> StoredTurn<'a> {
    pub fn read(document: &'a json::Text) -> Result<Self, Unreadable> {
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

/// Answers with the events of a stored answer. Its text comes in one piece.
pub fn replay(document: &json::Text, affect: Option<Affect>) -> Result<Response, Fault> {
    let stored = StoredTurn::read(document).map_err(internal)?;
    let events = [
        ("metadata", metadata(stored.interaction_id.get(), affect)),
        ("text", text(stored.response.get())),
        ("completion", completion(&stored)),
    ];
    Ok(Response::events(Box::new(move |sink| {
        Box::pin(async move {
            for (event, data) in events {
                sink.send(event, &data);
            }
        })
    })))
}

/// The data of each event repeats its type, because clients look only there. The state is the one that
/// the caller reported: this event comes before the responder has answered.
pub fn metadata(interaction_id: &str, affect: Option<Affect>) -> String {
    let state = affect.and_then(|affect| json::Text::of(&EmotionalState::of(&affect, None, None)).ok());
    let state = state.as_ref().map_or("null", json::Text::as_str);
    format!(
        "{{\"type\":\"metadata\",\"interaction_id\":{interaction_id},\"inferred_emotional_state\":{state},\
         \"memory\":{{\"consulted\":false,\"summary_used\":\"none\",\"significant_moments_referenced\":0}}}}"
    )
}

pub fn text(delta: &str) -> String {
    format!("{{\"type\":\"text\",\"delta\":{delta}}}")
}

pub fn completion(stored: &StoredTurn<'_>) -> String {
    let updated = !stored.inferred_emotional_state.is_null();
    let StoredTurn { usage, latency_ms, .. } = stored;
    format!(
        "{{\"type\":\"completion\",\"memory\":{{\"summary_used\":\"none\",\"model_updated\":{updated}}},\
         \"guardrails\":{{\"applied\":[]}},\"usage\":{usage},\"latency_ms\":{latency_ms}}}"
    )
}
