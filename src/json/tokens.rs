//! The tokens of a JSON value, for what `serde_json` does not tell of a value that it only copies: members
//! named twice at any depth, its depth, and its text without white space. It recurses into what it reads, and
//! a request may nest 30,000 levels.
//!
//! Every value here is valid, so each boundary between two tokens is found by looking at one character.

use serde_json::value::RawValue;

#[derive(Clone, Copy)]
pub(super) enum JsonToken<'a> {
    Open(char),
    Close(char),
    Colon,
    Comma,
    /// With its quotes and escapes.
    String(&'a str),
    /// A number, `true`, `false` or `null`, as written.
    Scalar(&'a str),
}

pub(super) fn tokens(value: &RawValue) -> impl Iterator<Item = JsonToken<'_>> {
    let mut rest = value.get();
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        let first = char::from(*rest.as_bytes().first()?);
        let length = match first {
            '"' => string_length(rest),
            '{' | '[' | '}' | ']' | ':' | ',' => 1,
            _ => scalar_length(rest),
        };
        let (text, after) = rest.split_at_checked(length)?;
        rest = after;
        Some(match first {
            '{' | '[' => JsonToken::Open(first),
            '}' | ']' => JsonToken::Close(first),
            ':' => JsonToken::Colon,
            ',' => JsonToken::Comma,
            '"' => JsonToken::String(text),
            _ => JsonToken::Scalar(text),
        })
    })
}

fn scalar_length(text: &str) -> usize {
    let end = text.bytes().position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',' | b']' | b'}'));
    end.unwrap_or(text.len())
}

/// Bytes from an opening quote to its closing one, both included.
fn string_length(text: &str) -> usize {
    let mut bytes = text.as_bytes().iter();
    bytes.next();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            // An escaped character is not the closing quote.
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    text.len().saturating_sub(bytes.len())
}

/// How deeply arrays and objects are nested: 0 for a scalar, 1 for `{}`.
pub fn depth(value: &RawValue) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for token in tokens(value) {
        match token {
            JsonToken::Open(_) => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            JsonToken::Close(_) => depth = depth.saturating_sub(1),
            JsonToken::Colon | JsonToken::Comma | JsonToken::String(_) | JsonToken::Scalar(_) => {}
        }
    }
    deepest
}

/// The same value without white space between its tokens.
pub fn compact(value: &RawValue) -> String {
    let mut out = String::with_capacity(value.get().len());
    for token in tokens(value) {
        match token {
            JsonToken::Open(bracket) | JsonToken::Close(bracket) => out.push(bracket),
            JsonToken::Colon => out.push(':'),
            JsonToken::Comma => out.push(','),
            JsonToken::String(text) | JsonToken::Scalar(text) => out.push_str(text),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn depth_counts_nesting_and_not_brackets_in_strings() {
        for (text, expected) in [("1", 0), ("\"{[\"", 0), ("{}", 1), ("{\"a\":[{}],\"b\":{}}", 3)] {
            assert_eq!(depth(raw(text)), expected, "{text}");
        }
    }

    #[test]
    fn only_white_space_between_tokens_is_left_out() {
        for text in ["1", "\" , \\\" \"", "[]", "{\"a\" : [ 1e999 ,\n-0.10, {\"\\\\\" :\t\" : \"} ] }"] {
            let compacted = compact(raw(text));
            assert_eq!(raw(&compacted).get(), compacted);
            assert_eq!(
                compacted,
                text.replace(" : [ ", ":[")
                    .replace(" ,\n", ",")
                    .replace(", {", ",{")
                    .replace(" :\t", ":")
                    .replace(" ] ", "]")
            );
        }
    }
}
