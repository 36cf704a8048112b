//! JSON without white space.

use super::raw::{JsonToken, Raw};

/// The same value without white space between its tokens.
pub fn compact(value: Raw<'_>) -> String {
    let mut out = String::with_capacity(value.get().len());
    for token in value.tokens() {
        match token {
            JsonToken::Open(bracket) | JsonToken::Close(bracket) => out.push(bracket),
            JsonToken::Colon => out.push(':'),
            JsonToken::Comma => out.push(','),
            JsonToken::String(text) | JsonToken::Scalar(text) => out.push_str(text),
        }
    }
    out
}
