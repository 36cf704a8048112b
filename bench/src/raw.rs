//! Requests byte by byte, each over a connection of its own: bodies that are too long, in chunks, or never end.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use xtask::Result;

/// Longer than any request of Rollcall waits.
const LIMIT: Duration = Duration::from_mins(1);

const LIMIT_MIN: Duration = Duration::from_millis(200);

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether the body is sent in chunks, without its length.
    pub is_chunked: bool,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Ask {
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Vec::new(), is_chunked: false }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn json(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }.with("content-type", "application/json")
    }

    pub fn head(&self, connection: &str) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: bench\r\nconnection: {connection}\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if self.is_chunked {
            head.push_str("transfer-encoding: chunked\r\n");
        } else if !self.body.is_empty() {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        head + "\r\n"
    }

    /// Sends it, and reads the whole answer.
    pub fn send(&self, authority: &str) -> Result<Answer> {
        self.send_until(authority, Instant::now() + LIMIT)
    }

    /// Sends it, and hangs up if the answer pauses beyond this moment.
    pub fn send_until(&self, authority: &str, ends: Instant) -> Result<Answer> {
        let mut stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ends.saturating_duration_since(Instant::now()).max(LIMIT_MIN)))?;
        let mut sent = self.head("close").into_bytes();
        if self.is_chunked {
            for chunk in self.body.chunks(64 * 1024) {
                sent.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                sent.extend_from_slice(chunk);
                sent.extend_from_slice(b"\r\n");
            }
            sent.extend_from_slice(b"0\r\n\r\n");
        } else {
            sent.extend_from_slice(&self.body);
        }
        stream.set_write_timeout(Some(LIMIT))?;
        // A server that refuses a body may close before it has read it.
        let written = stream.write_all(&sent);
        let mut received = Vec::new();
        let read = stream.read_to_end(&mut received);
        let answer = Answer::parse(&received);
        if answer.is_none() {
            written?;
            read?;
        }
        answer.ok_or_else(|| format!("{} {}: no answer", self.method, self.path).into())
    }

    /// Sends it and expects success.
    pub fn expect(&self, authority: &str) -> Result<Value> {
        let answer = self.send(authority)?;
        let text = String::from_utf8_lossy(&answer.body);
        if !(200..300).contains(&answer.status) {
            return Err(format!("{} {:.200}: {}: {text:.500}", self.method, self.path, answer.status).into());
        }
        if answer.body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
    }
}

impl Answer {
    fn parse(received: &[u8]) -> Option<Self> {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n")?;
        let (head, body) = (received.get(..end)?, received.get(end + 4..)?);
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let is_chunked = head.contains("transfer-encoding: chunked");
        let body = if is_chunked { unchunked(body) } else { body.to_owned() };
        Some(Self { status, body })
    }
}

/// A text as a part of a URL.
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = if byte.is_ascii_alphanumeric() {
            encoded.write_char(char::from(byte))
        } else {
            write!(encoded, "%{byte:02X}")
        };
        encoded
    })
}

/// A body without the lengths of its chunks, up to its end or to where it is cut off.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let length =
            rest.get(..end).and_then(|digits| usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        let Some(length) = length.filter(|length| *length > 0) else { break };
        let begin = end + 2;
        let Some(chunk) = rest.get(begin..begin + length) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(begin + length + 2..).unwrap_or_default();
    }
    body
}
