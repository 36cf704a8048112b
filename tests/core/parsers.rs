//! The parsers of what comes from outside, held against bytes that nobody chose. `fuzz/corpus` has an input to begin with, or
//! more, for each. A short run in `cargo test` changes them at random; `cargo xtask parsers` has libFuzzer look for bytes
//! that take another way through the code.
//!
//! Every parser ends, and does not panic. Beyond that each function states what is true of whatever it accepts.

#[cfg(test)]
use std::fs;
#[cfg(test)]
use std::path::{Path, PathBuf};

use rollcall::clerk::claims::Session;
use rollcall::clerk::issuer::{AuthorizedParties, Issuer, Keys};
use rollcall::clerk::token::SessionToken;
use rollcall::clerk::webhook_signature::SigningKey;
use rollcall::clerk::{event, key_set};
use rollcall::directory::api_key::ApiKey;
use rollcall::directory::cursor::{self, Binding};
use rollcall::directory::end_user::EndUser;
use rollcall::directory::metadata::{METADATA_BYTES_MAX, METADATA_DEPTH_MAX, Metadata};
use rollcall::directory::names::{Name, UserId};
use rollcall::directory::secret::{KeyRing, Secret};
use rollcall::directory::timestamp::Timestamp;
use rollcall::input::{Fields, QueryFields, query_integer};
use rollcall::json::{self, RawValue};
use rollcall::organization::protocol::{Call, Reply, decode, encode};
use rollcall::responder::completion::Completion;
use rollcall::responder::events::Events;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Parses, and checks what was accepted.
pub type Parser = fn(&[u8]);

/// Each by the name of its folder in the corpus.
pub const PARSERS: &[(&str, Parser)] = &[
    ("body", body),
    ("query", query),
    ("cursor", cursor),
    ("key", key),
    ("token", token),
    ("webhook", webhook),
    ("merge_patch", merge_patch),
    ("record", record),
    ("call", call::<Call>),
    ("reply", call::<Reply>),
    ("events", events),
    ("key_set", key_set),
];

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Changes of each input in one run of the tests.
#[cfg(test)]
const CHANGES: usize = 3_000;
/// The longest input that a run makes, in bytes.
#[cfg(test)]
const BYTES_MAX: usize = 4_096;

