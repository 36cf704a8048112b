//! The strict check of JSON that callers send.

use serde_json::Value;
use serde_json::value::RawValue;

use super::tokens::{JsonToken, tokens};
use crate::refusal::Refusal;

/// Reads one JSON value from bytes.
///
/// Refuses bytes that are not UTF-8, that are not JSON, that name a member twice in one object, or that escape
/// half a surrogate pair.
pub fn check(bytes: &[u8]) -> Result<&RawValue, Refusal> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::new("the body is not valid UTF-8"))?;
    if text.trim_ascii().is_empty() {
        return Err(Refusal::new("the body is empty; a JSON object is expected"));
    }
    let value = serde_json::from_str(text);
    let value = value.map_err(|error| Refusal::new(format!("the body is not valid JSON: {error}")))?;
    check_strings(value)?;
    Ok(value)
}

/// Refuses what `serde_json` accepts in a value that it only copies: members named twice, and escaped
/// halves of surrogate pairs.
///
/// One pass without recursion, so that deep nesting cannot exhaust the stack.
fn check_strings(value: &RawValue) -> Result<(), Refusal> {
    let mut objects: Vec<Vec<String>> = Vec::new();
    let mut tokens = tokens(value).peekable();
    while let Some(token) = tokens.next() {
        match token {
            JsonToken::Open('{') => objects.push(Vec::new()),
            JsonToken::Close('}') => {
                let mut names = objects.pop().unwrap_or_default();
                names.sort_unstable();
                let repeated = names.iter().zip(names.iter().skip(1)).find(|(first, second)| first == second);
                if let Some((name, _)) = repeated {
                    let name = Value::from(name.as_str());
                    return Err(Refusal::new(format!("the body names the member {name} twice in one object")));
                }
            }
            JsonToken::String(text) => {
                let refusal = "the body is not valid JSON: a string escapes half a surrogate pair";
                let string = || serde_json::from_str::<String>(text).map_err(|_| Refusal::new(refusal));
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
    use crate::json::{compact, depth, members};

    fn refused(text: &str) -> String {
        check(text.as_bytes()).expect_err(text).0
    }

    #[test]
    fn only_one_unambiguous_value_is_accepted() {
        for (text, reason) in [
            ("", "empty"),
            (" \n", "empty"),
            ("{", "not valid JSON"),
            ("{} {}", "not valid JSON"),
            ("{'a':1}", "not valid JSON"),
            ("{\"a\":01}", "not valid JSON"),
            ("{\"a\":NaN}", "not valid JSON"),
            ("{\"a\":1,\"a\":2}", "\"a\" twice"),
            ("{\"a\":1,\"\\u0061\":2}", "\"a\" twice"),
            ("{\"m\":{\"x\":[{\"k\":1,\"k\":1}]}}", "\"k\" twice"),
            ("{\"a\":\"\\ud800\"}", "surrogate"),
            ("{\"\\udc00\":1}", "surrogate"),
        ] {
            let refusal = refused(text);
            assert!(refusal.contains(reason), "{text}: {refusal}");
        }
        assert!(check(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn the_same_name_in_different_objects_is_fine() {
        let text = r#"{"a":{"a":[{"a":1},{"a":2}],"b":"a"},"b":"\ud83e\udd80"}"#;
        assert_eq!(members(check(text.as_bytes()).unwrap()).unwrap().0.len(), 2);
    }

    #[test]
    fn numbers_stay_as_they_are_written() {
        let text = r#" { "big" : 12345678901234567890123 , "exact" : 0.10000000000000000000001, "far": 1e999, "s": " , : \\\" " } "#;
        let value = check(text.as_bytes()).unwrap();
        assert_eq!(
            compact(value),
            r#"{"big":12345678901234567890123,"exact":0.10000000000000000000001,"far":1e999,"s":" , : \\\" "}"#
        );
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
        let value = check(text.as_bytes()).unwrap();
        assert_eq!(depth(value), 30_001);
    }
}
