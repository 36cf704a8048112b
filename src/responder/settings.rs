//! The model that answers, as the operator configures it.

/// A model that answers messages.
pub struct Chat {
    pub service: Service,
    /// `RESPONDER_MODEL`.
    pub model: String,
    /// `RESPONDER_TIMEOUT_MS`: the longest time for a whole answer, in milliseconds.
    pub timeout_ms: u32,
}

/// The service that runs a model.
pub enum Service {
    /// An API like OpenAI's.
    Http {
        /// The URL for completions, made from `RESPONDER_URL`.
        url: String,
        /// `RESPONDER_KEY`.
        key: Option<String>,
    },
    /// Workers AI, by the binding `AI`.
    WorkersAi,
}

/// Reveals neither the key nor the URL, which may hold a key.
impl std::fmt::Debug for Chat {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Chat")
    }
}
