//! Who answers a person's message: an echo, a model behind an API like OpenAI's, or one of
//! Workers AI.
//!
//! Invariant: nothing that a responder says makes a request fail in a way of its own.
//! An answer is text that is not empty, and whatever else comes is an error that says
//! only in the log what it was.

mod affect;
mod chat;
mod events;
pub mod settings;

pub use affect::Affect;

use crate::fault::Fault;
use crate::fetch::Fetcher;
use crate::json;

use settings::Chat;

/// What an answer is made from.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    pub personality: &'a str,
    pub user_id: Option<&'a str>,
    pub display_name: Option<&'a str>,
    pub context: Option<&'a json::Text>,
    pub message: &'a str,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Never empty, and without what the responder said of its affect.
    pub text: String,
    pub affect: Option<Affect>,
    pub provider: String,
    pub model: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponderError {
    /// No answer, or none that is one. The reason is for the log, and holds nothing
    /// that was said.
    Upstream(String),
    TimedOut,
}

impl ResponderError {
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Upstream(reason) => Fault::Upstream { reason },
            Self::TimedOut => Fault::TurnTimeout,
        }
    }
}

/// Told of each piece of an answer's text as it comes.
pub type OnDelta<'a> = &'a mut dyn FnMut(&str);

/// Asks for the answer as a whole.
pub fn respond<F: Fetcher>(
    fetcher: &F,
    chat: Option<&Chat>,
    prompt: &Prompt<'_>,
) -> impl Future<Output = Result<Answer, ResponderError>> {
    ask(fetcher, chat, prompt, None)
}

/// Asks for the answer piece by piece. Put together the pieces are the answer's text,
/// unless it ends in an error.
pub fn respond_streamed<F: Fetcher>(
    fetcher: &F,
    chat: Option<&Chat>,
    prompt: &Prompt<'_>,
    on_delta: OnDelta<'_>,
) -> impl Future<Output = Result<Answer, ResponderError>> {
    ask(fetcher, chat, prompt, Some(on_delta))
}

async fn ask<F: Fetcher>(
    fetcher: &F,
    chat: Option<&Chat>,
    prompt: &Prompt<'_>,
    on_delta: Option<OnDelta<'_>>,
) -> Result<Answer, ResponderError> {
    match chat {
        Some(chat) => chat::ask(fetcher, chat, prompt, on_delta).await,
        None => Ok(echo(prompt, on_delta)),
    }
}

/// What answers as long as no model is configured.
fn echo(prompt: &Prompt<'_>, on_delta: Option<OnDelta<'_>>) -> Answer {
    let text = format!("Echo: {}", prompt.message);
    if let Some(on_delta) = on_delta {
        text.split_inclusive(' ').for_each(on_delta);
    }
    Answer { text, affect: None, provider: "echo".to_owned(), model: "echo".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_says_that_it_is_one() {
        let message = "how  are\nyou? ";
        let prompt = Prompt { personality: "kind", user_id: None, display_name: None, context: None, message };
        let mut pieces = Vec::new();
        let answer = echo(&prompt, Some(&mut |piece| pieces.push(piece.to_owned())));
        assert_eq!(answer.text, "Echo: how  are\nyou? ");
        assert_eq!((answer.provider.as_str(), answer.model.as_str(), answer.affect), ("echo", "echo", None));
        assert_eq!(pieces, ["Echo: ", "how ", " ", "are\nyou? "]);
    }
}
