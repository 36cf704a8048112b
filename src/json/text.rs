//! JSON that is passed on as text.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// A JSON value that stays text from where it is made to the caller. In JSON it is the value itself, in any
/// other format a string.
#[derive(Debug, Clone)]
pub struct Text(Box<RawValue>);

impl Text {
    /// Writes a value.
    pub fn of(value: &impl Serialize) -> serde_json::Result<Self> {
        to_raw_value(value).map(Self)
    }

    /// Checks a text, such as one that a store held.
    pub fn parse(text: String) -> serde_json::Result<Self> {
        RawValue::from_string(text).map(Self)
    }

    /// `{}`.
    pub fn empty_object() -> Self {
        // The text is one value, so the second way is never taken.
        Self(RawValue::from_string("{}".to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    pub fn raw(&self) -> &RawValue {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<&RawValue> for Text {
    fn from(value: &RawValue) -> Self {
        Self(value.to_owned())
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { self.0.serialize(serializer) } else { self.as_str().serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Box::deserialize(deserializer).map(Self);
        }
        Self::parse(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        text: Text,
        list: [Text; 2],
    }

    #[derive(Serialize)]
    struct Wider<'a> {
        first: bool,
        #[serde(flatten)]
        holder: &'a Holder,
    }

    fn holder() -> Holder {
        let text = |text: &str| Text::parse(text.to_owned()).unwrap();
        Holder { text: text("{\"a\":1.10}"), list: [text("[ ]"), text("1e999")] }
    }

    #[test]
    fn in_json_it_is_the_value_itself() {
        let (holder, expected) = (holder(), r#"{"text":{"a":1.10},"list":[[ ],1e999]}"#);
        assert_eq!(serde_json::to_string(&holder).unwrap(), expected);
        assert_eq!(serde_json::from_str::<Holder>(expected).unwrap(), holder);
        let wider = serde_json::to_string(&Wider { first: true, holder: &holder }).unwrap();
        assert_eq!(wider, expected.replace("{\"text\"", "{\"first\":true,\"text\""));
    }

    #[test]
    fn in_any_other_format_it_is_a_string() {
        let bytes = postcard::to_allocvec(&holder()).unwrap();
        assert_eq!(bytes, postcard::to_allocvec(&("{\"a\":1.10}", "[ ]", "1e999")).unwrap());
        assert_eq!(postcard::from_bytes::<Holder>(&bytes).unwrap(), holder());
        assert!(postcard::from_bytes::<Text>(&postcard::to_allocvec("{").unwrap()).is_err());
    }

    #[test]
    fn a_text_is_one_value() {
        for bad in ["", "{", "{} {}", "{\"a\":01}", "nul"] {
            assert!(Text::parse(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
