//! One text for every spelling of a JSON value.

use serde_json::Value;
use serde_json::value::RawValue;

use super::members::{elements, members, string};
use super::tokens::compact;

/// Above this depth the order of members does not matter. Each level is one step of recursion, which reads everything
/// below it again. Metadata ends well above it.
const DEPTH_MAX: usize = 16;

/// The same value without white space, with the members of each object in the order of their names, and with strings
/// escaped in one way. Numbers stay as they are written, because Rollcall passes them on so. [`super::check`] must have
/// read the value.
pub fn canonical(value: &RawValue) -> String {
    let mut text = String::with_capacity(value.get().len());
    write(value, DEPTH_MAX, &mut text);
    text
}

fn write(value: &RawValue, levels: usize, text: &mut String) {
    let Some(levels) = levels.checked_sub(1) else { return text.push_str(&compact(value)) };
    if let Some(members) = members(value) {
        let mut members = members.0;
        members.sort_unstable_by(|(first, _), (second, _)| first.cmp(second));
        let mut separator = '{';
        for (name, value) in members {
            text.push(std::mem::replace(&mut separator, ','));
            text.push_str(&Value::from(name).to_string());
            text.push(':');
            write(value, levels, text);
        }
        text.push_str(if separator == '{' { "{}" } else { "}" });
    } else if let Some(elements) = elements(value) {
        let mut separator = '[';
        for element in elements {
            text.push(std::mem::replace(&mut separator, ','));
            write(element, levels, text);
        }
        text.push_str(if separator == '[' { "[]" } else { "]" });
    } else if let Some(content) = string(value) {
        text.push_str(&Value::from(content).to_string());
    } else {
        text.push_str(value.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let value: &RawValue = serde_json::from_str(text).unwrap();
        let canonical = canonical(value);
        let [before, after] = [text, &canonical].map(|text| serde_json::from_str::<Value>(text).ok());
        assert_eq!(before, after, "it is the same value");
        canonical
    }

    #[test]
    fn spellings_of_one_value_are_one_text() {
        for (texts, expected) in [
            (
                ["{\"b\":1,\"a\":{\"d\":[],\"c\":{}}}", " { \"a\" : { \"c\" : { } , \"d\" : [ ] } ,\n\"b\" : 1 }\t"],
                "{\"a\":{\"c\":{},\"d\":[]},\"b\":1}",
            ),
            (["[{\"a\":1,\"b\":2}]", "[ {\"\\u0062\":2,\"a\":1} ]"], "[{\"a\":1,\"b\":2}]"),
            (["\"\\u00e9\\/\\ud83e\\udd80\"", "\"é/🦀\""], "\"é/🦀\""),
            (["null", " null "], "null"),
        ] {
            assert_eq!(texts.map(of), [expected; 2]);
        }
    }

    #[test]
    fn values_that_are_kept_apart_are_two_texts() {
        for (first, second) in [
            ("[1,2]", "[2,1]"),
            ("{\"a\":null}", "{}"),
            ("1", "1.0"),
            ("12345678901234567890123", "12345678901234567890124"),
            ("\"1\"", "1"),
            ("\" a\"", "\"a\""),
            ("[[]]", "[{}]"),
            ("[\"a,b\"]", "[\"a\",\"b\"]"),
        ] {
            assert_ne!(of(first), of(second));
        }
    }

    #[test]
    fn below_a_depth_only_white_space_does_not_count() {
        let nested = |text: &str, levels: usize| format!("{}{text}{}", "[".repeat(levels), "]".repeat(levels));
        let spellings = ["{\"a\":1,\"b\":2}", "{\"b\": 2, \"a\": 1}", "{\"a\": 1, \"b\": 2}"];
        let [first, other, spaced] = spellings.map(|text| of(&nested(text, DEPTH_MAX - 1)));
        assert!(first == other && first == spaced);
        let [first, other, spaced] = spellings.map(|text| of(&nested(text, DEPTH_MAX)));
        assert!(first != other && first == spaced);
        let deep = nested("", 30_000);
        assert_eq!(canonical(serde_json::from_str(&deep).unwrap()), deep);
    }
}
