//! Turns that Workers AI answers, through the runtime's own binding. An upstream of the test stands behind the
//! binding.

use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::agents::make_agent;
use crate::client::Client;
use crate::respond::{PATH, assert_error, relationship_of, used};
use crate::server::{AI, Options, Server, expect, roomy};
use crate::streaming::{Events, assert_failed, assert_metadata, delta, end, hear, stepwise};
use crate::upstream::{ANSWER, Behaviour, Upstream};
use crate::wait;

const MODEL: &str = "@cf/meta/llama-3.3-70b-instruct-fp8-fast";
const BUDGET_MS: u32 = 60_000;
/// For turns that exceed their time, next to others that do not.
const SHORT_BUDGET_MS: u32 = 10_000;

struct Setting {
    upstream: Upstream,
    server: Server,
    client: Client,
    agent: String,
}

impl Setting {
    fn new(vars: Vec<(&'static str, String)>) -> Self {
        Self::with_budget(BUDGET_MS, vars)
    }

    fn with_budget(budget_ms: u32, vars: Vec<(&'static str, String)>) -> Self {
        let upstream = Upstream::start();
        let budget = ("RESPONDER_TIMEOUT_MS", budget_ms.to_string());
        let vars = [roomy(), vec![budget, (AI, upstream.url())], vars].concat();
        let server = Server::start(Options { vars, entry: None });
        let client = server.new_client();
        let agent = make_agent(&client, "Kind");
        Self { upstream, server, client, agent }
    }

    fn body(&self, message: &str, stream: bool) -> Value {
        json!({ "message": message, "personality_id": self.agent, "user_id": "ada", "stream": stream })
    }

    /// Takes a turn, and returns the error of the answer or of its stream.
    fn fail(&self, message: &str, stream: bool) -> String {
        let body = self.body(message, stream);
        if stream {
            let mut events = Events::open(&self.client, &body);
            let last = std::iter::from_fn(|| events.next()).last().expect("an event");
            let code = last["code"].as_str().unwrap_or_else(|| panic!("no error: {last}")).to_owned();
            assert_failed(&last, &code);
            assert!(!last.to_string().contains("canary"), "the inside stays inside");
            return code;
        }
        let response = self.client.post(PATH, &body);
        assert!(!response.body.contains("canary"), "{response:?}");
        let code = response.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("{response:?}")).to_owned();
        let status = if code == "turn_timeout" { 504 } else { 502 };
        assert_error(&response, status, &code, "internal");
        assert!(!self.server.log_line(response.header("x-request-id")).to_string().contains("canary"));
        code
    }
}

#[test]
fn the_binding_answers_a_turn() {
    let setting = Setting::new(Vec::new());
    let affect = json!({ "valence": 0.8, "arousal": 0.1, "primary": "joy" });
    setting.upstream.next(Behaviour::feel("Good morning, Ada.", &affect));
    let answered = expect(200, setting.client.post(PATH, &setting.body("Good morning", false)));
    assert_eq!(answered["response"], "Good morning, Ada.");
    assert_eq!(answered["inferred_emotional_state"]["primary"], "joy");
    let usage = json!({
        "turns_consumed": 1, "active_relationship_counted": true, "llm_provider": "workers-ai", "llm_model": MODEL,
    });
    assert_eq!(answered["usage"], usage);
    let asked = setting.upstream.asked();
    assert_eq!((asked.len(), asked[0].workers_ai_model.as_deref()), (1, Some(MODEL)));
    assert_eq!(asked[0].content("user"), "Good morning");
    assert!(asked[0].content("system").contains("Kind") && asked[0].content("system").contains("\"ada\""));
    let members: Vec<&str> = asked[0].body.as_object().expect("inputs").keys().map(String::as_str).collect();
    assert_eq!(members, ["max_tokens", "messages"], "the model is named apart");
    assert!(relationship_of(&setting.client, "ada")["mood"]["valence"].as_f64().is_some_and(|valence| valence > 0.1));
    // Newer models answer in OpenAI's format.
    let message = json!({ "role": "assistant", "content": "Like OpenAI." });
    setting.upstream.next(Behaviour::Body(json!({ "choices": [{ "message": message }] }).to_string()));
    assert_eq!(expect(200, setting.client.post(PATH, &setting.body("b", false)))["response"], "Like OpenAI.");
    assert_eq!(used(&setting.client), (2, 1));
}

#[test]
fn the_binding_answers_word_by_word() {
    let setting = Setting::new(vec![("RESPONDER_MODEL", "@cf/some/other".to_owned())]);
    let words = ["Grüße,", "liebe", "Ada", "🦀"];
    let permit = stepwise(&setting.upstream, &words);
    let mut events = Events::open(&setting.client, &setting.body("hi", true));
    assert_metadata(&events.next().expect("an event"), &Value::Null);
    let mut text = hear(&mut events, &permit, &words);
    assert_eq!(used(&setting.client), (0, 0), "it is not counted before its end");
    end(&permit);
    let mut last = events.next().expect("an event");
    while last["type"] == "text" {
        text.push_str(delta(&last));
        last = events.next().expect("an event");
    }
    assert_eq!(text, words.join(" "));
    assert_eq!((&last["type"], &last["usage"]["llm_provider"]), (&json!("completion"), &json!("workers-ai")));
    assert_eq!(last["usage"]["llm_model"], "@cf/some/other");
    assert_eq!((events.next(), used(&setting.client)), (None, (1, 1)));
    let asked = setting.upstream.asked();
    assert_eq!(
        (&asked[0].body["stream"], asked[0].workers_ai_model.as_deref()),
        (&json!(true), Some("@cf/some/other"))
    );
    let chunk = |content: &str| json!({ "choices": [{ "delta": { "content": content }, "finish_reason": null }] });
    let newer = format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", chunk("Like "), chunk("OpenAI."));
    setting.upstream.next(Behaviour::Body(newer));
    let mut events = Events::open(&setting.client, &setting.body("b", true));
    let all: Vec<Value> = std::iter::from_fn(|| events.next()).collect();
    let [_, texts @ .., completion] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(texts.iter().map(delta).collect::<String>(), "Like OpenAI.");
    assert_eq!(completion["type"], "completion");
}

#[test]
fn what_is_no_answer_is_502_and_not_counted() {
    let setting = Setting::new(Vec::new());
    for stream in [false, true] {
        for behaviour in [
            Behaviour::Status(500),
            Behaviour::Status(429),
            Behaviour::Body(String::new()),
            Behaviour::Body("canary".to_owned()),
            Behaviour::Body("{\"response\":".to_owned()),
            Behaviour::Body("null".to_owned()),
            Behaviour::Body("data: {\"response\":\"canary\n\n".to_owned()),
            Behaviour::Body("data: {\"error\":{\"message\":\"canary\"}}\n\n".to_owned()),
            Behaviour::Say(" ".to_owned()),
            Behaviour::Oversized(300_000),
            Behaviour::Drop,
            Behaviour::DropInBody,
        ] {
            setting.upstream.next(behaviour.clone());
            assert_eq!(setting.fail("hi", stream), "upstream_error", "{behaviour:?}, streamed: {stream}");
        }
    }
    assert_eq!(used(&setting.client), (0, 0));
}

#[test]
fn an_answer_that_is_late_is_504_in_time_and_not_counted() {
    let setting = Setting::with_budget(SHORT_BUDGET_MS, Vec::new());
    // Later than the test waits for any answer.
    let late = wait::LIMIT * 2;
    setting.upstream.when("no head", Behaviour::Slow(late));
    setting.upstream.when("half a body", Behaviour::SlowBody(late));
    thread::scope(|scope| {
        for (message, stream) in [("no head", false), ("no head", true), ("half a body", false), ("half a body", true)]
        {
            let setting = &setting;
            scope.spawn(move || {
                let started = Instant::now();
                assert_eq!(setting.fail(message, stream), "turn_timeout", "{message}, streamed: {stream}");
                println!("a budget of {SHORT_BUDGET_MS} ms: refused after {:.1?} ({message})", started.elapsed());
            });
        }
    });
    assert_eq!(used(&setting.client), (0, 0));
    // The late answer does not affect the next turn.
    assert_eq!(expect(200, setting.client.post(PATH, &setting.body("hi", false)))["response"], ANSWER);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| expect(200, setting.client.post(PATH, &setting.body("hi", false))));
        }
    });
    assert_eq!(used(&setting.client), (9, 1));
}

