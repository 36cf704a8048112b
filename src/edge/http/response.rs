//! A response of the edge, without any platform type.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::Stream;
use serde::Serialize;

use crate::fault::{Fault, internal};

pub type HeaderName = &'static str;

/// The receiver of the events of a response.
pub trait EventSink {
    /// Sends an event and says whether there is still a reader. It does not wait for a slow reader, so that the
    /// reader cannot delay the sender.
    fn send(&self, event: &str, data: &str) -> bool;
}

/// Sends the events of a response. The response ends when it ends. It runs to its end even without a reader.
pub type Producer = Box<dyn FnOnce(Rc<dyn EventSink>) -> Pin<Box<dyn Future<Output = ()>>>>;

/// The rest of a body whose head is sent. The next part is made when the reader has taken the one before, so that no
/// more than one is held. A fault cuts the body off, so that the reader does not take it for whole.
pub type Parts = Pin<Box<dyn Stream<Item = Result<String, Fault>>>>;

/// The content of a response.
pub enum Content {
    None,
    Text(String),
    /// A text that is too long to be held.
    Parts(Parts),
    /// Server-sent events, which are made after the head was sent.
    Events(Producer),
}

/// A response of the edge.
pub struct Response {
    pub status: u16,
    pub headers: Vec<(HeaderName, Cow<'static, str>)>,
    pub body: Content,
}

impl Response {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::with_capacity(16), body: Content::None }
    }

    pub fn json(status: u16, body: &impl Serialize) -> Result<Self, Fault> {
        let body = serde_json::to_string(body).map_err(internal)?;
        Ok(Self::new(status).with("Content-Type", "application/json").with_body(body))
    }

    pub fn events(producer: Producer) -> Self {
        let response = Self::new(200).with("Content-Type", "text/event-stream");
        Self { body: Content::Events(producer), ..response }
    }

    #[must_use]
    pub fn with(mut self, name: HeaderName, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn with_body(mut self, body: String) -> Self {
        self.body = Content::Text(body);
        self
    }

    #[must_use]
    pub fn with_parts(mut self, parts: Parts) -> Self {
        self.body = Content::Parts(parts);
        self
    }
}

/// The text of a server-sent event (WHATWG HTML, section 9.2). The name must not have a line break.
pub fn event(name: &str, data: &str) -> String {
    let mut event = ["event: ", name, "\n"].concat();
    for line in data.split('\n').flat_map(|line| line.split('\r')) {
        event.extend(["data: ", line, "\n"]);
    }
    event.push('\n');
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_data_line_by_line() {
        assert_eq!(event("delta", "{\"a\":1}"), "event: delta\ndata: {\"a\":1}\n\n");
        assert_eq!(event("x", "a\nid: 1\rb"), "event: x\ndata: a\ndata: id: 1\ndata: b\n\n");
        assert_eq!(event("x", ""), "event: x\ndata: \n\n");
    }
}
