//! How deeply JSON is nested.

use super::raw::{JsonToken, Raw};

/// How deeply arrays and objects are nested: 0 for a scalar, 1 for `{}`.
pub fn depth(value: Raw<'_>) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for token in value.tokens() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_nesting_and_not_brackets_in_strings() {
        for (text, expected) in [("1", 0), ("\"{[\"", 0), ("{}", 1), ("{\"a\":[{}],\"b\":{}}", 3)] {
            assert_eq!(depth(Raw::parse(text).unwrap()), expected, "{text}");
        }
    }
}
