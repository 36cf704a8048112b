//! A JSON value that is read by `serde_json` in one pass.

use std::fmt;

use super::unreadable::Unreadable;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// One JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// Always below 0.
    Signed(i64),
    Float(f64),
    String(String),
    Array(Vec<Self>),
    /// In the order given.
    Object(Vec<(String, Self)>),
}

impl Value {
    /// Reads a text that is one value, with white space around it. Refuses numbers that are too large for
    /// an `f64`, and values that are nested deeper than 127 levels.
    pub fn read(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Reads a text that is an array of `N` values.
    pub fn row<const N: usize>(text: &str) -> Result<[Self; N], Unreadable> {
        Self::read(text).ok().and_then(Self::into_array).and_then(|row| row.try_into().ok()).ok_or(Unreadable)
    }

    pub fn into_string(self) -> Option<String> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub fn into_array(self) -> Option<Vec<Self>> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// Takes a member out. An absent member is `Null`.
    #[must_use]
    pub fn take(&mut self, name: &str) -> Self {
        let Self::Object(members) = self else { return Self::Null };
        let member = members.iter_mut().find(|(member, _)| member == name);
        member.map_or(Self::Null, |(_, value)| std::mem::replace(value, Self::Null))
    }

    pub const fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(number) => Some(*number),
            _ => None,
        }
    }

    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Unsigned(number) => i64::try_from(*number).ok(),
            Self::Signed(number) => Some(*number),
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "the nearest number is as near as it gets")]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Unsigned(number) => Some(*number as f64),
            Self::Signed(number) => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Value;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Unsigned(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Signed(value))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Float(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::String(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
                let mut array = Vec::new();
                while let Some(element) = elements.next_element()? {
                    array.push(element);
                }
                Ok(Value::Array(array))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
                let mut object = Vec::new();
                while let Some(member) = members.next_entry()? {
                    object.push(member);
                }
                Ok(Value::Object(object))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_is_read() {
        let text =
            r#" {"a":[null,true,false],"n":[0,18446744073709551615,-1,-9223372036854775808,0.5,-0],"s":"\u00e9"} "#;
        let mut value = Value::read(text).unwrap();
        assert_eq!(value.take("a"), Value::Array(vec![Value::Null, Value::Bool(true), Value::Bool(false)]));
        let numbers = value.take("n").into_array().unwrap();
        let unsigned: Vec<_> = numbers.iter().map(Value::as_u64).collect();
        assert_eq!(unsigned, [Some(0), Some(u64::MAX), None, None, None, None]);
        let signed: Vec<_> = numbers.iter().map(Value::as_i64).collect();
        assert_eq!(signed, [Some(0), None, Some(-1), Some(i64::MIN), None, None]);
        let floats: Vec<_> = numbers.iter().map(|number| number.as_f64().unwrap()).collect();
        assert_eq!(floats, [0.0, 18_446_744_073_709_551_615.0, -1.0, -9_223_372_036_854_775_808.0, 0.5, 0.0]);
        assert_eq!(value.take("s").into_string().as_deref(), Some("é"));
        // A member that was taken is absent.
        assert_eq!((value.take("s"), value.take("x"), Value::Null.take("x")), (Value::Null, Value::Null, Value::Null));
    }

    #[test]
    fn a_row_has_as_many_values_as_are_expected() {
        let [first, second] = Value::row("[1,\"x\"]").unwrap();
        assert_eq!((first.as_i64(), second.into_string().as_deref()), (Some(1), Some("x")));
        for bad in ["[1]", "[1,2,3]", "{}", "1", "[1,2", ""] {
            assert_eq!(Value::row::<2>(bad), Err(Unreadable), "{bad}");
        }
    }

    #[test]
    fn invalid_deep_and_too_large_values_are_refused() {
        for bad in ["", "{", "[1,]", "{\"a\"}", "nul", "01", "1e999", "\"\\ud800\"", "[] []"] {
            assert!(Value::read(bad).is_err(), "{bad}");
        }
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Value::read(&nested(127)).is_ok() && Value::read(&nested(30_000)).is_err());
    }
}
