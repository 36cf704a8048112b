//! Chat completions, as OpenAI defined them and many servers implement them: over HTTP, and by the binding of
//! Workers AI, whose models give the same form or a shorter one.

use super::answer::{OnDelta, ResponderAnswer, ResponderError};
use super::chat_request::request;
use super::completion::{ANSWER_BYTES_MAX, Completion, STREAM_BYTES_MAX, TOO_LARGE};
use super::prompt::Prompt;
use super::settings::{Chat, Service};
use crate::fetch::{Fetch, FetchError, Fetcher, Outgoing};

/// Asks a model for an answer, piece by piece if there is a receiver of pieces.
pub async fn ask(
    fetcher: &impl Fetcher,
    chat: &Chat,
    prompt: &Prompt<'_>,
    on_delta: Option<OnDelta<'_>>,
) -> Result<ResponderAnswer, ResponderError> {
    let streamed = on_delta.is_some();
    let (provider, is_workers_ai) = match &chat.service {
        Service::Http { .. } => ("openai-compatible", false),
        Service::WorkersAi => ("workers-ai", true),
    };
    let body = request((!is_workers_ai).then_some(chat.model.as_str()), prompt, streamed);
    let body = body.map_err(|error| ResponderError::Upstream(error.to_string()))?;
    let mut completion = Completion::new(on_delta);
    let fetch = Fetch {
        outgoing: match &chat.service {
            Service::Http { url, key } => Outgoing::Post { url, bearer: key.as_deref(), body: &body },
            Service::WorkersAi => Outgoing::WorkersAi { model: &chat.model, inputs: &body },
        },
        bytes_max: if streamed { STREAM_BYTES_MAX } else { ANSWER_BYTES_MAX },
        limit_ms: chat.timeout_ms,
        on_chunk: &mut |chunk| completion.push(chunk),
    };
    match fetcher.fetch(fetch).await {
        Ok(200..=299) => {
            completion.finish(provider, &chat.model).map_err(|reason| ResponderError::Upstream(reason.to_owned()))
        }
        Ok(status) => Err(ResponderError::Upstream(format!("the responder answered with status {status}"))),
        Err(FetchError::TimedOut) => Err(ResponderError::TimedOut),
        Err(FetchError::TooLarge) => Err(ResponderError::Upstream(TOO_LARGE.to_owned())),
        Err(FetchError::Broken(reason)) => Err(ResponderError::Upstream(format!("the responder: {reason}"))),
    }
}
