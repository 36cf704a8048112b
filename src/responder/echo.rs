//! The responder that repeats the message. It answers while no model is configured.

use super::answer::{OnDelta, ResponderAnswer};
use super::prompt::Prompt;

/// Answers with the message itself.
pub fn echo(prompt: &Prompt<'_>, on_delta: Option<OnDelta<'_>>) -> ResponderAnswer {
    let text = format!("Echo: {}", prompt.message);
    if let Some(on_delta) = on_delta {
        text.split_inclusive(' ').for_each(on_delta);
    }
    ResponderAnswer { text, affect: None, provider: "echo".to_owned(), model: "echo".to_owned() }
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