fn ring() -> KeyRing {
    KeyRing { current: Secret::new("s".repeat(32)).expect("a secret"), previous: None }
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// A body is JSON, and a field of it is what its kind demands.
fn body(data: &[u8]) {
    let Ok(mut fields) = Fields::of_body(data) else { return };
    assert!(serde_json::from_slice::<Box<RawValue>>(data).is_ok(), "what is accepted is JSON");
    let user_id = fields.required("user_id", |value| rollcall::input::string(value).and_then(UserId::new));
    let name = fields.nullable("display_name", |value| rollcall::input::string(value).and_then(Name::new));
    let metadata = fields.optional("metadata", Metadata::new);
    if let Some(id) = user_id {
        assert!((1..=255).contains(&id.as_str().chars().count()));
        assert!(!id.as_str().chars().any(char::is_control));
    }
    if let Some(Some(name)) = name {
        assert!(name.as_str().chars().count() <= 255);
    }
    if let Some(metadata) = metadata {
        assert!(metadata.as_str().len() <= METADATA_BYTES_MAX);
        let again = Metadata::from_stored(metadata.as_str().to_owned()).expect("what is stored reads back");
        assert_eq!(again.as_str(), metadata.as_str());
        let value: Box<RawValue> = serde_json::from_str(metadata.as_str()).expect("JSON");
        assert!(depth(&value) <= METADATA_DEPTH_MAX);
        let canonical = json::canonical(&value);
        let read: Box<RawValue> = serde_json::from_str(&canonical).expect("JSON");
        assert_eq!(json::canonical(&read), canonical, "the canonical form is one");
    }
    if let Err(fault) = fields.finish() {
        assert!(fault.message().len() < 64 * 1024, "a refusal does not grow with the request");
    }
}

/// How deep the objects and arrays of a value nest.
fn depth(value: &RawValue) -> usize {
    let (mut open, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in value.get().bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => open += 1,
            b'}' | b']' if !in_text => open -= 1,
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

fn query(data: &[u8]) {
    let Some(Ok(mut fields)) = text(data).map(QueryFields::parse) else { return };
    if let Some(limit) = fields.optional("limit", |text| query_integer(text, 1, 200)) {
        assert!((1..=200).contains(&limit));
    }
    drop(fields.text("cursor"));
    drop(fields.finish());
}

/// A cursor is accepted only in the form in which it was made, and where it belongs.
fn cursor(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let (ours, others) = (Binding::new(&["tenant", "list"]), Binding::new(&["tenan", "tlist"]));
    let made = cursor::encode(text, &ours, &ring());
    // The longest key still fits.
    if made.len() <= 2_048 {
        assert_eq!(cursor::decode(&made, &ours, &ring()).ok().as_deref(), Some(text));
    }
    assert!(cursor::decode(&made, &others, &ring()).is_err());
    if let Ok(key) = cursor::decode(text, &ours, &ring()) {
        assert_eq!(cursor::encode(&key, &ours, &ring()), text, "a cursor has one form");
    }
}

fn key(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Some(key) = ApiKey::parse(text, &ring()) {
        assert_eq!(key.reveal(), text, "a key has one form");
    }
}

/// What is signed is in the token as it came.
fn token(data: &[u8]) {
    if let Some(parsed) = text(data).and_then(SessionToken::parse) {
        assert!(data.starts_with(parsed.signed.as_bytes()));
    }
    let issuer = Issuer {
        url: "https://clerk.example.org".to_owned(),
        keys: Keys::Published { url: "https://clerk.example.org/.well-known/jwks.json".to_owned() },
        authorized_parties: AuthorizedParties::Listed(vec!["https://app.example.org".to_owned()]),
    };
    if let Some(session) = Session::read(data, &issuer, NOW) {
        assert!(session.expired(Timestamp::from_millis(i64::MAX)), "every session ends");
    }
}

fn webhook(data: &[u8]) {
    drop(event::parse(data));
    drop(text(data).map(SigningKey::parse));
}

fn key_set(data: &[u8]) {
    if let Ok(keys) = key_set::read(data) {
        assert!(keys.len() <= 32);
    }
}

/// `MergePatch` of RFC 7396, section 2, over values that are read. The text of the result must read as the same.
fn merged(target: Option<Value>, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let mut target = match target {
        Some(Value::Object(target)) => target,
        _ => serde_json::Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            let held = target.remove(&name);
            target.insert(name, merged(held, value));
        }
    }
    Value::Object(target)
}

/// A line with a target, and a line with a patch.
fn merge_patch(data: &[u8]) {
    let Some(line_feed) = data.iter().position(|byte| *byte == b'\n') else { return };
    let (target, patch) = (&data[..line_feed], &data[line_feed + 1..]);
    let (Ok(target), Ok(patch)) = (json::check(target), json::check(patch)) else { return };
    let Ok(result) = json::merge_patch::apply(Some(target), patch) else { return };
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    // A number beyond what a float holds is kept here, and does not read there.
    if let (Some(target), Some(patch)) = (read(target.get()), read(patch.get())) {
        assert_eq!(read(result.as_str()), Some(merged(Some(target), patch)), "{result:?}");
    }
}

/// A record that was stored reads as what it says, or not at all.
fn record(data: &[u8]) {
    let Some(text) = text(data) else { return };
    if let Ok(user) = serde_json::from_str::<EndUser>(text) {
        let written = serde_json::to_string(&user).expect("JSON");
        assert_eq!(serde_json::from_str::<EndUser>(&written).expect("what is written reads back"), user);
    }
    if let Ok(metadata) = Metadata::from_stored(text.to_owned()) {
        let again = Metadata::from_stored(metadata.as_str().to_owned()).expect("what is stored reads back");
        assert_eq!(again.as_str(), metadata.as_str());
    }
    drop(json::Text::parse(text.to_owned()));
}

/// A message reads as what writes it, or not at all.
fn call<T: DeserializeOwned + Serialize>(data: &[u8]) {
    let Ok(message) = decode::<T>(data) else { return };
    let written = encode(&message).expect("bytes");
    let again = encode(&decode::<T>(&written).expect("what is written reads back")).expect("bytes");
    assert_eq!(again, written);
}

/// The events of a stream, and the answer that they make, do not depend on where the stream is cut.
fn events(data: &[u8]) {
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut found = Vec::new();
        let mut events = Events::default();
        let mut take = |event: &[u8]| {
            found.push(event.to_vec());
            true
        };
        pieces.for_each(|piece| assert!(events.push(piece, &mut take)));
        events.finish(&mut take);
        found
    };
    let whole = read(&mut std::iter::once(data));
    assert_eq!(read(&mut data.chunks(1)), whole);
    assert_eq!(read(&mut data.chunks(7)), whole);

    let answer = |piece_bytes: usize| {
        let mut said = String::new();
        let mut on_delta = |delta: &str| said.push_str(delta);
        let mut completion = Completion::new(Some(&mut on_delta));
        let _ = data.chunks(piece_bytes).all(|piece| completion.push(piece));
        let text = completion.finish("p", "m").map(|answer| answer.text);
        (text, said)
    };
    let (text, said) = answer(data.len().max(1));
    assert_eq!(answer(3), (text.clone(), said.clone()));
    if let Ok(text) = text {
        assert_eq!(text, said, "the caller has heard the answer");
    }
    let mut whole = Completion::new(None);
    whole.push(data);
    drop(whole.finish("p", "m"));
}

#[cfg(test)]
fn folder(parser: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(parser)
}

/// Changes an input in one to four places: a bit, a byte, a piece that is left out, repeated, or taken from another input.
#[cfg(test)]
fn change(random: &mut fastrand::Rng, data: &mut Vec<u8>, other: &[u8]) {
    const TELLING: &[&[u8]] =
        &[b"\"", b"\\", b"{", b"[", b"null", b"\\ud800", b"\n\n", b"data:", b"\xff", b"\0", b"-1", b"1e999"];
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(..=data.len());
        let end = random.usize(at..=data.len());
        match random.u8(..6) {
            0 if at < data.len() => data[at] ^= 1 << random.u8(..8),
            1 if at < data.len() => data[at] = random.u8(..),
            2 => drop(data.drain(at..end)),
            3 => drop(data.splice(at..at, data[at..end].to_vec())),
            4 if !other.is_empty() => {
                let from = random.usize(..other.len());
                let piece = other[from..random.usize(from..=other.len())].to_vec();
                drop(data.splice(at..at, piece));
            }
            _ => drop(data.splice(at..at, random.choice(TELLING).expect("some").iter().copied())),
        }
    }
    data.truncate(BYTES_MAX);
}

#[test]
fn no_parser_panics_and_what_it_accepts_is_right() {
    let seed =
        std::env::var("ROLLCALL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("ROLLCALL_SEED={seed}");
    for (name, parser) in PARSERS {
        let mut random = fastrand::Rng::with_seed(seed);
        let files = fs::read_dir(folder(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
        paths.sort();
        let inputs: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("a file")).collect();
        assert!(!inputs.is_empty(), "{name} has no input to begin with");
        for input in &inputs {
            parser(input);
            for _ in 0..CHANGES / inputs.len() {
                let mut changed = input.clone();
                let other = random.usize(..inputs.len());
                change(&mut random, &mut changed, &inputs[other]);
                parser(&changed);
            }
        }
    }
}
