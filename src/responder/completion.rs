//! A chat completion as it arrives, whole or as a stream of events.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::affect::{ReportedAffect, StreamedAnswer, separate};
use super::answer::{OnDelta, ResponderAnswer};
use super::events::Events;
use crate::json::{RawValue, Tolerant, string};

/// The largest answer, in bytes: several times the longest answer of the largest models.
pub const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The largest stream with an answer, in bytes. About 250 bytes come with each token of four bytes.
pub const STREAM_BYTES_MAX: usize = 16 * ANSWER_BYTES_MAX;

pub const TOO_LARGE: &str = "the responder's answer is too large";
const NO_JSON: &str = "the responder's answer is not JSON";
const NO_TEXT: &str = "the responder's answer has no text";
const CUT_OFF: &str = "the responder's answer ended early";
const FAILED: &str = "the responder reported an error in its answer";

/// A chat completion that is being received.
pub struct Completion<'a> {
    /// All bytes so far, unless the completion is streamed.
    body: Vec<u8>,
    stream: Option<Stream<'a>>,
}

/// The events of a stream and the chunks in them.
struct Stream<'a> {
    events: Events,
    chunks: StreamedChunks<'a>,
}

/// The chunks of a streamed completion.
struct StreamedChunks<'a> {
    answer: StreamedAnswer,
    on_delta: OnDelta<'a>,
    /// Whether the responder has sent the end of the answer. The platform does not report every connection
    /// that ends earlier as an error.
    complete: bool,
    failure: Option<&'static str>,
}

impl<'a> Completion<'a> {
    /// A completion that is streamed if there is a receiver of pieces.
    pub fn new(on_delta: Option<OnDelta<'a>>) -> Self {
        let stream = on_delta.map(|on_delta| Stream {
            events: Events::default(),
            chunks: StreamedChunks { answer: StreamedAnswer::default(), on_delta, complete: false, failure: None },
        });
        Self { body: Vec::new(), stream }
    }

    /// Takes the next bytes and says whether the completion needs more.
    pub fn push(&mut self, chunk: &[u8]) -> bool {
        if let Some(Stream { events, chunks }) = &mut self.stream {
            return events.push(chunk, &mut |data| chunks.take(data));
        }
        self.body.extend_from_slice(chunk);
        true
    }

    /// The answer, after the last bytes.
    pub fn finish(self, provider: &str, model: &str) -> Result<ResponderAnswer, &'static str> {
        let (text, affect) = match self.stream {
            Some(stream) => stream.finish()?,
            None => separate(&CompletionBody::read(&self.body)?.text(|choice| &choice.message).ok_or(NO_TEXT)?),
        };
        if text.is_empty() {
            return Err(NO_TEXT);
        }
        Ok(ResponderAnswer { text, affect, provider: provider.to_owned(), model: model.to_owned() })
    }
}

impl Stream<'_> {
    fn finish(self) -> Result<(String, Option<ReportedAffect>), &'static str> {
        let Self { mut events, mut chunks } = self;
        if !chunks.complete && chunks.failure.is_none() {
            events.finish(&mut |data| chunks.take(data));
        }
        if let Some(failure) = chunks.failure {
            return Err(failure);
        }
        if !chunks.complete {
            return Err(CUT_OFF);
        }
        let (text, affect, length) = chunks.answer.finish();
        if let Some(rest) = text.get(length..).filter(|rest| !rest.is_empty()) {
            (chunks.on_delta)(rest);
        }
        Ok((text, affect))
    }
}

impl StreamedChunks<'_> {
    /// Takes one chunk of a stream and says whether the completion needs more.
    fn take(&mut self, data: &[u8]) -> bool {
        if let Err(failure) = self.read(data) {
            self.failure = Some(failure);
        }
        self.failure.is_none() && data != b"[DONE]"
    }

    fn read(&mut self, data: &[u8]) -> Result<(), &'static str> {
        if data == b"[DONE]" {
            self.complete = true;
            return Ok(());
        }
        if data.is_empty() {
            return Ok(());
        }
        let chunk = CompletionBody::read(data)?;
        if chunk.error.is_some() {
            return Err(FAILED);
        }
        self.complete |= chunk.choice().is_some_and(|choice| choice.finish_reason.is_some());
        // The last chunk may hold only the usage.
        let Some(piece) = chunk.text(|choice| &choice.delta) else { return Ok(()) };
        if self.answer.len().saturating_add(piece.len()) > ANSWER_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        let delta = self.answer.push(&piece);
        if !delta.is_empty() {
            (self.on_delta)(delta);
        }
        Ok(())
    }
}

