//! A client that returns responses unchanged: every header, no redirects, and no statuses turned into errors. It
//! checks every body that names a schema against that schema.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::{schemas, wait};

/// Headers that the runtime's own HTTP server adds to every response.
const TRANSPORT: &[&str] = &["content-length", "date", "connection", "keep-alive", "transfer-encoding"];

#[derive(Debug, Clone)]
pub struct Client {
    /// Clones share it.
    url: Arc<Mutex<String>>,
    credential: Option<String>,
    agent: ureq::Agent,
    headers: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// Names in lower case, without the transport's headers.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Client {
    pub fn new(url: &str, credential: Option<&str>) -> Self {
        wait::limit_test();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .max_idle_connections_per_host(64)
            .timeout_global(Some(wait::LIMIT))
            .build()
            .into();
        Self {
            url: Arc::new(Mutex::new(url.to_owned())),
            credential: credential.map(str::to_owned),
            agent,
            headers: Vec::new(),
        }
    }

    /// The same client with another credential, which moves with this one.
    #[must_use]
    pub fn with_credential(&self, credential: &str) -> Self {
        Self { credential: Some(credential.to_owned()), ..self.clone() }
    }

    /// A client that moves with another one.
    #[must_use]
    pub fn sharing(self, other: &Self) -> Self {
        Self { url: Arc::clone(&other.url), ..self }
    }

    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Continues with a server that was restarted at another address.
    pub fn move_to(&mut self, url: &str) {
        self.url = Arc::new(Mutex::new(url.to_owned()));
    }

    /// The same with all clones of this client, while they are in use.
    pub fn move_all_to(&self, url: &str) {
        url.clone_into(&mut self.url.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn url(&self) -> String {
        self.url.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn get(&self, path: &str) -> Response {
        self.send("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.send("POST", path, Some(("application/json", body.to_string().as_bytes())))
    }

    pub fn patch(&self, path: &str, body: &Value) -> Response {
        self.send("PATCH", path, Some(("application/json", body.to_string().as_bytes())))
    }

    pub fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, None)
    }

    pub fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Response {
        self.try_send(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Sends JSON and returns the answer as soon as its head has arrived.
    pub fn open(&self, path: &str, body: &Value) -> (Response, ureq::BodyReader<'static>) {
        let body = body.to_string();
        let opened = self.try_open("POST", path, Some(("application/json", body.as_bytes())));
        let (head, body) = opened.unwrap_or_else(|error| panic!("POST {path}: {error}"));
        (head, body.into_reader())
    }

    /// Returns the answer as soon as its head has arrived.
    pub fn open_get(&self, path: &str) -> (Response, ureq::BodyReader<'static>) {
        let opened = self.try_open("GET", path, None);
        let (head, body) = opened.unwrap_or_else(|error| panic!("GET {path}: {error}"));
        (head, body.into_reader())
    }

    /// Sends the head of a `POST`, and nothing of the body that it announces. Returns the status of the answer, which
    /// never comes from a server that reads the body first.
    pub fn post_head(&self, path: &str, content_length: usize) -> u16 {
        read_status(self.connect(path, &format!("Content-Length: {content_length}")))
    }

    /// Sends a `POST` whose body has no length and no end, until the server has had enough. Returns the status of the
    /// answer.
    pub fn post_endless(&self, path: &str) -> u16 {
        const CHUNK_BYTES: usize = 64 * 1024;
        // Several times what a server may read.
        const CHUNKS_MAX: usize = 1_024;
        let connection = self.connect(path, "Transfer-Encoding: chunked");
        let mut sender = connection.try_clone().expect("a second handle");
        sender.set_write_timeout(Some(wait::LIMIT)).expect("a timeout");
        let chunk = format!("{CHUNK_BYTES:x}\r\n{}\r\n", " ".repeat(CHUNK_BYTES));
        thread::scope(|scope| {
            scope.spawn(move || {
                let has_room = (0..CHUNKS_MAX).all(|_| sender.write_all(chunk.as_bytes()).is_ok());
                assert!(!has_room, "the server took {CHUNKS_MAX} chunks");
            });
            let status = read_status(connection.try_clone().expect("a third handle"));
            // Unless the server has ended it.
            drop(connection.shutdown(Shutdown::Both));
            status
        })
    }

    /// Sends JSON and reads no answer. The caller hangs up when the connection is dropped.
    pub fn post_unread(&self, path: &str, body: &Value) -> TcpStream {
        let body = body.to_string();
        let mut connection = self.connect(path, &format!("Content-Length: {}", body.len()));
        connection.write_all(body.as_bytes()).expect("the body is sent");
        // Ends the connection by a reset. The local runtime takes an orderly end for a caller who has sent everything
        // and still listens.
        socket2::SockRef::from(&connection).set_linger(Some(Duration::ZERO)).expect("an option");
        connection
    }

    /// Opens a connection and sends the head of a `POST`.
    fn connect(&self, path: &str, framing: &str) -> TcpStream {
        let url = self.url();
        let host = url.strip_prefix("http://").expect("an address");
        let mut head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
        write!(head, "{framing}\r\n").expect("a string takes it");
        let credential = self.credential.as_ref().map(|key| ("Authorization".to_owned(), format!("Bearer {key}")));
        for (name, value) in self.headers.iter().cloned().chain(credential) {
            write!(head, "{name}: {value}\r\n").expect("a string takes it");
        }
        head.push_str("\r\n");
        let mut connection = TcpStream::connect(host).expect("a connection");
        connection.write_all(head.as_bytes()).expect("the head is sent");
        connection
    }

    /// Fails when the connection does.
    pub fn try_send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<Response, ureq::Error> {
        let (head, mut body) = self.try_open(method, path, body)?;
        let body = body.with_config().limit(64 * 1024 * 1024).read_to_string()?;
        schemas::assert_valid(&body);
        Ok(Response { body, ..head })
    }

    /// The answer without its body, and a reader of the body.
    fn try_open(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, &[u8])>,
    ) -> Result<(Response, ureq::Body), ureq::Error> {
        // Most clients send this. Here a compressed body does not read, so no answer of the Worker may be compressed.
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url()));
        let mut request = request.header("X-Front-Accept-Encoding", "gzip, br");
        if let Some(credential) = &self.credential {
            request = request.header("Authorization", format!("Bearer {credential}"));
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = match body {
            Some((content_type, body)) => {
                if !content_type.is_empty() {
                    request = request.header("Content-Type", content_type);
                }
                self.agent.run(request.body(body)?)?
            }
            None => self.agent.run(request.body(())?)?,
        };
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or("?").to_owned()))
            .filter(|(name, _)| !TRANSPORT.contains(&name.as_str()))
            .collect();
        let head = Response { status: response.status().as_u16(), headers, body: String::new() };
        Ok((head, response.into_body()))
    }
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no header {name}: {self:?}"))
    }

    /// Asserts that the response has exactly these headers.
    pub fn assert_header_names(&self, expected: &[&[&str]]) {
        let mut expected: Vec<&str> = expected.concat();
        expected.sort_unstable();
        let given: Vec<&str> = self.headers.keys().map(String::as_str).collect();
        assert_eq!(given, expected, "{self:?}");
    }
}

fn read_status(connection: TcpStream) -> u16 {
    connection.set_read_timeout(Some(wait::LIMIT)).expect("a timeout");
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line).expect("an answer before the end of the body");
    line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {line}"))
}

/// Percent-encodes everything but unreserved characters.
pub fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes it");
        }
    }
    encoded
}
