//! `cargo xtask import`: it imports every good line once and reports every bad one, although the import is killed
//! and restarted.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use xtask::served::API_KEY;

use super::Running;
use crate::client::Client;
use crate::pages::PageCount;
use crate::server::{Options, Server, expect, roomy};
use crate::wait;

const LINES: usize = 100_000;
/// Time limit for a whole import, and for the listing to catch up after it.
const LIMIT: Duration = Duration::from_mins(15);
/// Every hundredth line is bad, in one of these ways. With one of the last two, the server cannot read the whole
/// batch.
const BAD: [&str; 5] =
    ["{\"user_id\":", "{\"user_id\":\"\"}", "[]", "{\"user_id\":\"x\",\"user_id\":\"y\"}", "{\"user_id\":\"\\ud800\"}"];

fn is_bad(line: usize) -> bool {
    line.is_multiple_of(100)
}

fn write_file(path: &Path) {
    let mut text = String::new();
    for line in 1..=LINES {
        if is_bad(line) {
            // The expensive ways are rare.
            let way = if line.is_multiple_of(2_000) { 3 + line / 2_000 % 2 } else { line / 100 % 3 };
            text.push_str(BAD[way]);
        } else {
            write!(text, "{{\"user_id\":\"user-{line:06}\",\"metadata\":{{\"line\":{line}}}}}").expect("a string");
        }
        text.push_str(if line.is_multiple_of(7) { "\r\n" } else { "\n" });
    }
    std::fs::write(path, text).expect("the file");
}

fn start(server: &Server, key: &str, file: &Path) -> Running {
    super::start(server, &["import", file.to_str().expect("a path")], (API_KEY, key))
}

fn lines_done(file: &Path) -> u64 {
    let text = std::fs::read_to_string(format!("{}.progress", file.display())).unwrap_or_default();
    serde_json::from_str::<Value>(&text).ok().and_then(|progress| progress["line"].as_u64()).unwrap_or_default()
}

/// The listing catches up after an import. Until then a list answers 503.
fn page(client: &Client, query: &str) -> Value {
    let look = || client.get(&format!("/v1/end-users?limit=200{query}"));
    expect(200, wait::until_within(LIMIT, "the listing to catch up", look, |response| response.status != 503))
}

#[test]
fn a_killed_import_goes_on_and_loses_nothing() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let organization = server.organization();
    let issued = server.issue(&organization, &json!({ "kind": "api", "mode": "live", "name": "import" }));
    let key = issued["key"].as_str().expect("a key");
    let file = server.state().join("users.ndjson");
    write_file(&file);

    // The kills come long before the end of the file.
    for kill_after in [10_000, 30_000] {
        let mut import = start(&server, key, &file);
        let done = || {
            assert_eq!(import.0.try_wait().expect("the import"), None, "it ended early");
            lines_done(&file)
        };
        wait::until_within(LIMIT, &format!("{kill_after} lines done"), done, |done| *done >= kill_after);
    }
    let mut import = start(&server, key, &file);
    let end = || import.0.try_wait().expect("the import");
    let status = wait::until_within(LIMIT, "the end of the import", end, Option::is_some);
    assert_eq!(status.and_then(|status| status.code()), Some(3), "lines were refused");

    let report = std::fs::read_to_string(format!("{}.refused.ndjson", file.display())).expect("the report");
    let reported: Vec<usize> = report
        .lines()
        .map(|line| {
            let refused: Value = serde_json::from_str(line).expect("a line of the report");
            assert!(!refused["error"]["message"].as_str().expect("a message").is_empty(), "{refused}");
            usize::try_from(refused["line"].as_u64().expect("a line")).expect("few lines")
        })
        .collect();
    let bad: Vec<usize> = (1..=LINES).filter(|line| is_bad(*line)).collect();
    assert_eq!(reported, bad, "every bad line once, in order");
    assert_eq!(lines_done(&file), 0, "nothing is left to go on with");

    let client = server.with_key(key);
    let (mut listed, mut cursor, mut pages) = (BTreeSet::new(), String::new(), PageCount::default());
    loop {
        pages.add();
        let page = page(&client, &cursor);
        for user in page["data"].as_array().expect("data") {
            let id = user["user_id"].as_str().expect("an id");
            assert_eq!(format!("user-{:06}", user["metadata"]["line"].as_u64().expect("a line")), id);
            assert!(listed.insert(id.to_owned()), "{id} is there twice");
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed.len(), LINES - bad.len());
    println!("{LINES} lines, killed twice: {} users, {} lines reported", listed.len(), reported.len());
}

#[test]
fn an_import_ends_with_a_code_of_its_own_when_lines_were_refused() {
    let server = Server::start(Options { vars: roomy(), entry: None });
    let issued = server.issue(&server.organization(), &json!({ "kind": "api", "mode": "live", "name": "import" }));
    let key = issued["key"].as_str().expect("a key");
    let run = |name: &str, key: &str, text: &str| {
        let file = server.state().join(name);
        std::fs::write(&file, text).expect("the file");
        start(&server, key, &file).0.wait().expect("the import").code()
    };
    let good = "{\"user_id\":\"ada\"}\n";
    assert_eq!(run("good.ndjson", key, good), Some(0));
    assert_eq!(run("again.ndjson", key, good), Some(0), "who exists is not refused");
    for (index, bad) in BAD.iter().enumerate() {
        assert_eq!(run(&format!("bad-{index}.ndjson"), key, &format!("{good}{bad}\n")), Some(3), "{bad}");
    }
    assert_eq!(run("failed.ndjson", "no key", good), Some(1));
}
