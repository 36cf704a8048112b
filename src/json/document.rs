//! The strict check of JSON that callers send.

use super::raw::{JsonToken, Members, Raw};
use super::write::quote;
use crate::refusal::Refusal;

/// A JSON text that is well-formed and unambiguous.
///
/// Invariant: no object in it names a member twice, and every escape in it is Unicode.
#[derive(Debug)]
pub struct Document<'a> {
    text: Raw<'a>,
}

impl<'a> Document<'a> {
    /// Reads one JSON value from bytes.
    ///
    /// Refuses bytes that are not UTF-8, that are not JSON, that name a member twice in one object, or
    /// that escape half a surrogate pair.
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

/// Refuses what `serde_json` accepts in a value that it only copies: members named twice, and escaped
/// halves of surrogate pairs.
///
/// One pass without recursion, so that deep nesting cannot exhaust the stack.
fn check(value: Raw<'_>) -> Result<(), Refusal> {
    let mut objects: Vec<Vec<String>> = Vec::new();
    let mut tokens = value.tokens().peekable();
    while let Some(token) = tokens.next() {
        match token {
            JsonToken::Open('{') => objects.push(Vec::new()),
            JsonToken::Close('}') => {
                let mut names = objects.pop().unwrap_or_default();
                names.sort_unstable();
                let repeated = names.iter().zip(names.iter().skip(1)).find(|(first, second)| first == second);
                if let Some((name, _)) = repeated {
                    let name = quote(name);
                    return Err(Refusal::new(format!("the body names the member {name} twice in one object")));
                }
            }
            JsonToken::String(text) => {
                let refusal = "the body is not valid JSON: a string escapes half a surrogate pair";
                let string = || Raw::of_checked(text).string().ok_or_else(|| Refusal::new(refusal));
                let is_name = matches!(tokens.peek(), Some(JsonToken::Colon));
                if let Some(names) = objects.last_mut().filter(|_| is_name) {
                    names.push(string()?);
                } else if text.contains('\\') {
                    string()?;
                }
            }
            JsonToken::Open(_) | JsonToken::Close(_) | JsonToken::Colon | JsonToken::Comma | JsonToken::Scalar(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{compact, depth};

    fn refused(text: &str) -> String {
        match Document::parse(text.as_bytes()) {
            Err(refusal) => refusal.0,
            Ok(document) => document.members().expect_err(text).0,
        }
    }

    #[test]
    fn only_one_unambiguous_object_is_accepted() {
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
    fn deep_nesting_does_not_exhaust_the_stack() {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(depth(document.text), 30_001);
    }
}
