//! Asking the configured responder.

use super::answer::{OnDelta, ResponderAnswer, ResponderError};
use super::chat;
use super::echo::echo;
use super::prompt::Prompt;
use super::settings::Chat;
use crate::fetch::Fetcher;

/// Asks for the whole answer.
pub fn respond<F: Fetcher>(
    fetcher: &F,
    chat: Option<&Chat>,
    prompt: &Prompt<'_>,
) -> impl Future<Output = Result<ResponderAnswer, ResponderError>> {
    ask(fetcher, chat, prompt, None)
}

/// Asks for the answer piece by piece. The pieces together are the answer's text, unless the result is an
/// error.
pub fn respond_streamed<F: Fetcher>(
    fetcher: &F,
    chat: Option<&Chat>,
    prompt: &Prompt<'_>,
    on_delta: OnDelta<'_>,
) -> impl Future<Output = Result<ResponderAnswer, ResponderError>> {
    ask(fetcher, chat, prompt, Some(on_delta))
}

async fn ask<F: Fetcher>(
    fetcher: &F,
    chat: Option<&Chat>,
    prompt: &Prompt<'_>,
    on_delta: Option<OnDelta<'_>>,
) -> Result<ResponderAnswer, ResponderError> {
    match chat {
        Some(chat) => chat::ask(fetcher, chat, prompt, on_delta).await,
        None => Ok(echo(prompt, on_delta)),
    }
}
