//! Which model answers, as the operator has set it.

/// A model that answers messages.
pub struct Chat {
    pub service: Service,
    /// `RESPONDER_MODEL`.
    pub model: String,
    /// `RESPONDER_TIMEOUT_MS`: for all of an answer.
    pub timeout_ms: u32,
}

/// Where a model is asked.
pub enum Service {
    /// An API like OpenAI's.
    Http {
        /// Where completions are asked for, made from `RESPONDER_URL`.
        url: String,
        /// `RESPONDER_KEY`.
        key: Option<String>,
    },
    /// Workers AI, by the binding `AI`.
    WorkersAi,
}

/// Says nothing of the key, nor of the URL, which may hold one.
impl std::fmt::Debug for Chat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Chat")
    }
}