#[test]
fn the_log_knows_the_code_of_a_refusal() {
    let setting = Setting::new(Vec::new());
    for (body, code) in [
        ("{\"errors\":[{\"code\":5007,\"message\":\"No such model canary\"}]}", "5007"),
        ("{\"internalCode\":3040,\"description\":\"Capacity canary\",\"name\":\"x\"}", "3040"),
        ("canary: 5007", "unknown"),
    ] {
        setting.upstream.next(Behaviour::Refuse(body.to_owned()));
        let response = setting.client.post(PATH, &setting.body("hi", false));
        assert_error(&response, 502, "upstream_error", "internal");
        let line = setting.server.log_line(response.header("x-request-id")).to_string();
        assert!(line.contains(&format!("Workers AI failed with code {code}")) && !line.contains("canary"), "{line}");
    }
}

/// A configured URL takes precedence over the binding.
#[test]
fn a_url_goes_before_the_binding() {
    let elsewhere = Upstream::start();
    let setting = Setting::new(vec![("RESPONDER_URL", elsewhere.url())]);
    let answered = expect(200, setting.client.post(PATH, &setting.body("hi", false)));
    assert_eq!(
        (&answered["response"], &answered["usage"]["llm_provider"]),
        (&json!(ANSWER), &json!("openai-compatible"))
    );
    assert_eq!((elsewhere.asked().len(), setting.upstream.asked().len()), (1, 0));
}
