//! `POST /v1/respond` with `stream: true`: a turn that is streamed.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::{Client, Response};
use crate::metering::{is_replayed, server};
use crate::respond::{PATH, assert_error, assert_quota, assert_ulid, used};
use crate::server::Server;
use crate::upstream::{Behaviour, Steps, Upstream};
use crate::wait;

const BUDGET_MS: u32 = 60_000;
/// For a turn that is too slow, although part of its answer arrives.
const SHORT_BUDGET_MS: u32 = 10_000;

/// Server-sent events, as they arrive.
pub struct Events {
    pub head: Response,
    lines: BufReader<ureq::BodyReader<'static>>,
}

impl Events {
    pub fn open(client: &Client, body: &Value) -> Self {
        let (head, body) = client.open(PATH, body);
        assert_eq!(head.status, 200, "{head:?}");
        assert!(head.header("content-type").starts_with("text/event-stream"), "{head:?}");
        assert_eq!(head.header("cache-control"), "no-store, no-transform");
        Self { head, lines: BufReader::new(body) }
    }

    /// The next event, whose type is in its name and in its data. `None` after the last.
    pub fn next(&mut self) -> Option<Value> {
        let mut line = || {
            let mut line = String::new();
            self.lines.read_line(&mut line).expect("a stream that does not break");
            line
        };
        let name = line();
        if name.is_empty() {
            return None;
        }
        let name = name.strip_prefix("event: ").and_then(|name| name.strip_suffix('\n')).expect("a name").to_owned();
        let data = line();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        assert_eq!(line(), "\n", "one line of data and the end of it");
        assert_eq!(data["type"], name.as_str());
        Some(data)
    }

    /// Reads pieces of text until they equal `expected`. Blanks may come with the text after them.
    pub fn read_text(&mut self, text: &mut String, expected: &str) {
        while text.trim_end() != expected {
            let event = self.next().expect("a piece of text");
            text.push_str(delta(&event));
            assert!(expected.starts_with(text.trim_end()), "{text} is not the beginning of {expected}");
        }
    }
}

pub fn delta(event: &Value) -> &str {
    assert_eq!(event, &json!({ "type": "text", "delta": event["delta"] }), "a piece of text");
    event["delta"].as_str().expect("text")
}

pub fn assert_metadata(event: &Value, state: &Value) {
    assert_ulid(&event["interaction_id"]);
    let memory = json!({ "consulted": false, "summary_used": "none", "significant_moments_referenced": 0 });
    let id = &event["interaction_id"];
    let expected =
        json!({ "type": "metadata", "interaction_id": id, "inferred_emotional_state": state, "memory": memory });
    assert_eq!(*event, expected);
}

fn assert_completion(event: &Value, newly_active: bool, model_updated: bool) {
    assert!(event["latency_ms"].is_u64(), "{event}");
    let usage = json!({
        "turns_consumed": 1, "active_relationship_counted": newly_active,
        "llm_provider": "openai-compatible", "llm_model": "gpt-4o-mini",
    });
    let expected = json!({
        "type": "completion", "memory": { "summary_used": "none", "model_updated": model_updated },
        "guardrails": { "applied": [] }, "usage": usage, "latency_ms": event["latency_ms"],
    });
    assert_eq!(*event, expected);
}

pub fn assert_failed(event: &Value, code: &str) {
    assert!(event["message"].as_str().is_some_and(|message| !message.is_empty()), "{event}");
    assert_eq!(*event, json!({ "type": "error", "code": code, "message": event["message"] }));
}

/// An upstream that says these words one by one, each with the test's permission.
pub fn stepwise(upstream: &Upstream, words: &[&str]) -> Sender<()> {
    let (permit, steps) = Steps::new();
    upstream.next(Behaviour::Step(words.join(" "), steps));
    permit
}

/// Lets the upstream say these words, each after the previous one has arrived.
pub fn hear(events: &mut Events, permit: &Sender<()>, words: &[&str]) -> String {
    let mut text = String::new();
    for count in 1..=words.len() {
        permit.send(()).expect("an upstream that waits");
        events.read_text(&mut text, &words[..count].join(" "));
    }
    text
}

/// Lets the upstream end its answer.
pub fn end(permit: &Sender<()>) {
    for _ in 0..2 {
        // The Worker may have read the end before the upstream has sent all of it.
        let _ = permit.send(());
    }
}

struct Setting {
    upstream: Upstream,
    /// Serves until it is dropped.
    _server: Server,
    client: Client,
    body: Value,
}

impl Setting {
    fn new(timeout_ms: u32) -> Self {
        let upstream = Upstream::start();
        let server = server(&upstream, timeout_ms);
        let client = server.new_client();
        let agent = make_agent(&client, "Kind");
        let body = json!({ "message": "hi", "personality_id": agent, "user_id": "ada", "stream": true });
        Self { upstream, _server: server, client, body }
    }

    fn keyed(&self, key: &str) -> Client {
        self.client.clone().with_header("Idempotency-Key", key)
    }

    /// Waits until this many turns are counted.
    fn assert_used_eventually(&self, turns: u64) {
        wait::until(&format!("{turns} counted turns"), || used(&self.client).0, |used| *used == turns);
    }
}

