//! The parts of a JSON value, each still text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::refusal::Refusal;

/// Members of one JSON object in the order given, each value still text.
#[derive(Debug, Default)]
pub struct Members<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Members<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(Members(all))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_map(&self.0, serializer)
    }
}

/// Writes pairs as the members of an object.
pub fn as_map<K: Serialize, V: Serialize, S: Serializer>(pairs: &[(K, V)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

/// The members of an object.
pub fn members(value: &RawValue) -> Option<Members<'_>> {
    serde_json::from_str(value.get()).ok()
}

/// The elements of an array.
pub fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// The elements of an array of 1 to `most` things, which `what` names.
pub fn list_of<'a>(value: &'a RawValue, most: usize, what: &str) -> Result<Vec<&'a RawValue>, Refusal> {
    let list = elements(value).ok_or_else(|| Refusal::new(format!("must be an array of {what}")))?;
    if (1..=most).contains(&list.len()) { Ok(list) } else { Err(Refusal::new(format!("must hold 1 to {most} {what}"))) }
}

/// The content of a string. `None` if the value is not a string or escapes half a surrogate pair.
pub fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

pub fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    /// A value as `serde_json` has it, taken apart by nothing but these functions.
    fn rebuilt(value: &RawValue) -> serde_json::Value {
        if let Some(members) = members(value) {
            return members.0.into_iter().map(|(name, value)| (name, rebuilt(value))).collect();
        }
        if let Some(elements) = elements(value) {
            return elements.into_iter().map(rebuilt).collect();
        }
        string(value).map_or_else(|| serde_json::from_str(value.get()).unwrap(), serde_json::Value::String)
    }

    #[test]
    fn values_are_taken_apart_as_serde_json_does() {
        for text in [
            "null",
            " true ",
            "-0.5e3",
            r#""\u0061\ud83e\udd80\/é""#,
            " [ ] ",
            r#"[1,"]",[2,[]],{"a":[3]},-4]"#,
            "{}",
            r#"{"a":1,"b\n":{"c":[{},"}"]},"":"x"}"#,
            "\t{\r\n \"a\" : [ 1 , 2 ] ,\n\"b\":\"{\\\"c\\\":1}\" }\n",
        ] {
            assert_eq!(raw(text).get(), text.trim(), "{text}");
            assert_eq!(rebuilt(raw(text)), serde_json::from_str::<serde_json::Value>(text).unwrap(), "{text}");
        }
        assert_eq!(string(raw(r#""\ud800""#)), None);
    }

    #[test]
    fn members_are_written_as_they_were_read() {
        let text = r#"{"z":1.10,"a":{"b":[1e999]},"\n":null}"#;
        assert_eq!(serde_json::to_string(&members(raw(text)).unwrap()).unwrap(), text);
    }
}
