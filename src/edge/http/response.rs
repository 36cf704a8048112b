//! A response on its way out, free of any platform type.

use std::borrow::Cow;
use std::pin::Pin;
use std::rc::Rc;

pub type HeaderName = &'static str;

/// Where the events of a response go.
pub trait EventSink {
    /// Sends an event; says whether there is still a reader. Does not wait for one that
    /// is slow, so that whoever sends keeps to their own time.
    fn send(&self, event: &str, data: &str) -> bool;
}

/// Sends events until it ends, and with it the response. It runs to its end whether or
/// not there is still a reader.
pub type Producer = Box<dyn FnOnce(Rc<dyn EventSink>) -> Pin<Box<dyn Future<Output = ()>>>>;

/// What a response carries.
pub enum Content {
    None,
    Text(String),
    /// Server-sent events, made after the head was sent.
    Events(Producer),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::None => "None",
            Self::Text(text) => text,
            Self::Events(_) => "Events",
        })
    }
}

/// A response on its way out.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(HeaderName, Cow<'static, str>)>,
    pub body: Content,
}

impl Response {
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::with_capacity(16), body: Content::None }
    }

    pub fn json(status: u16, body: String) -> Self {
        Self::new(status).with("Content-Type", "application/json").with_body(body)
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
}

/// An event as it is sent (WHATWG HTML, section 9.2). Its name has one line.
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
