//! A server that answers like OpenAI's, or like the service behind the binding of Workers AI. The test chooses the
//! answers.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::wait;

/// The answer to a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// The model says this: as a whole, or streamed if the request asks for a stream.
    Say(String),
    /// The same, with a pause after each event of a stream.
    Trickle(String, Duration),
    /// The same, each word with the test's permission.
    Step(String, Steps),
    /// A status, with a body that no caller may see.
    Status(u16),
    /// The status 400 with this body.
    Refuse(String),
    /// Redirects here.
    Redirect(String),
    /// Says "late" with the test's permission.
    Held(Steps),
    /// Says "late" after this long.
    Slow(Duration),
    /// Sends the head at once, and the rest of an answer after this long.
    SlowBody(Duration),
    /// The status 200 with this body, which need not be valid.
    Body(String),
    /// Says the letter x this many times.
    Oversized(usize),
    /// Closes the connection without an answer.
    Drop,
    /// Closes the connection in the middle of an answer.
    DropInBody,
}

impl Behaviour {
    pub fn say(text: &str) -> Self {
        Self::Say(text.to_owned())
    }

    /// Says a text, and reports the model's mood about it.
    pub fn feel(text: &str, affect: &Value) -> Self {
        Self::Say(format!("{text}\n\n```affect\n{affect}\n```"))
    }
}

/// Permissions to continue, one for each word. When no sender is left, or no permission comes for long, the
/// upstream closes the connection.
#[derive(Debug, Clone)]
pub struct Steps(Arc<Mutex<Receiver<()>>>);

impl Steps {
    pub fn new() -> (Sender<()>, Self) {
        let (permit, permits) = channel();
        (permit, Self(Arc::new(Mutex::new(permits))))
    }

    fn next(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(wait::LIMIT).is_ok()
    }
}

/// A received request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    /// The model that the binding of Workers AI was asked for.
    pub workers_ai_model: Option<String>,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy)]
struct Form {
    is_streamed: bool,
    is_workers_ai: bool,
}

impl Asked {
    /// The content of the first message of a role.
    pub fn content(&self, role: &str) -> &str {
        let messages = self.body["messages"].as_array().expect("messages");
        let message = messages.iter().find(|message| message["role"] == role);
        message.and_then(|message| message["content"].as_str()).unwrap_or_else(|| panic!("no {role}: {self:?}"))
    }
}

/// The answer when the test has set none.
pub const ANSWER: &str = "Hello from upstream.";

type Decide = Arc<dyn Fn(&Asked) -> Behaviour + Send + Sync>;

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    /// Requests in progress, and the largest number at once so far.
    under_way: usize,
    under_way_max: usize,
    /// Answers for the next requests, in order.
    next: VecDeque<Behaviour>,
    /// Answers for requests whose message contains a text.
    when: Vec<(String, Behaviour)>,
    /// The answer for all other requests.
    otherwise: Option<Decide>,
}

/// The server. It ends when it is dropped.
pub struct Upstream {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    ended: Arc<AtomicBool>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (state, ended) = (Arc::<Mutex<State>>::default(), Arc::<AtomicBool>::default());
        let (shared, stop) = (Arc::clone(&state), Arc::clone(&ended));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let state = Arc::clone(&shared);
                // A caller that hangs up does not fail the test.
                thread::spawn(move || drop(serve(&stream, &state)));
            }
        });
        Self { address, state, ended }
    }

    /// The value of `RESPONDER_URL`.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Sets the answer to the next request. Several calls set several answers, in order.
    pub fn next(&self, behaviour: Behaviour) {
        lock(&self.state).next.push_back(behaviour);
    }

    /// Sets the answer to every request whose message contains this.
    pub fn when(&self, message: &str, behaviour: Behaviour) {
        lock(&self.state).when.push((message.to_owned(), behaviour));
    }

    /// Sets the answer to every request without another setting.
    pub fn otherwise(&self, decide: impl Fn(&Asked) -> Behaviour + Send + Sync + 'static) {
        lock(&self.state).otherwise = Some(Arc::new(decide));
    }

    /// The largest number of requests in progress at once.
    pub fn most_at_once(&self) -> usize {
        lock(&self.state).under_way_max
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.state).asked.clone()
    }

    /// The requests whose message contains this.
    pub fn asked_about(&self, message: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.content("user").contains(message)).collect()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let Some(asked) = read(stream)? else { return Ok(()) };
    let form = Form { is_streamed: asked.body["stream"] == true, is_workers_ai: asked.workers_ai_model.is_some() };
    let behaviour = {
        let mut state = lock(state);
        let known = state.when.iter().find(|(message, _)| asked.content("user").contains(message.as_str()));
        let known = known.map(|(_, behaviour)| behaviour.clone()).or_else(|| state.next.pop_front());
        let known = known.or_else(|| state.otherwise.as_ref().map(|decide| decide(&asked)));
        state.asked.push(asked);
        state.under_way += 1;
        state.under_way_max = state.under_way_max.max(state.under_way);
        known.unwrap_or_else(|| Behaviour::say(ANSWER))
    };
    let answered = answer(stream, behaviour, form);
    lock(state).under_way -= 1;
    answered?;
    stream.shutdown(Shutdown::Both)
}

