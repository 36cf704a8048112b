//! A model that answers turns as a measurement wants it: with so much, and so late.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use xtask::Result;

use crate::letters::Letters;

/// Pieces of a streamed answer.
const PIECES: usize = 64;
/// The longest wait for the rest of a request.
const READ_LIMIT: Duration = Duration::from_mins(1);

/// How the model answers.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    pub letters: Letters,
    /// Bytes of JSON.
    pub bytes: usize,
    pub delay: Duration,
}

/// A server on this machine that speaks the protocol of chat completions, for as long as this process lives.
#[derive(Debug)]
pub struct Model {
    pub url: String,
    manner: Arc<Mutex<Manner>>,
}

impl Model {
    pub fn start(manner: Manner) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let manner = Arc::new(Mutex::new(manner));
        let shared = Arc::clone(&manner);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let manner = *shared.lock().unwrap_or_else(PoisonError::into_inner);
                // A caller who hangs up needs no answer.
                thread::spawn(move || drop(answer(&stream, manner)));
            }
        });
        Ok(Self { url, manner })
    }

    pub fn set(&self, manner: Manner) {
        *self.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }
}

fn answer(stream: &TcpStream, manner: Manner) -> std::io::Result<()> {
    stream.set_read_timeout(Some(READ_LIMIT))?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    thread::sleep(manner.delay);
    let is_streamed = body.windows(13).any(|window| window == b"\"stream\":true");
    let (kind, body) =
        if is_streamed { ("text/event-stream", events(manner)) } else { ("application/json", whole(manner)) };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    // A connection that is closed while bytes come in would be broken, and the answer lost.
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

fn whole(manner: Manner) -> String {
    format!("{{\"choices\":[{{\"message\":{{\"content\":{}}}}}]}}", manner.letters.string(manner.bytes))
}

fn events(manner: Manner) -> String {
    let piece = manner.letters.string(manner.bytes / PIECES);
    let piece = format!("data: {{\"choices\":[{{\"delta\":{{\"content\":{piece}}}}}]}}\n\n");
    piece.repeat(PIECES) + "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
}