/// Copies of a turn wait for its answer, as many as may. Any further one is told at once.
#[test]
fn sixteen_copies_wait_for_the_answer() {
    const WAITING: usize = 16;
    const FURTHER: usize = 4;
    let setting = Setting::new(BUDGET_MS);
    let permit = stepwise(&setting.upstream, &["Hello"]);
    let keyed = setting.keyed("k");
    let mut events = Events::open(&keyed, &setting.body);
    assert_metadata(&events.next().expect("an event"), &Value::Null);
    let (sender, answers) = channel();
    for _ in 0..WAITING + FURTHER {
        let (sender, keyed, body) = (sender.clone(), keyed.clone(), setting.body.clone());
        thread::spawn(move || sender.send(keyed.post(PATH, &body)));
    }
    for _ in 0..FURTHER {
        let refused = answers.recv_timeout(wait::LIMIT).expect("an answer");
        assert_error(&refused, 409, "idempotency_in_flight", "conflict");
        assert_eq!(refused.header("retry-after"), "1");
    }
    hear(&mut events, &permit, &["Hello"]);
    end(&permit);
    while events.next().is_some() {}
    for _ in 0..WAITING {
        let copy = answers.recv_timeout(wait::LIMIT).expect("an answer");
        assert!(copy.status == 200 && is_replayed(&copy), "{copy:?}");
    }
    assert_eq!((used(&setting.client), setting.upstream.asked().len()), ((1, 1), 1));
}

#[test]
fn an_answer_arrives_word_by_word() {
    let setting = Setting::new(BUDGET_MS);
    let words = ["Good", "morning,", "dear", "Ada", "🦀"];
    let permit = stepwise(&setting.upstream, &words);
    let keyed = setting.keyed("k");
    let mut events = Events::open(&keyed, &setting.body);
    assert_quota(&events.head, (0, 10_000), (0, 1_000));
    let metadata = events.next().expect("an event");
    assert_metadata(&metadata, &Value::Null);
    let mut text = hear(&mut events, &permit, &words);
    assert_eq!(setting.upstream.asked_about("hi")[0].body["stream"], true);
    assert_eq!(used(&setting.client), (0, 0), "it is not counted before its end");
    let copy = thread::spawn({
        let (keyed, body) = (keyed.clone(), setting.body.clone());
        move || keyed.post(PATH, &body)
    });
    end(&permit);
    let mut last = events.next().expect("an event");
    while last["type"] == "text" {
        text.push_str(delta(&last));
        last = events.next().expect("an event");
    }
    assert_completion(&last, true, false);
    assert_eq!(events.next(), None, "nothing after the end");
    assert_eq!(text, words.join(" "));
    assert_eq!(used(&setting.client), (1, 1));
    let copy = copy.join().expect("a copy");
    assert!(copy.status == 200 && is_replayed(&copy), "it waits for the answer: {copy:?}");

    let mut again = Events::open(&keyed, &setting.body);
    assert!(is_replayed(&again.head), "{:?}", again.head);
    assert_quota(&again.head, (1, 10_000), (1, 1_000));
    assert_eq!(again.next(), Some(metadata));
    assert_eq!(again.next().as_ref().map(delta), Some(text.as_str()));
    assert_eq!(again.next(), Some(last));
    assert_eq!(again.next(), None);
    assert_eq!((used(&setting.client), setting.upstream.asked().len()), ((1, 1), 1));
}

#[test]
fn a_reported_affect_is_known_from_the_beginning() {
    let setting = Setting::new(BUDGET_MS);
    let mut body = setting.body.clone();
    body["affect"] = json!({ "valence": 0.8, "arousal": 0.4 });
    let mut events = Events::open(&setting.client, &body);
    let metadata = events.next().expect("an event");
    let state = &metadata["inferred_emotional_state"];
    assert_eq!((state["valence"].as_f64(), state["arousal"].as_f64()), (Some(0.8), Some(0.4)));
    assert_metadata(&metadata, state);
    let all: Vec<Value> = std::iter::from_fn(|| events.next()).collect();
    let (last, texts) = all.split_last().expect("events");
    assert_completion(last, true, true);
    assert_eq!(texts.iter().map(delta).collect::<String>(), crate::upstream::ANSWER);
}

#[test]
fn an_answer_that_breaks_off_is_an_error_and_not_counted() {
    let setting = Setting::new(BUDGET_MS);
    let words = ["never", "all", "of", "this"];
    let permit = stepwise(&setting.upstream, &words);
    let keyed = setting.keyed("k");
    let mut events = Events::open(&keyed, &setting.body);
    assert_metadata(&events.next().expect("an event"), &Value::Null);
    hear(&mut events, &permit, &words[..2]);
    drop(permit);
    let mut last = events.next().expect("an event");
    while last["type"] == "text" {
        last = events.next().expect("an event");
    }
    assert_failed(&last, "upstream_error");
    assert_eq!(events.next(), None);
    assert_eq!(used(&setting.client), (0, 0));
    // The key is free for another attempt.
    let mut again = Events::open(&keyed, &setting.body);
    assert!(!is_replayed(&again.head));
    let last = std::iter::from_fn(|| again.next()).last().expect("an event");
    assert_completion(&last, true, false);
    assert_eq!(used(&setting.client), (1, 1));
}

