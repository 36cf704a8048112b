//! JSON as it is written. A reader takes only the parts that it asks for.
//!
//! Invariant: a [`Raw`] is one valid JSON value, because `serde_json` has checked it or Rollcall wrote it.
//! So every boundary between two tokens is found by looking at one character.

use serde::{Serialize, Serializer};

use super::value::Value;

/// One JSON value, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// Takes one JSON value with white space around it. Checks all of it and reads none of it.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str::<serde::de::IgnoredAny>(text).map(|_| Self(text.trim_ascii()))
    }

    /// Takes a text that Rollcall wrote or has checked before.
    pub const fn of_checked(text: &'a str) -> Self {
        Self(text)
    }

    pub const fn get(self) -> &'a str {
        self.0
    }

    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// The content of a string. `None` if the value is not a string or escapes half a surrogate pair.
    pub fn string(self) -> Option<String> {
        let quoted = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if quoted.contains('\\') { self.value()?.into_string() } else { Some(quoted.to_owned()) }
    }

    /// The value. `None` if it is nested deeper than 127 levels or has a number that is too large for an `f64`.
    pub fn value(self) -> Option<Value> {
        Value::read(self.0).ok()
    }

    /// The members of an object, in the order given, read one after the other, so that a caller can stop
    /// at the member that it looks for.
    pub fn each_member(self) -> Option<impl Iterator<Item = (Self, Self)>> {
        let mut tokens = self.tokens();
        if !matches!(tokens.next(), Some(JsonToken::Open('{'))) {
            return None;
        }
        Some(std::iter::from_fn(move || {
            let Some(JsonToken::String(name)) = tokens.next() else { return None };
            tokens.next();
            let value = tokens.value();
            // A comma, or the end of the object, after which there is nothing.
            tokens.next();
            Some((Self(name), value))
        }))
    }

    /// The members of an object, in the order given.
    pub fn members(self) -> Option<Members<'a>> {
        let mut members = Vec::new();
        for (name, value) in self.each_member()? {
            members.push((name.string()?, value));
        }
        Some(Members(members))
    }

    /// The elements of an array.
    pub fn elements(self) -> Option<Vec<Self>> {
        let mut tokens = self.tokens();
        if !matches!(tokens.next(), Some(JsonToken::Open('['))) {
            return None;
        }
        let mut elements = Vec::new();
        let mut is_more = !skip_space(tokens.rest).starts_with(']');
        while is_more {
            elements.push(tokens.value());
            is_more = matches!(tokens.next(), Some(JsonToken::Comma));
        }
        Some(elements)
    }

    pub(super) const fn tokens(self) -> Tokens<'a> {
        Tokens { rest: self.0 }
    }
}

/// Writes into JSON only.
impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0.as_bytes())
    }
}

impl std::fmt::Display for Raw<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.0)
    }
}

/// Members of one JSON object in the order given, each value still text.
#[derive(Debug, Default)]
pub struct Members<'a>(pub Vec<(String, Raw<'a>)>);

impl<'a> Members<'a> {
    /// The value of a name. Of several members with one name it is the first; [`super::Document::parse`]
    /// accepts only one.
    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }
}

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

/// The tokens of a value.
pub(super) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// Takes a whole value without looking at what is in it.
    fn value(&mut self) -> Raw<'a> {
        let rest = skip_space(self.rest);
        let length = match rest.as_bytes().first() {
            Some(b'"') => string_length(rest),
            Some(b'{' | b'[') => compound_length(rest),
            _ => scalar_length(rest),
        };
        let (value, after) = rest.split_at_checked(length).unwrap_or_default();
        self.rest = skip_space(after);
        Raw(value)
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = JsonToken<'a>;

    fn next(&mut self) -> Option<JsonToken<'a>> {
        let rest = skip_space(self.rest);
        let first = char::from(*rest.as_bytes().first()?);
        let length = match first {
            '"' => string_length(rest),
            '{' | '[' | '}' | ']' | ':' | ',' => 1,
            _ => scalar_length(rest),
        };
        let (text, after) = rest.split_at_checked(length)?;
        self.rest = after;
        Some(match first {
            '{' | '[' => JsonToken::Open(first),
            '}' | ']' => JsonToken::Close(first),
            ':' => JsonToken::Colon,
            ',' => JsonToken::Comma,
            '"' => JsonToken::String(text),
            _ => JsonToken::Scalar(text),
        })
    }
}

/// The text after its leading white space. The first byte is checked first, as most texts have none.
fn skip_space(text: &str) -> &str {
    if text.as_bytes().first().is_some_and(u8::is_ascii_whitespace) { text.trim_ascii_start() } else { text }
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

/// Bytes from an opening bracket to its closing one, both included.
fn compound_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0_usize);
    while let Some(byte) = text.as_bytes().get(at) {
        at = at.saturating_add(match byte {
            b'"' => string_length(text.get(at..).unwrap_or_default()),
            _ => 1,
        });
        match byte {
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' if depth == 1 => break,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 12] = [
        "null",
        " true ",
        "-0.5e3",
        r#""a\"b\\""#,
        r#""\u0061\ud83e\udd80\/é""#,
        "[]",
        " [ ] ",
        r#"[1,"]",[2,[]],{"a":[3]},-4]"#,
        "{}",
        " { } ",
        r#"{"a":1,"b\n":{"c":[{},"}"]},"":"x"}"#,
        "\t{\r\n \"a\" : [ 1 , 2 ] ,\n\"b\":\"{\\\"c\\\":1}\" }\n",
    ];

    /// A value as `serde_json` has it, taken apart by nothing but [`Raw`].
    fn rebuilt(raw: Raw<'_>) -> serde_json::Value {
        if let Some(members) = raw.members() {
            return members.0.into_iter().map(|(name, value)| (name, rebuilt(value))).collect();
        }
        if let Some(elements) = raw.elements() {
            return elements.into_iter().map(rebuilt).collect();
        }
        raw.string().map_or_else(|| serde_json::from_str(raw.get()).unwrap(), serde_json::Value::String)
    }

    #[test]
    fn values_are_taken_apart_as_serde_json_does() {
        for text in TEXTS {
            let raw = Raw::parse(text).unwrap();
            assert_eq!(raw.get(), text.trim(), "{text}");
            assert_eq!(rebuilt(raw), serde_json::from_str::<serde_json::Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn a_value_that_is_cut_off_or_continued_is_refused() {
        for text in TEXTS {
            for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
                let (expected, cut) = (serde_json::from_str::<serde_json::Value>(&text[..end]), &text[..end]);
                assert_eq!(Raw::parse(cut).is_ok(), expected.is_ok(), "{cut}");
            }
            assert!(Raw::parse(&format!("{text},")).is_err() && Raw::parse(&format!("{text} {text}")).is_err());
        }
    }

    #[test]
    fn a_value_is_of_one_type() {
        for text in TEXTS {
            let raw = Raw::parse(text).unwrap();
            let types = [raw.string().is_some(), raw.elements().is_some(), raw.members().is_some(), raw.is_null()];
            assert!(types.iter().filter(|is| **is).count() <= 1, "{text}");
            assert_eq!(raw.is_object(), raw.members().is_some(), "{text}");
        }
        assert_eq!(Raw::parse(r#""\ud800""#).unwrap().string(), None);
    }

    #[test]
    fn of_members_with_one_name_the_first_counts() {
        let members = Raw::parse(r#"{"a":1,"\u0061":2}"#).unwrap().members().unwrap();
        assert_eq!(members.get("a").map(Raw::get), Some("1"));
        assert!(members.get("b").is_none());
    }
}
