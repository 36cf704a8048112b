//! The stream of events as a published parser reads it: `eventsource-parser`, in `tests/clients/stream.mjs`.

use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::at_length::Running;
use crate::clock::{self, set_speed};
use crate::events::{PATH, walk};
use crate::server::{Options, Server, expect, roomy, tools};

/// The events of these types stay as they are when the key is used.
const QUERY: &str = "types=organization.updated,end_user.created";

/// What the parser finds, one after the other.
struct Parsed {
    _running: Running,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Parsed {
    fn open(server: &Server, key: &str, query: &str, last_event_id: Option<&str>) -> Self {
        let mut command = tools().command(tools().binary("node"));
        command.arg(xtask::root().join("tests/clients/stream.mjs")).arg(format!("{}{PATH}?{query}", server.url()));
        command.args(last_event_id).env("ROLLCALL_API_KEY", key).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the parser");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { _running: Running(child), lines }
    }

    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("no end").expect("a line");
        let found: Value = serde_json::from_str(&line).expect("JSON");
        assert!(found["error"].is_null(), "{found}");
        found
    }

    /// The id, the type and the data of the next event.
    fn event(&mut self) -> (String, Value, Value) {
        loop {
            let found = self.next();
            if let Some(event) = found["event"].as_object() {
                let text = |name: &str| event[name].as_str().expect(name);
                let data = serde_json::from_str(text("data")).expect("JSON");
                return (text("id").to_owned(), event["event"].clone(), data);
            }
            assert_eq!(found, json!({ "comment": "" }));
        }
    }
}

#[test]
fn a_published_parser_reads_events_ids_comments_and_retry() {
    let server = Server::start(Options { vars: roomy(), entry: Some(clock::ENTRY) });
    let organization = server.organization();
    let client = server.client(&organization, "live", "read_write");
    let key = server.issue(&organization, &json!({ "kind": "api", "mode": "live", "scope": "read", "name": "reader" }));
    let key = key["key"].as_str().expect("a key");
    // A line break in a text is an escape in JSON, so it ends no line of the stream.
    let user = json!({ "user_id": "ada", "metadata": { "note": "one\ntwo\r\n\nid: x", "name": "Ädä 🦀" } });
    expect(201, client.post("/v1/end-users", &user));
    let listed = walk(&client, &format!("&{QUERY}"), 200);
    let mut stream = Parsed::open(&server, key, QUERY, None);
    let parsed: Vec<(String, Value, Value)> = listed.iter().map(|_| stream.event()).collect();
    for ((_, r#type, data), event) in parsed.iter().zip(&listed) {
        assert_eq!((data, r#type), (event, &event["type"]));
    }
    assert_eq!(listed.last().expect("an event")["data"]["metadata"], user["metadata"]);

    expect(201, client.post("/v1/end-users", &json!({ "user_id": "eve" })));
    let (_, _, live) = stream.event();
    assert_eq!(live["subject"]["id"], "eve");
    let mut resumed = Parsed::open(&server, key, QUERY, Some(&parsed[0].0));
    assert_eq!(resumed.event(), parsed[1]);

    // A stream without events, to its end after 15 minutes.
    set_speed(&server, 300);
    let mut silent = Parsed::open(&server, key, "types=key.revoked", None);
    assert_eq!(silent.next(), json!({ "comment": "" }));
    let mut last = silent.next();
    while last == json!({ "comment": "" }) {
        last = silent.next();
    }
    assert_eq!((last, silent.next()), (json!({ "retry": 1_000 }), json!({ "end": 200 })));
}