#[test]
fn an_upstream_that_refuses_is_an_error_in_the_stream() {
    let setting = Setting::new(BUDGET_MS);
    for behaviour in [Behaviour::Status(500), Behaviour::Drop, Behaviour::DropInBody] {
        setting.upstream.next(behaviour.clone());
        let mut events = Events::open(&setting.client, &setting.body);
        assert_metadata(&events.next().expect("an event"), &Value::Null);
        let last = std::iter::from_fn(|| events.next()).last().expect("an event");
        assert_failed(&last, "upstream_error");
        assert!(!last.to_string().contains("canary"), "{behaviour:?}: the inside stays inside");
    }
    assert_eq!(used(&setting.client), (0, 0));
}

/// A stream has room for much that is no text. Beyond that it is cut off, whatever would have followed.
#[test]
fn a_stream_has_at_most_four_mebibytes() {
    let setting = Setting::new(BUDGET_MS);
    let comments = |bytes: usize| format!(":{}\n", " ".repeat(1_022)).repeat(bytes / 1_024);
    let said = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n";
    for (bytes, expected) in [(4 * 1024 * 1024 - 64 * 1024, "completion"), (4 * 1024 * 1024, "error")] {
        setting.upstream.next(Behaviour::Body(format!("{}\n{said}", comments(bytes))));
        let mut events = Events::open(&setting.client, &setting.body);
        let last = std::iter::from_fn(|| events.next()).last().expect("an event");
        assert_eq!(last["type"], expected, "{bytes} bytes: {last}");
    }
    assert_eq!(used(&setting.client), (1, 1));
}

#[test]
fn an_answer_that_stands_still_is_an_error_in_time() {
    let setting = Setting::new(SHORT_BUDGET_MS);
    let words = ["one", "two"];
    let permit = stepwise(&setting.upstream, &words);
    let mut events = Events::open(&setting.client, &setting.body);
    assert_metadata(&events.next().expect("an event"), &Value::Null);
    hear(&mut events, &permit, &words[..1]);
    let started = Instant::now();
    let mut last = events.next().expect("an event");
    while last["type"] == "text" {
        last = events.next().expect("an event");
    }
    println!(
        "a budget of {SHORT_BUDGET_MS} ms: the error came {} ms after the last word",
        started.elapsed().as_millis()
    );
    assert_failed(&last, "turn_timeout");
    assert_eq!(events.next(), None);
    assert_eq!(used(&setting.client), (0, 0));
    drop(permit);
}

#[test]
fn a_caller_who_hangs_up_is_answered_to_the_end_and_counted() {
    let setting = Setting::new(BUDGET_MS);
    let words = ["Are", "you", "still", "there?"];
    let permit = stepwise(&setting.upstream, &words);
    let keyed = setting.keyed("k");
    let mut events = Events::open(&keyed, &setting.body);
    assert_metadata(&events.next().expect("an event"), &Value::Null);
    hear(&mut events, &permit, &words[..1]);
    drop(events);
    assert_eq!(used(&setting.client), (0, 0));
    for _ in 1..words.len() {
        permit.send(()).expect("an upstream that waits");
    }
    end(&permit);
    setting.assert_used_eventually(1);
    let mut again = Events::open(&keyed, &setting.body);
    assert!(is_replayed(&again.head), "{:?}", again.head);
    again.next().expect("an event");
    assert_eq!(again.next().as_ref().map(delta), Some(words.join(" ").as_str()));
    assert_completion(&again.next().expect("an event"), true, false);
    assert_eq!((used(&setting.client), setting.upstream.asked().len()), ((1, 1), 1));
}

/// The model reports its mood at the end, long after the first event.
#[test]
fn a_replayed_stream_is_what_was_streamed() {
    let setting = Setting::new(BUDGET_MS);
    let told = json!({ "valence": -0.5, "arousal": 0.5, "primary": "worry" });
    for (key, affect) in [("told", Value::Null), ("reported", json!({ "valence": 0.8, "arousal": 0.4 }))] {
        setting.upstream.next(Behaviour::feel("I see.", &told));
        let mut body = setting.body.clone();
        body["affect"] = affect.clone();
        let stream = || {
            let mut events = Events::open(&setting.keyed(key), &body);
            let all: Vec<Value> = std::iter::from_fn(|| events.next()).collect();
            let [metadata, texts @ .., completion] = all.as_slice() else { panic!("{all:?}") };
            let text = texts.iter().map(delta).collect::<String>();
            (is_replayed(&events.head), metadata.clone(), text, completion.clone())
        };
        let (first, again) = (stream(), stream());
        assert_eq!((first.0, again.0), (false, true));
        assert_eq!((&first.1, &first.2, &first.3), (&again.1, &again.2, &again.3));
        assert_eq!(first.1["inferred_emotional_state"]["valence"], affect["valence"]);
        assert_eq!(first.3["memory"]["model_updated"], true, "either moves the mood");
    }
}