/// An answer, or a chunk of one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CompletionBody<'a> {
    error: Option<IgnoredAny>,
    choices: Tolerant<Vec<Tolerant<Choice>>>,
    /// Where most models of Workers AI put the text.
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice {
    message: Tolerant<ChoiceMessage>,
    delta: Tolerant<ChoiceMessage>,
    finish_reason: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ChoiceMessage {
    content: Tolerant<String>,
}

impl<'a> CompletionBody<'a> {
    /// Reads any JSON. What is of another form counts as absent.
    fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let answer: Tolerant<Self> = serde_json::from_slice(bytes).map_err(|_| NO_JSON)?;
        Ok(answer.0.unwrap_or_default())
    }

    /// The first choice. The request asks for one.
    fn choice(&self) -> Option<&Choice> {
        self.choices.0.as_ref()?.first()?.0.as_ref()
    }

    fn text(&self, part: fn(&Choice) -> &Tolerant<ChoiceMessage>) -> Option<String> {
        let message = self.choice().and_then(|choice| part(choice).0.as_ref());
        let content = message.and_then(|message| message.content.0.clone());
        // A text that reads as a number arrives as a number.
        content.or_else(|| self.response.map(|text| string(text).unwrap_or_else(|| text.get().to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn whole(body: &[u8]) -> Result<ResponderAnswer, &'static str> {
        let mut completion = Completion::new(None);
        for chunk in body.chunks(3) {
            assert!(completion.push(chunk));
        }
        completion.finish("p", "m")
    }

    /// The answer, and the pieces that were passed on.
    fn streamed(pieces: &[&[u8]]) -> (Result<ResponderAnswer, &'static str>, String) {
        let mut told = String::new();
        let mut on_delta = |delta: &str| told.push_str(delta);
        let mut completion = Completion::new(Some(&mut on_delta));
        let _ = pieces.iter().all(|piece| completion.push(piece));
        (completion.finish("p", "m"), told)
    }

    #[test]
    fn an_answer_may_be_as_short_as_those_of_workers_ai() {
        let usage = json!({ "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9 });
        for (body, text) in [
            (json!({ "response": " Hello! ", "tool_calls": [], "usage": usage }), "Hello!"),
            (json!({ "response": 42, "usage": usage }), "42"),
            (json!({ "response": { "a": 1 } }), "{\"a\":1}"),
            (json!({ "response": "x", "choices": [{ "message": { "content": "Hello!" } }] }), "Hello!"),
            (json!({ "response": "Hello!", "choices": [{ "message": { "content": null } }] }), "Hello!"),
        ] {
            assert_eq!(whole(body.to_string().as_bytes()).unwrap().text, text, "{body}");
        }
        let affect = "Hi.\n```affect\n{\"valence\":1,\"arousal\":0}\n```";
        assert!(whole(json!({ "response": affect }).to_string().as_bytes()).unwrap().affect.is_some());
    }

    #[test]
    fn a_stream_may_be_as_short_as_those_of_workers_ai() {
        let stream = "data: {\"response\":\"It is \",\"p\":\"abcd\"}\n\ndata: {\"response\":4,\"p\":\"a\"}\n\n\
                      data: {\"response\":\"2.\"}\n\ndata: {\"response\":null}\n\n\
                      data: {\"response\":\"\",\"usage\":{\"total_tokens\":9}}\n\ndata: [DONE]\n\n";
        for cut in 0..=stream.len() {
            let (first, second) = stream.split_at(cut);
            let (answer, told) = streamed(&[first.as_bytes(), second.as_bytes()]);
            assert_eq!((answer.unwrap().text.as_str(), told.as_str()), ("It is 42.", "It is 42."), "{cut}");
        }
        let (cut_off, _) = stream.split_at(stream.len() - 10);
        assert_eq!(streamed(&[cut_off.as_bytes()]).0, Err(CUT_OFF));
    }

    #[test]
    fn an_answer_is_its_first_choice() {
        let content = "Hello, \u{1f980}!\n```affect\n{\"valence\":1,\"arousal\":0}\n```";
        let body = json!({ "id": "x", "choices": [{ "message": { "role": "assistant", "content": content } }, 7] });
        let answer = whole(body.to_string().as_bytes()).unwrap();
        assert_eq!(
            (answer.text.as_str(), answer.model.as_str(), answer.provider.as_str()),
            ("Hello, \u{1f980}!", "m", "p")
        );
        assert!(answer.affect.is_some());
    }

    #[test]
    fn an_answer_without_text_is_an_error() {
        for (body, reason) in [
            ("", NO_JSON),
            ("<html>", NO_JSON),
            ("{\"choices\":[{\"message\":{\"content\":\"a\"}}]", NO_JSON),
            ("null", NO_TEXT),
            ("[]", NO_TEXT),
            ("{}", NO_TEXT),
            ("{\"choices\":[]}", NO_TEXT),
            ("{\"choices\":{}}", NO_TEXT),
            ("{\"choices\":[1]}", NO_TEXT),
            ("{\"choices\":[{\"message\":null}]}", NO_TEXT),
            ("{\"choices\":[{\"message\":{\"content\":null}}]}", NO_TEXT),
            ("{\"choices\":[{\"message\":{\"content\":[\"a\"]}}]}", NO_TEXT),
            ("{\"choices\":[{\"message\":{\"content\":\" \\n\"}}]}", NO_TEXT),
            ("{\"choices\":[{\"message\":{\"content\":\"```affect {}```\"}}]}", NO_TEXT),
            ("{\"choices\":[{\"message\":{\"content\":\"\\ud800\"}}]}", NO_TEXT),
            ("{\"response\":null}", NO_TEXT),
            ("{\"response\":\"\"}", NO_TEXT),
        ] {
            assert_eq!(whole(body.as_bytes()), Err(reason), "{body}");
        }
        assert_eq!(whole(b"{\"choices\":\"\xff\"}"), Err(NO_JSON));
    }

    fn chunk(content: &str) -> String {
        format!("data: {}\r\n\r\n", json!({ "choices": [{ "delta": { "content": content }, "finish_reason": null }] }))
    }

    #[test]
    fn a_stream_gives_the_same_answer_wherever_it_is_cut() {
        let stream = [
            ": ok\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n",
            &chunk("Grü"),
            &chunk("ße 🦀 "),
            &chunk("\n\n``"),
            &chunk("`aff"),
            &chunk("ect\n{\"valence\":0.5,\"arousal\":0}\n```"),
            "data: {\"choices\":[],\"usage\":{\"total_tokens\":7}}\n\ndata: [DONE]\n\ndata: nonsense\n\n",
        ]
        .concat();
        let stream = stream.as_bytes();
        for cut in 0..=stream.len() {
            let (answer, told) = streamed(&[&stream[..cut], &stream[cut..]]);
            let answer = answer.unwrap();
            assert_eq!((answer.text.as_str(), told.as_str()), ("Grüße 🦀", "Grüße 🦀"), "{cut}");
            assert!(answer.affect.is_some());
        }
        assert_eq!(streamed(&stream.chunks(1).collect::<Vec<_>>()).1, "Grüße 🦀");
    }

    #[test]
    fn a_stream_that_is_no_answer_is_an_error() {
        let large = chunk(&"x".repeat(ANSWER_BYTES_MAX / 2 + 1));
        let done = "data: [DONE]\n\n";
        for (stream, reason) in [
            (String::new(), CUT_OFF),
            (chunk("a"), CUT_OFF),
            ("{\"choices\":[{\"message\":{\"content\":\"a\"}}]}".to_owned(), CUT_OFF),
            (done.to_owned(), NO_TEXT),
            (chunk("```affect {}```") + done, NO_TEXT),
            (chunk("a") + "data: {\"choices\n\n" + done, NO_JSON),
            (chunk("a") + "data: {\"error\":{\"message\":\"x\"}}\n\n" + done, FAILED),
            (format!("{large}{large}{done}"), TOO_LARGE),
        ] {
            assert_eq!(streamed(&[stream.as_bytes()]).0, Err(reason), "{stream:.80}");
        }
    }

    #[test]
    fn a_stream_may_end_with_its_reason() {
        let stream = chunk("a") + "data: {\"error\":null,\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}";
        assert_eq!(streamed(&[stream.as_bytes()]).0.unwrap().text, "a");
    }
}