fn read(stream: &TcpStream) -> std::io::Result<Option<Asked>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let Some(path) = line.split(' ').nth(1).map(str::to_owned) else { return Ok(None) };
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let body = match headers.get("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => read_bytes(&mut reader, length)?,
        None if headers.contains_key("transfer-encoding") => read_chunks(&mut reader)?,
        None => Vec::new(),
    };
    let mut body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    // The runtime's own binding sends this, through the runtime's proxy to remote bindings.
    let workers_ai_model = headers.get("mf-header-cf-consn-model-id").cloned();
    if workers_ai_model.is_some() {
        body = body["inputs"].take();
    }
    Ok(Some(Asked { path, headers, body, workers_ai_model }))
}

fn read_bytes(reader: &mut impl BufRead, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// RFC 9112, section 7.1, without trailers.
fn read_chunks(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim_end(), 16).map_err(std::io::Error::other)?;
        body.extend(read_bytes(reader, length)?);
        reader.read_line(&mut line)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

fn answer(stream: &TcpStream, behaviour: Behaviour, form: Form) -> std::io::Result<()> {
    match behaviour {
        Behaviour::Say(text) => send(stream, form, 200, "", &completion(&text, form)),
        Behaviour::Trickle(text, pause) => {
            let body = completion(&text, form);
            head(stream, form, 200, body.len(), "")?;
            for event in body.split_inclusive("\n\n") {
                write_all(stream, event)?;
                // The test sets a pause.
                thread::sleep(pause);
            }
            Ok(())
        }
        Behaviour::Step(text, steps) => {
            let body = completion(&text, form);
            head(stream, form, 200, body.len(), "")?;
            // The first event names the role, and the last two end the answer.
            let mut events = body.split_inclusive("\n\n");
            write_all(stream, events.next().unwrap_or_default())?;
            events.take_while(|_| steps.next()).try_for_each(|event| write_all(stream, event))
        }
        Behaviour::Oversized(length) => send(stream, form, 200, "", &completion(&"x".repeat(length), form)),
        Behaviour::Status(status) => send(stream, form, status, "", "{\"error\":{\"message\":\"upstream canary\"}}"),
        Behaviour::Refuse(body) => send(stream, form, 400, "", &body),
        Behaviour::Redirect(url) => send(stream, form, 307, &format!("Location: {url}\r\n"), ""),
        Behaviour::Body(body) => send(stream, form, 200, "", &body),
        Behaviour::Held(steps) if steps.next() => send(stream, form, 200, "", &completion("late", form)),
        // The test sets a slow answer, here and below.
        Behaviour::Slow(wait) => {
            thread::sleep(wait);
            send(stream, form, 200, "", &completion("late", form))
        }
        Behaviour::SlowBody(wait) => {
            let body = completion("late", form);
            let (first, rest) = body.split_at(body.len() / 2);
            head(stream, form, 200, body.len(), "")?;
            write_all(stream, first)?;
            thread::sleep(wait);
            write_all(stream, rest)
        }
        Behaviour::Held(_) | Behaviour::Drop => Ok(()),
        Behaviour::DropInBody => {
            let body = completion("never all of this", form);
            head(stream, form, 200, body.len(), "")?;
            write_all(stream, body.get(..body.len() / 2).unwrap_or_default())
        }
    }
}

fn completion(text: &str, form: Form) -> String {
    if form.is_workers_ai {
        return response(text, form.is_streamed);
    }
    if !form.is_streamed {
        let message = json!({ "role": "assistant", "content": text });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        return json!({ "object": "chat.completion", "choices": [choice], "usage": { "total_tokens": 1 } }).to_string();
    }
    let chunk = |delta: Value, reason: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        format!("data: {}\n\n", json!({ "object": "chat.completion.chunk", "choices": [choice] }))
    };
    let mut body = chunk(json!({ "role": "assistant", "content": "" }), None);
    body.extend(text.split_inclusive(' ').map(|word| chunk(json!({ "content": word }), None)));
    body + &chunk(json!({}), Some("stop")) + "data: [DONE]\n\n"
}

