//! Asking the configured responder.

use super::answer::{OnDelta, ResponderAnswer, ResponderError};
use super::chat;
use super::echo::echo;
use super::prompt::Prompt;
use super::settings::Chat;
use crate::fetch::Fetcher;

/// Asks for an answer, piece by piece if there is a receiver of pieces. The pieces together are the answer's
/// text, unless the result is an error.
pub async fn ask(
    fetcher: &impl Fetcher,
    chat: Option<&Chat>,
    prompt: &Prompt<'_>,
    on_delta: Option<OnDelta<'_>>,
) -> Result<ResponderAnswer, ResponderError> {
    match chat {
        Some(chat) => chat::ask(fetcher, chat, prompt, on_delta).await,
        None => Ok(echo(prompt, on_delta)),
    }
}
