//! JSON from strangers, read strictly.
//!
//! Invariant: text that passed [`Document::parse`] is valid JSON with no member
//! named twice in one object and no escape that is not Unicode. It is passed on
//! as text, so that a number of any size and precision leaves as it came
//! (RFC 8259, section 6, leaves both open; `f64` would lose past 2^53).

pub mod merge_patch;
mod raw;
mod value;
mod write;

use std::collections::BinaryHeap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use raw::{Members, Raw};
pub use value::Value;
pub use write::{Unwritable, quote, text, write, write_to};

use crate::refusal::Refusal;
use raw::Token;

/// JSON that is not of the form that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

impl std::fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("it is not JSON of the expected form")
    }
}

impl std::error::Error for Unreadable {}

/// JSON that is known to be well-formed, as we wrote it or have checked it: passed
/// on as text from where it is made to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Writes a value.
    pub fn of(value: &impl Serialize) -> Result<Self, Unwritable> {
        write(value).map(Self)
    }

    /// Takes back what a store of ours was given.
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }

    pub fn raw(&self) -> Raw<'_> {
        Raw::of_checked(&self.0)
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Inside JSON it is the value that it is; inside anything else, a text.
impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_bytes(self.0.as_bytes())
        } else {
            self.0.serialize(serializer)
        }
    }
}

/// From anything but JSON: there it is a [`Raw`] until it is known what it is.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// A JSON text that is well-formed and unambiguous.
#[derive(Debug)]
pub struct Document<'a> {
    text: Raw<'a>,
}

impl<'a> Document<'a> {
    /// Reads one JSON value from bytes.
    ///
    /// Refuses what is not UTF-8, not JSON, names a member twice, or escapes half
    /// a surrogate pair.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(bytes).map_err(|_| Refusal::new("the body is not valid UTF-8"))?;
        if text.trim_ascii().is_empty() {
            return Err(Refusal::new("the body is empty; a JSON object is expected"));
        }
        let text = Raw::parse(text).map_err(|error| Refusal::new(format!("the body is not valid JSON: {error}")))?;
        check(text)?;
        Ok(Self { text })
    }

    /// The members of the document's object.
    pub fn members(&self) -> Result<Members<'a>, Refusal> {
        self.text.members().ok_or_else(|| Refusal::new("the body must be a JSON object"))
    }
}

/// How deeply arrays and objects are nested: 0 for a scalar, 1 for `{}`.
pub fn depth(value: Raw<'_>) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for token in value.tokens() {
        match token {
            Token::Open(_) => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            Token::Close(_) => depth = depth.saturating_sub(1),
            Token::Colon | Token::Comma | Token::String(_) | Token::Scalar(_) => {}
        }
    }
    deepest
}

/// The same value without white space between its tokens.
pub fn compact(value: Raw<'_>) -> String {
    let mut out = String::with_capacity(value.get().len());
    for token in value.tokens() {
        match token {
            Token::Open(bracket) | Token::Close(bracket) => out.push(bracket),
            Token::Colon => out.push(':'),
            Token::Comma => out.push(','),
            Token::String(text) | Token::Scalar(text) => out.push_str(text),
        }
    }
    out
}

/// Refuses what `serde_json` lets through in a value it only copies: members
/// named twice, and escaped halves of surrogate pairs.
///
/// One pass without recursion, so that nesting costs the sender more than us.
fn check(value: Raw<'_>) -> Result<(), Refusal> {
    let mut objects: Vec<Vec<(String, usize)>> = Vec::new();
    let mut tokens = value.tokens().peekable();
    while let Some(token) = tokens.next() {
        match token {
            Token::Open('{') => objects.push(Vec::new()),
            Token::Close('}') => {
                let names = sorted(objects.pop().unwrap_or_default());
                let repeated = names.windows(2).find_map(|pair| match pair {
                    [(first, _), (second, _)] if first == second => Some(first),
                    _ => None,
                });
                if let Some(name) = repeated {
                    let name = quote(name);
                    return Err(Refusal::new(format!("the body names the member {name} twice in one object")));
                }
            }
            Token::String(text) => {
                let refusal = "the body is not valid JSON: a string escapes half a surrogate pair";
                let string = || Raw::of_checked(text).string().ok_or_else(|| Refusal::new(refusal));
                let is_name = matches!(tokens.peek(), Some(Token::Colon));
                if let Some(names) = objects.last_mut().filter(|_| is_name) {
                    names.push((string()?, 0));
                } else if text.contains('\\') {
                    string()?;
                }
            }
            Token::Open(_) | Token::Close(_) | Token::Colon | Token::Comma | Token::Scalar(_) => {}
        }
    }
    Ok(())
}

/// Orders members by name. By a heap, in a fifth of the code that sorts a slice: most objects have few.
pub fn sorted(members: Vec<(String, usize)>) -> Vec<(String, usize)> {
    BinaryHeap::from(members).into_sorted_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        match Document::parse(text.as_bytes()) {
            Err(refusal) => refusal.0,
            Ok(document) => document.members().expect_err(text).0,
        }
    }

    #[test]
    fn refuses_what_is_not_one_unambiguous_object() {
        for (text, reason) in [
            ("", "empty"),
            (" \n", "empty"),
            ("{", "not valid JSON"),
            ("{} {}", "not valid JSON"),
            ("{'a':1}", "not valid JSON"),
            ("{\"a\":01}", "not valid JSON"),
            ("{\"a\":NaN}", "not valid JSON"),
            ("[]", "must be a JSON object"),
            ("\"x\"", "must be a JSON object"),
            ("{\"a\":1,\"a\":2}", "\"a\" twice"),
            ("{\"a\":1,\"\\u0061\":2}", "\"a\" twice"),
            ("{\"m\":{\"x\":[{\"k\":1,\"k\":1}]}}", "\"k\" twice"),
            ("{\"a\":\"\\ud800\"}", "surrogate"),
            ("{\"\\udc00\":1}", "surrogate"),
        ] {
            let refusal = refused(text);
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
        assert!(Document::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn the_same_name_in_different_objects_is_fine() {
        let text = r#"{"a":{"a":[{"a":1},{"a":2}],"b":"a"},"b":"\ud83e\udd80"}"#;
        assert_eq!(Document::parse(text.as_bytes()).unwrap().members().unwrap().0.len(), 2);
    }

    #[test]
    fn numbers_stay_as_they_are_written() {
        let text = r#" { "big" : 12345678901234567890123 , "exact" : 0.10000000000000000000001, "far": 1e999, "s": " , : \\\" " } "#;
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(
            compact(document.text),
            r#"{"big":12345678901234567890123,"exact":0.10000000000000000000001,"far":1e999,"s":" , : \\\" "}"#
        );
    }

    #[test]
    fn depth_counts_nesting_and_not_brackets_in_strings() {
        for (text, expected) in [("1", 0), ("\"{[\"", 0), ("{}", 1), ("{\"a\":[{}],\"b\":{}}", 3)] {
            assert_eq!(depth(Raw::parse(text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(depth(document.text), 30_001);
    }
}