/// The answer of most models of Workers AI. In a stream, each chunk is padded so that its length reveals nothing.
fn response(text: &str, is_streamed: bool) -> String {
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    if !is_streamed {
        return json!({ "response": text, "tool_calls": [], "usage": usage }).to_string();
    }
    let chunk = |text: &str| format!("data: {}\n\n", json!({ "response": text, "p": "abcdefgh" }));
    let mut body = chunk("");
    body.extend(text.split_inclusive(' ').map(chunk));
    body + &format!("data: {}\n\ndata: [DONE]\n\n", json!({ "response": "", "usage": usage }))
}

fn send(stream: &TcpStream, form: Form, status: u16, headers: &str, body: &str) -> std::io::Result<()> {
    head(stream, form, status, body.len(), headers)?;
    write_all(stream, body)
}

fn head(stream: &TcpStream, form: Form, status: u16, length: usize, headers: &str) -> std::io::Result<()> {
    let content_type = if form.is_streamed { "text/event-stream" } else { "application/json" };
    let head = format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
    );
    write_all(stream, &head)
}

fn write_all(mut stream: &TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes())
}

/// Sends a request as the Worker does.
fn ask(upstream: &Upstream, message: &str, stream: bool) -> Result<(u16, String), ureq::Error> {
    ask_within(wait::LIMIT, upstream, message, stream)
}

fn ask_within(limit: Duration, upstream: &Upstream, message: &str, stream: bool) -> Result<(u16, String), ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(limit))
        .build()
        .into();
    let body = json!({ "messages": [{ "role": "user", "content": message }], "stream": stream }).to_string();
    let url = format!("{}/chat/completions", upstream.url());
    let mut response = agent.post(&url).header("Authorization", "Bearer k").send(body.as_bytes())?;
    Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
}

#[test]
fn the_upstream_of_the_tests_does_as_it_is_told() {
    let upstream = Upstream::start();
    let content = |answer: Result<(u16, String), ureq::Error>| {
        let (status, body) = answer.expect("an answer");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        (status, body["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(content(ask(&upstream, "a", false)), (200, ANSWER.to_owned()));
    upstream.next(Behaviour::say("first"));
    upstream.next(Behaviour::feel("second", &json!({ "valence": 1 })));
    upstream.when("other", Behaviour::say("for another"));
    assert_eq!(content(ask(&upstream, "any other", false)).1, "for another");
    assert_eq!(content(ask(&upstream, "b", false)).1, "first");
    assert_eq!(content(ask(&upstream, "c", false)).1, "second\n\n```affect\n{\"valence\":1}\n```");
    let (_, stream) = ask(&upstream, "d", true).expect("an answer");
    assert!(stream.contains("\"content\":\"Hello \"") && stream.ends_with("data: [DONE]\n\n"), "{stream}");
    upstream.next(Behaviour::Trickle("a b".to_owned(), Duration::from_millis(10)));
    assert_eq!(ask(&upstream, "d", true).expect("an answer").1.matches("data: ").count(), 5);
    for (behaviour, status) in [
        (Behaviour::Status(500), 500),
        (Behaviour::Redirect("http://h/".to_owned()), 307),
        (Behaviour::Body("?".to_owned()), 200),
    ] {
        upstream.next(behaviour);
        assert_eq!(ask(&upstream, "e", false).expect("an answer").0, status);
    }
    upstream.next(Behaviour::Oversized(300_000));
    assert!(ask(&upstream, "f", false).expect("an answer").1.len() > 300_000);
    for behaviour in [Behaviour::Drop, Behaviour::DropInBody] {
        upstream.next(behaviour);
        assert!(ask(&upstream, "g", false).is_err());
    }
    let (permit, steps) = Steps::new();
    upstream.next(Behaviour::Held(steps));
    permit.send(()).expect("an upstream that is there");
    assert_eq!(content(ask(&upstream, "h", false)).1, "late");
    let asked = upstream.asked_about("any other");
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (asked[0].path.as_str(), asked[0].headers["authorization"].as_str()),
        ("/v1/chat/completions", "Bearer k")
    );
    assert_eq!(upstream.asked().len(), 13);
    let (late, impatience) = (wait::LIMIT, Duration::from_millis(500));
    upstream.when("no head", Behaviour::Slow(late));
    upstream.when("half a body", Behaviour::SlowBody(late));
    for message in ["no head", "half a body"] {
        assert!(ask_within(impatience, &upstream, message, false).is_err());
    }
}
